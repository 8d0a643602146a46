"""The training loop: one `fit` with callbacks, each with one task."""

from __future__ import annotations

import logging
import math
import shutil
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from roadmask.errors import SettingError
from roadmask.model.history import (
    Epoch,
    best_row,
    is_over,
    learning_rate,
    write_history,
)
from roadmask.model.losses import MaskedLoss
from roadmask.model.networks.layers import judged_part, training_twin
from roadmask.model.pipeline import TrainingStream
from roadmask.model.settings import TrainingSettings
from roadmask.model.state import State, StateFolder, Weights
from roadmask.model.validation import Validator, Verdict

log = logging.getLogger(__name__)

# An epoch that takes longer than this reports on the way.
REPORT_SECONDS = 60.0
# Where Linux lists what its processors can do, and the instructions that count in bfloat16.
CPU_FLAGS = Path("/proc/cpuinfo")
BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16"}


@dataclass(frozen=True)
class Result:
    """A trained network.

    Attributes
    ----------
    rows
        The history.
    weights
        Those after the best epoch.
    """

    rows: tuple[Epoch, ...]
    weights: Weights

    @property
    def best(self) -> Epoch:
        """The row of the best epoch."""
        return best_row(self.rows)


class MovingAverage:
    """The moving average of a network's weights, statistics of normalizations included.

    The first steps keep less of it, so that the weights it began with are soon forgotten.

    Parameters
    ----------
    network
        Whose weights are averaged.
    share
        How much of the average a step keeps in the end; with 0 it is the weights themselves.
    """

    def __init__(self, network: keras.Model, share: float) -> None:
        self.share = share
        self.weights = [weight.value for weight in network.weights]
        self.values = [tf.Variable(weight) for weight in self.weights]
        self._move = tf.function(self._move_values, autograph=False)

    def follow(self, step: int) -> None:
        """Move towards the weights after a step, counted from 0."""
        self._move(tf.constant(min(self.share, (step + 1) / (step + 10))))

    def _move_values(self, share: tf.Tensor) -> None:
        for value, weight in zip(self.values, self.weights, strict=True):
            value.assign(weight + share * (value - weight))

    def get(self) -> Weights:
        """Return the average."""
        return [value.numpy() for value in self.values]

    def set(self, values: Weights) -> None:
        """Go on from an earlier average."""
        for variable, value in zip(self.values, values, strict=True):
            variable.assign(value)


class Run:
    """A training while it goes on; what the callbacks share.

    Parameters
    ----------
    network
        What is trained: from pictures to logits.
    settings
        Of the training.
    steps_per_epoch
        How many steps an epoch has.
    state
        Where to go on from, if anywhere.
    """

    def __init__(
        self,
        network: keras.Model,
        settings: TrainingSettings,
        steps_per_epoch: int,
        state: State | None,
    ) -> None:
        self.network = network
        self.settings = settings
        self.steps_per_epoch = steps_per_epoch
        self.optimizer = keras.optimizers.Adam(settings.learning_rate)
        self.optimizer.build(network.trainable_variables)
        self.average = MovingAverage(network, settings.average)
        self.rows: list[Epoch] = []
        self.best: Weights = ()
        if state is not None:
            self.rows = list(state.rows)
            self.best = state.best
            network.set_weights(state.weights)
            self.average.set(state.average)
            for variable, value in zip(self.optimizer.variables, state.optimizer, strict=True):
                variable.assign(value)

    def add(self, row: Epoch) -> bool:
        """Add an epoch; return whether it is the best so far."""
        self.rows.append(row)
        is_best = best_row(self.rows) is row
        if is_best:
            self.best = self.average.get()
        return is_best

    def state(self) -> State:
        """Return what is needed to go on from here."""
        return State(
            rows=tuple(self.rows),
            weights=self.network.get_weights(),
            average=self.average.get(),
            optimizer=[np.asarray(variable) for variable in self.optimizer.variables],
            best=self.best,
        )


class Steps(keras.callbacks.Callback):  # type: ignore[misc]
    """Sets the rate of each step, and averages the weights after it."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.run = run

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Set the rate of the step that begins."""
        self.run.optimizer.learning_rate = learning_rate(
            self.run.settings, self.run.rows, self._step(batch), self.run.steps_per_epoch
        )

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Average."""
        self.run.average.follow(self._step(batch))

    def _step(self, batch: int) -> int:
        return len(self.run.rows) * self.run.steps_per_epoch + batch


class DropoutSeeds(keras.callbacks.Callback):  # type: ignore[misc]
    """Starts the random numbers of dropout anew in each epoch, from its number.

    So an epoch draws the same ones whether or not the training was killed before it.
    """

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.run = run

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Seed all layers that draw random numbers."""
        for number, layer in enumerate(self.run.network.layers):
            generator = getattr(layer, "seed_generator", None)
            if generator is not None:
                text = f"{self.run.settings.seed} {epoch} {number}"
                generator.state.assign([zlib.crc32(text.encode()), 0])


class EpochEnd(keras.callbacks.Callback):  # type: ignore[misc]
    """Validates, records, saves, reports and decides whether training is over."""

    def __init__(
        self,
        run: Run,
        validator: Validator,
        classes: Sequence[str],
        folder: Path,
        state: StateFolder,
    ) -> None:
        super().__init__()
        self.run = run
        self.validator = validator
        self.classes = classes
        self.history_path = folder / "history.csv"
        self.state = state
        self.board = Board(folder / "tensorboard")
        for row in run.rows:
            self.board.write(row)
        self.started = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Start the clock."""
        self.started = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """See the class."""
        loss = float((logs or {})["loss"])
        require_finite(loss, "loss", epoch + 1)
        # What is judged is what is saved: the average, in full precision.
        self.validator.network.set_weights(self.run.average.get())
        verdict = self.validator.judge()
        require_finite(verdict.loss, "validation loss", epoch + 1)
        row = self._row(epoch + 1, loss, verdict)
        is_best = self.run.add(row)
        write_history(self.history_path, self.run.rows)
        self.state.save(self.run.state(), best_row(self.run.rows).epoch)
        self.board.write(row)
        log.info("%s%s", describe(row, self.run), "  best so far" if is_best else "")
        if is_over(self.run.rows, self.run.settings):
            self.model.stop_training = True

    def _row(self, epoch: int, loss: float, verdict: Verdict) -> Epoch:
        figures = verdict.figures
        return Epoch(
            epoch=epoch,
            loss=loss,
            val_loss=verdict.loss,
            val_mean_iou=figures.mean_iou,
            val_iou=dict(zip(self.classes, figures.iou, strict=True)),
            threshold=math.nan if figures.threshold is None else figures.threshold,
            learning_rate=float(np.asarray(self.run.optimizer.learning_rate)),
            seconds=time.monotonic() - self.started,
        )


class StepReport(keras.callbacks.Callback):  # type: ignore[misc]
    """Reports within long epochs."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.run = run
        self.reported = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Start the clock."""
        self.reported = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Report once a minute."""
        now = time.monotonic()
        if now - self.reported >= REPORT_SECONDS:
            self.reported = now
            log.info(
                "epoch %d/%d: step %d of %d, loss %.4f",
                len(self.run.rows) + 1,
                self.run.settings.epochs,
                batch + 1,
                self.run.steps_per_epoch,
                float((logs or {})["loss"]),
            )


class Board:
    """Writes the history for TensorBoard, anew in each run.

    Parameters
    ----------
    folder
        Its log folder; what it holds is removed.
    """

    def __init__(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        self.writers = {
            name: tf.summary.create_file_writer(str(folder / name))
            for name in ("train", "validation")
        }

    def write(self, row: Epoch) -> None:
        """Add an epoch; training and validation loss share a chart."""
        for column, value in row.values().items():
            if column == "epoch" or math.isnan(value):
                continue
            part = "validation" if column.startswith("val_") or column == "threshold" else "train"
            with self.writers[part].as_default(step=row.epoch):
                tf.summary.scalar(column.removeprefix("val_"), value)
        for writer in self.writers.values():
            writer.flush()


def chosen_precision(settings: TrainingSettings) -> str:
    """Return the precision to train in: the one set, or the one this machine is fast in."""
    if settings.precision != "auto":
        return settings.precision
    if tf.config.list_physical_devices("GPU"):
        return "float32"
    flags = CPU_FLAGS.read_text(encoding="utf-8").split() if CPU_FLAGS.exists() else []
    return "bfloat16" if BFLOAT16_FLAGS.intersection(flags) else "float32"


def require_finite(value: float, name: str, epoch: int) -> None:
    """Refuse to go on with a network that is lost.

    Raises
    ------
    SettingError
        If the value is NaN or infinite.
    """
    if not math.isfinite(value):
        raise SettingError(
            "training.learning_rate",
            f"the {name} became {value} in epoch {epoch}, so the network is lost",
            "Write a smaller one",
        )


def describe(row: Epoch, run: Run) -> str:
    """Return a row as a line for people, with an estimate of what is left."""
    left = run.settings.epochs - row.epoch
    seconds = [each.seconds for each in run.rows[-3:]]
    iou = "  ".join(f"{name} {value:.4f}" for name, value in row.val_iou.items())
    return (
        f"epoch {row.epoch}/{run.settings.epochs}  loss {row.loss:.4f}  "
        f"val_loss {row.val_loss:.4f}  IoU: {iou}  mean {row.val_mean_iou:.4f}  "
        f"rate {row.learning_rate:.2g}  {row.seconds:.0f} s, "
        f"{duration(left * sum(seconds) / len(seconds))} left"
    )


def duration(seconds: float) -> str:
    """Return such as ``1 h 02 min``, ``4 min`` or ``20 s``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min"


def train(
    model: keras.Model,
    stream: TrainingStream,
    validation: tf.data.Dataset,
    classes: Sequence[str],
    folder: Path,
    state_folder: StateFolder,
) -> Result:
    """Train a network, or go on where a training like it was killed.

    Parameters
    ----------
    model
        The network. Its weights are those of the last epoch in the end.
    stream
        The training samples.
    validation
        The validation batches.
    classes
        Names of the classes, ``other`` first.
    folder
        Where ``history.csv`` and ``tensorboard/`` go.
    state_folder
        Where the state lies.

    Raises
    ------
    SettingError
        If the loss does not stay finite.
    """
    settings = stream.settings
    precision = chosen_precision(settings)
    log.info("arithmetic: %s", precision)
    twin = training_twin(model, precision)
    run = Run(twin, settings, stream.steps_per_epoch, state_folder.load())
    if run.rows:
        log.info("going on after epoch %d, where a training like this ended", run.rows[-1].epoch)
        write_history(folder / "history.csv", run.rows)
    if not is_over(run.rows, settings):
        # XLA makes these networks slower on processors, and its compilation takes long.
        twin.compile(optimizer=run.optimizer, loss=MaskedLoss(settings.loss), jit_compile=False)
        validator = Validator(judged_part(model), validation, settings.loss)
        twin.fit(
            stream.batches(len(run.rows) * stream.steps_per_epoch),
            steps_per_epoch=stream.steps_per_epoch,
            initial_epoch=len(run.rows),
            epochs=settings.epochs,
            verbose=0,
            shuffle=False,  # the stream is in its own order
            callbacks=[
                Steps(run),
                DropoutSeeds(run),
                StepReport(run),
                EpochEnd(run, validator, classes, folder, state_folder),
            ],
        )
    return Result(tuple(run.rows), run.best)
