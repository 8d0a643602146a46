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
        *_data(dataset),
        *_figures(card, rows),
        *_settings(card),
        *_hashes(card, dataset, model_sha256),
        *_licences(),
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
        ],
    )
    yield (
        "On pictures with other pixels, from another season or another camera it does worse "
        "than the figures below, which come from the same flight as the training tiles: score "
        "it on some labelled ground first."
    )


def _data(dataset: Mapping[str, Any]) -> Iterator[str]:
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
        yield (
            f"Tiles of {dataset['tile_size']} pixels. Shares of the ground: "
            f"{split['train']:g} train, {split['val']:g} val, {split['test']:g} test, dealt out "
            f"in blocks of {split['block']} that never straddle two splits, seed "
            f"{split['seed']}. No figure below comes from the test split: see "
            "`evaluation/metrics.json`."
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
    return str(value).lower() if isinstance(value, bool) else str(value)


def _hashes(card: Card, dataset: Mapping[str, Any], model_sha256: str) -> Iterator[str]:
    yield "## Hashes and versions"
    shards = [shard for split in dataset["splits"].values() for shard in split["shards"]]
    yield table(
        ("what", "SHA-256"),
        [
            ("model.keras", model_sha256),
            ("dataset.json", card.dataset_sha256),
            *((shard["name"], shard["sha256"]) for shard in shards),
        ],
    )
    yield table(("software", "version"), card.versions.items())


def _licences() -> Iterator[str]:
    yield "## Licences"
    yield (
        "The software is under the MIT licence. The network was trained on pictures and labels "
        "whose licences this file does not know: whoever passes it on has to look at those of "
        "their sources."
    )
