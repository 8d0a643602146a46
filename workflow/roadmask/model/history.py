"""What the epochs so far say of the next: the rate, the best epoch, whether to stop.

All of it follows from the rows of ``history.csv``, so a training that goes on after a kill
decides as it would have done without.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from roadmask.files import write_text
from roadmask.model.settings import TrainingSettings

# Of the highest rate, where the cosine schedule ends.
LAST_SHARE = 0.01


@dataclass(frozen=True)
class Epoch:
    """One row of the history.

    Attributes
    ----------
    epoch
        Counted from 1.
    loss
        Mean over the training steps.
    val_loss
        Of the validation split as a whole.
    val_mean_iou
        At `threshold`; NaN where no label of the split is known.
    val_iou
        By name of the class, ``other`` included; NaN where a class is not there.
    threshold
        The best on validation after this epoch; NaN where there are several classes.
    learning_rate
        At the end of the epoch.
    seconds
        How long it took, validation included.
    """

    epoch: int
    loss: float
    val_loss: float
    val_mean_iou: float
    learning_rate: float
    threshold: float
    seconds: float
    val_iou: dict[str, float] = field(default_factory=dict)

    def values(self) -> dict[str, float]:
        """Return the row by its columns, in their order."""
        return {
            "epoch": self.epoch,
            "loss": self.loss,
            "val_loss": self.val_loss,
            "val_mean_iou": self.val_mean_iou,
            **{f"val_iou_{name}": value for name, value in self.val_iou.items()},
            "threshold": self.threshold,
            "learning_rate": self.learning_rate,
            "seconds": self.seconds,
        }


def write_history(path: Path, rows: Sequence[Epoch]) -> None:
    """Write the rows as CSV; what is NaN stays empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for row in rows:
        if row is rows[0]:
            writer.writerow(row.values())
        writer.writerow(
            "" if math.isnan(value) else f"{value:.6g}" for value in row.values().values()
        )
    write_text(path, text.getvalue())


def is_better(row: Epoch, other: Epoch) -> bool:
    """Tell whether a row has the larger mean IoU, or, where neither has one, the smaller loss."""
    if math.isnan(row.val_mean_iou) or math.isnan(other.val_mean_iou):
        return row.val_loss < other.val_loss
    return row.val_mean_iou > other.val_mean_iou


def best_row(rows: Sequence[Epoch]) -> Epoch:
    """Return the best row, the first where several are equally good."""
    best = rows[0]
    for row in rows[1:]:
        if is_better(row, best):
            best = row
    return best


def is_over(rows: Sequence[Epoch], settings: TrainingSettings) -> bool:
    """Tell whether the last epoch was the last one planned, or patience is at its end."""
    if not rows:
        return False
    last = rows[-1].epoch
    return last >= settings.epochs or last - best_row(rows).epoch >= settings.patience


def learning_rate(
    settings: TrainingSettings, rows: Sequence[Epoch], step: int, steps_per_epoch: int
) -> float:
    """Return the rate of a step.

    Parameters
    ----------
    settings
        Those of the training.
    rows
        The epochs that have ended.
    step
        Counted from 0 over the whole training.
    steps_per_epoch
        How many steps an epoch has.
    """
    highest = settings.learning_rate
    if settings.schedule == "plateau":
        return highest / settings.plateau_divisor ** _count_plateaus(
            rows, settings.plateau_patience
        )
    if settings.schedule == "constant":
        return highest
    total = settings.epochs * steps_per_epoch
    warm_up = max(1, round(settings.warm_up * total))
    if step < warm_up:
        return highest * (step + 1) / warm_up
    done = (step - warm_up) / max(1, total - warm_up)
    share = LAST_SHARE + (1 - LAST_SHARE) * (1 + math.cos(math.pi * done)) / 2
    return highest * share


def _count_plateaus(rows: Sequence[Epoch], patience: int) -> int:
    """Count how often the validation loss did not fall for `patience` epochs on end."""
    lowest, waited, plateaus = math.inf, 0, 0
    for row in rows:
        if row.val_loss < lowest:
            lowest, waited = row.val_loss, 0
            continue
        waited += 1
        if waited == patience:
            plateaus, waited = plateaus + 1, 0
    return plateaus
