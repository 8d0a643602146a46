"""The settings of stage model and their defaults. Imports no TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from roadmask.errors import SettingError

LOSSES = ("dice_crossentropy", "dice", "crossentropy", "focal", "tversky")
CLASS_WEIGHTS = ("none", "balanced")
SCHEDULES = ("cosine", "plateau", "constant")
PRECISIONS = ("auto", "float32", "bfloat16", "float16")
STRATEGIES = ("auto", "single", "mirrored", "multi_worker")
# Crops are multiples of it. Networks of a larger stride see them with a rim of nothing.
STRIDE = 16

LIMIT = "_limit"
AUGMENTATION = "augmentation"


@dataclass(frozen=True)
class AugmentationSettings:
    """How pictures and labels are changed at random: the keys under ``training.augmentation``.

    Each change has a probability, by which it happens to a crop, and most have a limit, which
    is how strong it becomes at most: the strength is drawn evenly from nothing to it, and
    where a change has two directions, in both. They happen in the order of this list.

    Attributes
    ----------
    crop
        That a crop lies at a random place of its tile; else in the middle.
    rotation, rotation_limit
        By degrees either way.
    scale, scale_limit
        By a factor: 1.25 is from 0.8 to 1.25, evenly in its logarithm.
    grid_distortion, grid_distortion_limit
        Lines of a grid of five cells a side move by a share of a cell.
    elastic, elastic_limit
        Smooth random displacement, by pixels.
    flip_horizontal, flip_vertical, quarter_turns
        Mirrored, upside down, turned by 90, 180 or 270 degrees.
    gamma, gamma_limit
        Exponent of the tone curve, a natural logarithm.
    exposure, exposure_limit
        Gain of all bands, a natural logarithm: 0.1 is from 0.90 to 1.11.
    white_balance, white_balance_limit
        Gain of each band on its own, a natural logarithm.
    contrast, contrast_limit
        Factor about the picture's mean, a natural logarithm.
    brightness, brightness_limit
        Added to all bands, a share of the range.
    band_shift, band_shift_limit
        Added to each band on its own, a share of the range.
    haze, haze_limit
        A bright veil, a share of what is seen.
    hue, hue_limit
        By degrees about the grey axis; pictures of three bands.
    saturation, saturation_limit
        Factor of the distance to grey, a natural logarithm; pictures of three bands.
    greyscale
        All bands become their mean.
    band_permutation
        The bands in another order.
    illumination, illumination_limit
        Smoothly lighter here and darker there, by a share.
    clahe, clahe_limit
        Contrast-limited adaptive histogram equalization, its clip limit from 1 on.
    resolution, resolution_limit
        Seen in pixels coarser by a factor, from 1 on.
    blur, blur_limit
        Gaussian, its deviation in pixels.
    sharpness, sharpness_limit
        Unsharp masking, its amount.
    noise, noise_limit
        Normal, its deviation in levels of 0 to 255; half of the time the same in all bands.
    compression, compression_limit
        As JPEG shows it, whose quality is 100 less this at worst.
    band_dropout
        One band becomes 0; pictures of two bands and more.
    cut_out, cut_out_limit
        A rectangle becomes the picture's mean colour, its edges a share of the crop's. The
        label stays: what is hidden has to be guessed from what surrounds it, as under trees.
    """

    crop: float = 1.0
    rotation: float = 0.0
    rotation_limit: float = 45.0
    scale: float = 0.0
    scale_limit: float = 1.25
    grid_distortion: float = 0.0
    grid_distortion_limit: float = 0.3
    elastic: float = 0.0
    elastic_limit: float = 4.0
    flip_horizontal: float = 0.5
    flip_vertical: float = 0.5
    quarter_turns: float = 0.75
    gamma: float = 1.0
    gamma_limit: float = 0.05
    exposure: float = 1.0
    exposure_limit: float = 0.1
    white_balance: float = 1.0
    white_balance_limit: float = 0.02
    contrast: float = 0.0
    contrast_limit: float = 0.3
    brightness: float = 0.0
    brightness_limit: float = 0.1
    band_shift: float = 0.0
    band_shift_limit: float = 0.05
    haze: float = 0.0
    haze_limit: float = 0.4
    hue: float = 0.0
    hue_limit: float = 15.0
    saturation: float = 0.0
    saturation_limit: float = 0.4
    greyscale: float = 0.0
    band_permutation: float = 0.0
    illumination: float = 0.0
    illumination_limit: float = 0.3
    clahe: float = 0.0
    clahe_limit: float = 3.0
    resolution: float = 0.0
    resolution_limit: float = 2.0
    blur: float = 0.0
    blur_limit: float = 1.5
    sharpness: float = 0.0
    sharpness_limit: float = 1.0
    noise: float = 0.0
    noise_limit: float = 8.0
    compression: float = 0.0
    compression_limit: float = 75.0
    band_dropout: float = 0.0
    cut_out: float = 0.0
    cut_out_limit: float = 0.3

    def __post_init__(self) -> None:
        for name, value in self.values().items():
            key = f"{AUGMENTATION}.{name}"
            if not name.endswith(LIMIT):
                if not 0 <= value <= 1:
                    raise _wrong(key, value, "Write a probability, from 0 to 1")
                continue
            low, high = LIMITS[name.removesuffix(LIMIT)]
            if not low <= value <= high:
                raise _wrong(key, value, f"Write a number from {low:g} to {high:g}")

    def values(self) -> dict[str, float]:
        """Return the values by their names."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    def probabilities(self) -> dict[str, float]:
        """Return the probability of each change, in their order."""
        return {name: value for name, value in self.values().items() if not name.endswith(LIMIT)}


# Between which numbers the limit of each change may lie.
LIMITS = {
    "rotation": (0, 180),
    "scale": (1, 4),
    "grid_distortion": (0, 0.45),
    "elastic": (0, 100),
    "gamma": (0, 2),
    "exposure": (0, 2),
    "white_balance": (0, 2),
    "contrast": (0, 2),
    "brightness": (0, 1),
    "band_shift": (0, 1),
    "haze": (0, 0.95),
    "hue": (0, 180),
    "saturation": (0, 2),
    "illumination": (0, 1),
    "clahe": (1, 40),
    "resolution": (1, 8),
    "blur": (0, 10),
    "sharpness": (0, 5),
    "noise": (0, 100),
    "compression": (0, 99),
    "cut_out": (0, 0.9),
}


def no_augmentation() -> AugmentationSettings:
    """Return settings under which nothing is changed, crops in the middle of their tiles."""
    return AugmentationSettings(**dict.fromkeys(AugmentationSettings().probabilities(), 0.0))


@dataclass(frozen=True)
class TrainingSettings:
    """How a network is trained: the keys under ``training``.

    Attributes
    ----------
    epochs
        Passes over the training tiles, at most.
    batch_size
        Crops a step, on all devices together.
    crop
        Edge of the random crops, in pixels. Tiles that are not larger are taken whole.
    learning_rate
        The highest.
    schedule
        ``cosine``: up over the first steps, then down along half a cosine. ``plateau``:
        divided when the validation loss no longer falls. ``constant``.
    warm_up
        Share of all steps over which ``cosine`` climbs.
    plateau_patience
        Epochs without a better validation loss until the rate is divided.
    plateau_divisor
        What it is divided by.
    loss
        One of `LOSSES`.
    focal_gamma
        How strongly ``focal`` leaves pixels alone that are right already; 0 is cross-entropy.
    tversky_misses
        Weight of missed pixels in ``tversky``; false alarms weigh the rest. 0.5 is Dice.
    class_weights
        ``balanced``: classes weigh as ``dataset.json`` says. ``none``: all the same.
    weight_decay
        Share of each weight that a step takes away, times the rate; biases and
        normalizations keep theirs.
    clip_norm
        The gradients of a step are shortened to this norm, all together; 0: never.
    average
        What is validated and saved is a moving average of the weights; the share of it that
        each step keeps. 0: the weights themselves.
    patience
        Epochs without a better validation mean IoU until training ends early.
    precision
        Of the arithmetic while training. ``auto``: bfloat16 where the processor has
        instructions for it, which nearly doubles the speed of most networks, else float32;
        networks with depthwise convolutions gain nothing, and get float32. What is
        validated, saved and applied has float32.
    xla
        Whether TensorFlow compiles the training step.
    strategy
        ``single``: one device. ``mirrored``: all GPUs of the machine share each batch.
        ``multi_worker``: the machines of ``TF_CONFIG`` do. ``auto``: ``mirrored`` where
        there is more than one GPU, else ``single``.
    deterministic
        Whether samples must come in the same order every time, so that the same seed gives
        the same network. Else those of a split too large for memory come, within a pass, as
        they are read, which a slow or far disk gains by; each tile still comes once a pass.
        Several machines read in order in any case. GPUs add in any order.
    seed
        Of the weights, the order, the augmentation and the dropout.
    augmentation
        The random changes.
    """

    epochs: int = 28
    batch_size: int = 4
    crop: int = 128
    learning_rate: float = 0.002
    schedule: str = "cosine"
    warm_up: float = 0.05
    plateau_patience: int = 4
    plateau_divisor: float = 5.0
    loss: str = "dice_crossentropy"
    focal_gamma: float = 2.0
    tversky_misses: float = 0.7
    class_weights: str = "none"
    weight_decay: float = 0.0
    clip_norm: float = 0.0
    average: float = 0.99
    patience: int = 12
    precision: str = "auto"
    xla: bool = False
    strategy: str = "auto"
    deterministic: bool = True
    seed: int = 1
    augmentation: AugmentationSettings = field(default_factory=AugmentationSettings)

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "plateau_patience", "patience"):
            self._require(name, getattr(self, name) >= 1, "Write a whole number from 1 on")
        fits = self.crop >= STRIDE and self.crop % STRIDE == 0
        self._require("crop", fits, f"Write a multiple of {STRIDE}")
        self._require("learning_rate", 0 < self.learning_rate <= 1, "Write such as 0.001")
        below_one = "Write 0, or a number below 1 such as"
        for name, example in (("average", 0.99), ("warm_up", 0.05), ("weight_decay", 0.0001)):
            self._require(name, 0 <= getattr(self, name) < 1, f"{below_one} {example}")
        self._require("plateau_divisor", self.plateau_divisor > 1, "Write a number above 1")
        self._require("focal_gamma", 0 <= self.focal_gamma <= 10, "Write a number from 0 to 10")
        self._require(
            "tversky_misses", 0 < self.tversky_misses < 1, "Write a number between 0 and 1"
        )
        self._require("clip_norm", self.clip_norm >= 0, "Write 0 or more")
        for name, known in (
            ("schedule", SCHEDULES),
            ("loss", LOSSES),
            ("class_weights", CLASS_WEIGHTS),
            ("precision", PRECISIONS),
            ("strategy", STRATEGIES),
        ):
            self._require(name, getattr(self, name) in known, f"Write one of {', '.join(known)}")
        self._require("seed", self.seed >= 0, "Write 0 or more")

    def _require(self, name: str, is_possible: bool, remedy: str) -> None:
        if not is_possible:
            raise _wrong(name, getattr(self, name), remedy)

    @classmethod
    def from_leaves(cls, leaves: Mapping[str, Any]) -> TrainingSettings:
        """Make settings of values by their names below ``training``, dots in them.

        Raises
        ------
        SettingError
            If a value is not possible.
        """
        prefix = f"{AUGMENTATION}."
        inner = {
            name.removeprefix(prefix): value
            for name, value in leaves.items()
            if name.startswith(prefix)
        }
        own = {name: value for name, value in leaves.items() if not name.startswith(prefix)}
        return cls(**own, augmentation=AugmentationSettings(**inner))

    def leaves(self) -> dict[str, Any]:
        """Return the values by their names below ``training``, dots in them."""
        own = {
            each.name: getattr(self, each.name)
            for each in fields(self)
            if each.name != AUGMENTATION
        }
        inner = self.augmentation.values()
        return own | {f"{AUGMENTATION}.{name}": value for name, value in inner.items()}

    def by_key(self) -> dict[str, Any]:
        """Return the values by their config keys."""
        return {f"training.{name}": value for name, value in self.leaves().items()}


def _wrong(name: str, value: object, remedy: str) -> SettingError:
    return SettingError(f"training.{name}", f"{value!r} is not possible", remedy)
