"""The settings of stage model and their defaults. Imports no TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from roadmask.errors import SettingError

LOSSES = ("dice_crossentropy", "dice", "crossentropy")
SCHEDULES = ("cosine", "plateau", "constant")
PRECISIONS = ("auto", "float32", "bfloat16")
# Crops are multiples of it. Networks of a larger stride see them with a rim of nothing.
STRIDE = 16


@dataclass(frozen=True)
class TrainingSettings:
    """How a network is trained: the keys under ``training``.

    Attributes
    ----------
    epochs
        Passes over the training tiles, at most.
    batch_size
        Crops a step.
    crop
        Edge of the random crops, in pixels. Tiles that are not larger are taken whole.
    learning_rate
        The highest.
    schedule
        ``cosine``: up over the first steps, then down along half a cosine. ``plateau``:
        divided when the validation loss no longer falls. ``constant``.
    plateau_patience
        Epochs without a better validation loss until the rate is divided.
    plateau_divisor
        What it is divided by.
    loss
        One of `LOSSES`.
    average
        What is validated and saved is a moving average of the weights; the share of it that
        each step keeps. 0: the weights themselves.
    flips
        Whether crops are mirrored and turned by quarter turns at random.
    light
        Largest random change of exposure, as a natural logarithm: 0.4 is from 0.67 to 1.5
        times; tone curve and white balance change by less. 0 for none.
    patience
        Epochs without a better validation mean IoU until training ends early.
    precision
        Of the arithmetic while training. ``auto``: bfloat16 where the processor has
        instructions for it, which nearly doubles the speed, else float32. What is
        validated, saved and applied has float32.
    seed
        Of the weights, the order, the augmentation and the dropout.
    """

    epochs: int = 32
    batch_size: int = 4
    crop: int = 128
    learning_rate: float = 0.002
    schedule: str = "cosine"
    plateau_patience: int = 4
    plateau_divisor: float = 5.0
    loss: str = "dice_crossentropy"
    average: float = 0.99
    flips: bool = True
    light: float = 0.1
    patience: int = 12
    precision: str = "auto"
    seed: int = 1

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "plateau_patience", "patience"):
            if getattr(self, name) < 1:
                raise _wrong(name, getattr(self, name), "Write a whole number from 1 on")
        if self.crop < STRIDE or self.crop % STRIDE:
            raise _wrong("crop", self.crop, f"Write a multiple of {STRIDE}")
        if not 0 < self.learning_rate <= 1:
            raise _wrong("learning_rate", self.learning_rate, "Write such as 0.001")
        if not 0 <= self.average < 1:
            raise _wrong("average", self.average, "Write 0, or a number below 1 such as 0.99")
        if not self.plateau_divisor > 1:
            raise _wrong("plateau_divisor", self.plateau_divisor, "Write a number above 1")
        if self.schedule not in SCHEDULES:
            raise _wrong("schedule", self.schedule, f"Write one of {', '.join(SCHEDULES)}")
        if self.loss not in LOSSES:
            raise _wrong("loss", self.loss, f"Write one of {', '.join(LOSSES)}")
        if self.precision not in PRECISIONS:
            raise _wrong("precision", self.precision, f"Write one of {', '.join(PRECISIONS)}")
        if not 0 <= self.light <= 2:
            raise _wrong("light", self.light, "Write a number from 0 to 2, such as 0.4")
        if self.seed < 0:
            raise _wrong("seed", self.seed, "Write 0 or more")

    def by_key(self) -> dict[str, Any]:
        """Return the values by their config keys."""
        return {f"training.{field.name}": getattr(self, field.name) for field in fields(self)}


def _wrong(name: str, value: object, remedy: str) -> SettingError:
    return SettingError(f"training.{name}", f"{value!r} is not possible", remedy)
