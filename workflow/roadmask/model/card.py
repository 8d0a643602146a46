"""What a trained network says of itself, inside its ``.keras`` file and beside it.

Imports no TensorFlow: stages that only need to know a model's bands or classes stay quick.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from roadmask.errors import InputError
from roadmask.model.settings import AUGMENTATION, LIMIT
from roadmask.style import Rgb, class_colours

# The member of the .keras file, which is a zip archive. Keras ignores what it does not know.
MEMBER = "roadmask.json"
# The time stamp of the member, so that the same card gives the same bytes.
ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
REMEDY = "Name a .keras file that stage model wrote"


@dataclass(frozen=True)
class Card:
    """What is needed to apply a network, and what it was made from.

    Attributes
    ----------
    architecture
        Its name in ``model.architecture``.
    bands
        The source bands it sees, 1-based, in its order.
    scale
        Low and high limit of each band that became 0 and 255; None where bytes were taken
        as they are.
    classes
        Names of the classes from index 1 on; ``other``, index 0, is not listed.
    outputs
        1: the probability of the only class. More: of ``other`` and each class.
    threshold
        The single class wins where its probability, rounded to 1/254, is at least this:
        a whole number of 254ths. None where there are several, and the most probable wins.
    input_stride
        Both sides of an input are multiples of it.
    pixel_metres
        Side of a pixel on the ground that it was trained on; None in pixel mode.
    settings
        Those of the training, by their config keys.
    dataset_sha256
        Of ``dataset.json``, which holds the checksums of all records.
    figures
        What was measured on the validation split with the stored weights and threshold.
    versions
        Of the software.
    colours
        Red, green and blue of each class in `classes`.
    reach
        How many pixels away from a pixel its probability can depend on the picture; None
        where every pixel sees the whole window, or the card is older than this field.
    pretrained
        Source, SHA-256 and licence of the weights that training started from; None for
        random numbers.
    band_mean, band_deviation
        Of each band over all ground of the training imagery, in levels of 0 to 255: by these,
        pictures from elsewhere are brought to what the network knows. None where not recorded.
    """

    architecture: str
    bands: tuple[int, ...]
    scale: tuple[tuple[float, float], ...] | None
    classes: tuple[str, ...]
    outputs: int
    threshold: float | None
    input_stride: int
    pixel_metres: float | None
    settings: Mapping[str, Any]
    dataset_sha256: str
    figures: Mapping[str, Any]
    versions: Mapping[str, str]
    colours: tuple[Rgb, ...]
    reach: int | None = None
    pretrained: Mapping[str, str] | None = None
    band_mean: tuple[float, ...] | None = None
    band_deviation: tuple[float, ...] | None = None

    def as_json(self) -> dict[str, Any]:
        """Return what is written to ``model.json``."""
        return asdict(self)

    def telling_settings(self) -> dict[str, Any]:
        """Return the settings without those of random changes that never happen."""
        never = {
            key
            for key, value in self.settings.items()
            if key.startswith(f"training.{AUGMENTATION}.") and not value
        }
        return {
            key: value
            for key, value in self.settings.items()
            if key.removesuffix(LIMIT) not in never
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Card:
        """Read what `as_json` gave.

        Raises
        ------
        KeyError, TypeError, ValueError
            If a field is missing or of another type.
        """
        scale = content["scale"]
        card = cls(
            architecture=str(content["architecture"]),
            bands=tuple(int(band) for band in content["bands"]),
            scale=None if scale is None else tuple((float(a), float(b)) for a, b in scale),
            classes=tuple(str(name) for name in content["classes"]),
            outputs=int(content["outputs"]),
            threshold=None if content["threshold"] is None else float(content["threshold"]),
            input_stride=int(content["input_stride"]),
            pixel_metres=(
                None if content["pixel_metres"] is None else float(content["pixel_metres"])
            ),
            settings=dict(content["settings"]),
            dataset_sha256=str(content["dataset_sha256"]),
            figures=dict(content["figures"]),
            versions=dict(content["versions"]),
            colours=_colours(content),
            reach=None if content.get("reach") is None else int(content["reach"]),
            pretrained=(None if content.get("pretrained") is None else dict(content["pretrained"])),
            band_mean=_floats(content.get("band_mean")),
            band_deviation=_floats(content.get("band_deviation")),
        )
        if card.outputs != outputs_of(len(card.classes)):
            raise ValueError(f"{card.outputs} outputs for the classes {card.classes}")
        if (card.threshold is None) != (card.outputs > 1):
            raise ValueError(f"the threshold {card.threshold} with {card.outputs} outputs")
        return card


def _colours(content: Mapping[str, Any]) -> tuple[Rgb, ...]:
    """Return the classes' colours; cards of version 0.1 have none, and get the palette's."""
    count = len(content["classes"])
    given = [(int(red), int(green), int(blue)) for red, green, blue in content.get("colours", ())]
    if given and len(given) != count:
        raise ValueError(f"{len(given)} colours for {count} classes")
    return class_colours(count, given)


def _floats(values: Sequence[float] | None) -> tuple[float, ...] | None:
    return None if values is None else tuple(map(float, values))


def outputs_of(classes: int) -> int:
    """Return how many probabilities a network gives for this many classes besides other."""
    return 1 if classes == 1 else classes + 1


def embed_card(path: str | Path, card: Card) -> None:
    """Put a card into a ``.keras`` file that has none yet."""
    with zipfile.ZipFile(path, "a") as archive:
        member = zipfile.ZipInfo(MEMBER, ZIP_EPOCH)
        archive.writestr(member, json.dumps(card.as_json(), indent=2, ensure_ascii=False))


def read_card(path: str | Path) -> Card:
    """Read the card of a ``.keras`` file.

    Raises
    ------
    InputError
        If the file is missing, is no such file, or holds no card of this version.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            content = json.loads(archive.read(MEMBER))
    except FileNotFoundError as error:
        raise InputError(path, "there is no such file", REMEDY) from error
    except KeyError as error:
        raise InputError(
            path,
            f"it holds no {MEMBER}, so its bands, classes and threshold are not known",
            REMEDY,
        ) from error
    except (OSError, zipfile.BadZipFile, ValueError) as error:
        raise InputError(path, f"it can't be read as a .keras file ({error})", REMEDY) from error
    try:
        return Card.from_json(content)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            path, f"its {MEMBER} is not of this version of roadmask ({error!r})", REMEDY
        ) from error
