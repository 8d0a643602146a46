"""The model card for people: what a network was made from, how, and how good it is.

After Mitchell et al., Model Cards for Model Reporting, 2019. Imports no TensorFlow.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from roadmask.model.card import Card
from roadmask.model.history import Epoch

NOTHING = "–"


def card_text(
    card: Card, dataset: Mapping[str, Any], rows: Sequence[Epoch], model_sha256: str
) -> str:
    """Return the card as Markdown.

    Parameters
    ----------
    card
        Of the network.
    dataset
        The content of ``dataset.json``.
    rows
        The history of the training.
    model_sha256
        Of the ``.keras`` file.
    """
    parts = [
        f"# {card.architecture} for {', '.join(card.classes)}",
        *_use(card),
        *_data(card, dataset),
        *_figures(card, rows),
        *_settings(card),
        *_hashes(card, dataset, model_sha256),
        *_licences(card),
    ]
    return "\n\n".join(parts) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines
    )


def _use(card: Card) -> Iterator[str]:
    yield "## Use"
    outputs = (
        f"the probability of {card.classes[0]}"
        if card.outputs == 1
        else f"the probabilities of other, {', '.join(card.classes)}"
    )
    scale = (
        "bytes as they are in the source"
        if card.scale is None
        else "scaled to 0..255 from "
        + ", ".join(f"{low:g}..{high:g}" for low, high in dict.fromkeys(card.scale))
    )
    pixel = (
        "not known, as the pictures lie nowhere on the ground"
        if card.pixel_metres is None
        else f"{card.pixel_metres:g} m"
    )
    yield table(
        ("", ""),
        [
            ("input", f"bands {', '.join(map(str, card.bands))} of the source, {scale}"),
            ("sides of the input", f"multiples of {card.input_stride} pixels"),
            ("size of a pixel", pixel),
            ("output", outputs),
            (
                "threshold",
                "none: the most probable class"
                if card.threshold is None
                else f"{card.threshold:.4f}, chosen on the validation split",
            ),
            ("brightness of the training imagery, by band", _tone(card)),
            ("started from", _start(card)),
        ],
    )
    yield (
        "On pictures with other pixels, from another season or another camera it does worse "
        "than the figures below, which come from the same flight as the training tiles: score "
        "it on some labelled ground first."
    )


def _tone(card: Card) -> str:
    if card.band_mean is None or card.band_deviation is None:
        return "not known"
    bands = zip(card.band_mean, card.band_deviation, strict=True)
    return ", ".join(f"{mean:.0f} ± {deviation:.0f}" for mean, deviation in bands)


def _start(card: Card) -> str:
    if card.pretrained is None:
        return "random numbers"
    return f"`{card.pretrained['source']}`, its licence {card.pretrained['licence']}"


def _data(card: Card, dataset: Mapping[str, Any]) -> Iterator[str]:
    yield "## Data"
    classes = dataset["classes"]
    splits = dataset["splits"]
    yield table(
        ("split", "tiles", *(f"pixels of {name}" for name in classes), "pixels not known"),
        [
            (
                name,
                split["tiles"],
                *(split["pixels"][each] for each in classes),
                split["pixels"].get("unknown", NOTHING),
            )
            for name, split in splits.items()
        ],
    )
    if "split" in dataset:
        split = dataset["split"]
        # Pictures that lie nowhere are blocks of their own.
        blocks = "whole pictures" if card.pixel_metres is None else f"blocks of {split['block']}"
        yield (
            f"Tiles of {dataset['tile_size']} pixels. Shares of the ground: "
            f"{split['train']:g} train, {split['val']:g} val, {split['test']:g} test, dealt out "
            f"in {blocks} that never straddle two splits, seed {split['seed']}. No figure below "
            "comes from the test split: see `evaluation/metrics.json`."
        )
    for warning in dataset.get("warnings", ()):
        yield f"**{warning}**"


def _figures(card: Card, rows: Sequence[Epoch]) -> Iterator[str]:
    yield "## Figures on the validation split"
    yield table(
        ("figure", "value"),
        [
            (
                name.removeprefix("val_").replace("_", " "),
                NOTHING if value is None else f"{value:.6g}",
            )
            for name, value in card.figures.items()
        ],
    )
    yield (
        f"{len(rows)} epochs were trained. The saved weights are those of the one with the "
        "largest mean IoU, so these figures flatter a little."
    )


def _settings(card: Card) -> Iterator[str]:
    yield "## Settings"
    yield table(
        ("key", "value"),
        [(f"`{key}`", _value(value)) for key, value in card.telling_settings().items()],
    )


def _value(value: object) -> str:
    """Return a value as the config has it."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _hashes(card: Card, dataset: Mapping[str, Any], model_sha256: str) -> Iterator[str]:
    yield "## Hashes and versions"
    shards = [shard for split in dataset["splits"].values() for shard in split["shards"]]
    yield table(
        ("what", "SHA-256"),
        [
            ("model.keras", model_sha256),
            ("dataset.json", card.dataset_sha256),
            *(
                []
                if card.pretrained is None
                else [("weights that training started from", card.pretrained["sha256"])]
            ),
            *((shard["name"], shard["sha256"]) for shard in shards),
        ],
    )
    yield table(("software", "version"), card.versions.items())


def _licences(card: Card) -> Iterator[str]:
    yield "## Licences"
    if card.pretrained is not None:
        yield (
            f"Training started from `{card.pretrained['source']}`, whose weights were published "
            f"under: {card.pretrained['licence']}."
        )
    yield (
        "The software is under the MIT licence. The network was trained on pictures and labels "
        "whose licences this file does not know: whoever passes it on has to look at those of "
        "their sources."
    )
