"""The training loop.

It is TensorFlow's own and not `keras.Model.fit`, which fails on several machines
(keras-team/keras#20585) and would take the moving average out of the step's graph.
"""

from __future__ import annotations

import logging
import math
import shutil
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from roadmask.errors import SettingError
from roadmask.model.devices import chosen_precision, from_chief, is_chief
from roadmask.model.history import (
    Epoch,
    best_row,
    is_over,
    learning_rate,
    write_history,
)
from roadmask.model.losses import MaskedLoss
from roadmask.model.networks.layers import judged_part, training_twin
from roadmask.model.pictures import Examples
from roadmask.model.pipeline import TrainingStream
from roadmask.model.settings import TrainingSettings
from roadmask.model.state import State, StateFolder, Weights
from roadmask.model.validation import Validator, Verdict

log = logging.getLogger(__name__)

# An epoch that takes longer than this reports on the way.
REPORT_SECONDS = 60.0
# Layers' weights that weight decay leaves alone.
NOT_DECAYED = ("bias", "gamma", "beta")


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
        self.values = [tf.Variable(weight.numpy()) for weight in network.weights]

    def kept(self, step: int) -> float:
        """Return the share that a step keeps, counted from 0."""
        return min(self.share, (step + 1) / (step + 10))

    def move(self, kept: tf.Tensor) -> None:
        """Move towards the weights."""
        for value, weight in zip(self.values, self.weights, strict=True):
            value.assign(weight + kept * (value - weight))

    def get(self) -> Weights:
        """Return the average."""
        return [value.numpy() for value in self.values]

    def set(self, values: Weights) -> None:
        """Go on from an earlier average."""
        for variable, value in zip(self.values, values, strict=True):
            variable.assign(value)


class Run:
    """A training while it goes on.

    Parameters
    ----------
    network
        What is trained: from pictures to logits; made in the strategy's scope.
    loss
        What is made small.
    settings
        Of the training.
    steps_per_epoch
        How many steps an epoch has.
    strategy
        How batches are shared among devices.
    state
        Where to go on from, if anywhere.
    """

    def __init__(
        self,
        network: keras.Model,
        loss: MaskedLoss,
        settings: TrainingSettings,
        steps_per_epoch: int,
        strategy: tf.distribute.Strategy,
        state: State | None,
    ) -> None:
        self.network = network
        self.loss = loss
        self.settings = settings
        self.steps_per_epoch = steps_per_epoch
        self.strategy = strategy
        with strategy.scope():
            self.optimizer = make_optimizer(network, settings)
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
        self._gradients = tf.function(
            self._loss_and_gradients, jit_compile=settings.xla, autograph=False
        )
        self._step = tf.function(self._step_on_all, autograph=False)

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

    def epoch(self, batches: Iterator[Any]) -> float:
        """Train for one epoch and return its mean loss."""
        self.seed_dropout()
        total, reported = tf.constant(0.0), time.monotonic()
        for number in range(self.steps_per_epoch):
            loss = self.step(next(batches), number)
            total += loss
            if time.monotonic() - reported >= REPORT_SECONDS:
                reported = time.monotonic()
                self.report(number, float(loss))
        return float(total) / self.steps_per_epoch

    def step(self, batch: Any, number: int) -> tf.Tensor:  # noqa: ANN401 (tensors or values of replicas)
        """Train on one batch, the step of this number within its epoch; return the loss."""
        step = len(self.rows) * self.steps_per_epoch + number
        self.optimizer.learning_rate = learning_rate(
            self.settings, self.rows, step, self.steps_per_epoch
        )
        return self._step(batch, tf.constant(self.average.kept(step)))

    def seed_dropout(self) -> None:
        """Start the random numbers of dropout anew, from the number of the epoch.

        So an epoch draws the same ones whether or not the training was killed before it.
        """
        for number, layer in enumerate(self.network.layers):
            generator = getattr(layer, "seed_generator", None)
            if generator is not None:
                text = f"{self.settings.seed} {len(self.rows)} {number}"
                generator.state.assign([zlib.crc32(text.encode()), 0])

    def report(self, number: int, loss: float) -> None:
        """Say how far a long epoch is."""
        log.info(
            "epoch %d/%d: step %d of %d, loss %.4f",
            len(self.rows) + 1,
            self.settings.epochs,
            number + 1,
            self.steps_per_epoch,
            loss,
        )

    def _loss_and_gradients(
        self, pictures: tf.Tensor, labels: tf.Tensor
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        with tf.GradientTape() as tape:
            loss = self.loss(labels, self.network(pictures, training=True))
            # The devices' gradients are added up.
            share = loss / self.strategy.num_replicas_in_sync
            scaled = self.optimizer.scale_loss(share)
        return share, tape.gradient(scaled, self.network.trainable_variables)

    def _step_on_one(self, pictures: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        share, gradients = self._gradients(pictures, labels)
        self.optimizer.apply_gradients(
            zip(gradients, self.network.trainable_variables, strict=True)
        )
        return share

    def _step_on_all(self, batch: Any, kept: tf.Tensor) -> tf.Tensor:  # noqa: ANN401 (as above)
        shares = self.strategy.run(self._step_on_one, args=batch)
        self.average.move(kept)
        return self.strategy.reduce(tf.distribute.ReduceOp.SUM, shares, axis=None)


def make_optimizer(network: keras.Model, settings: TrainingSettings) -> keras.optimizers.Optimizer:
    """Return Adam (Kingma and Ba 2015), with decoupled weight decay where there is any.

    With float16 the loss is scaled, as small gradients would vanish in it.
    """
    optimizer = keras.optimizers.Adam(
        settings.learning_rate,
        weight_decay=settings.weight_decay or None,
        global_clipnorm=settings.clip_norm or None,
    )
    if settings.weight_decay:
        optimizer.exclude_from_weight_decay(var_names=list(NOT_DECAYED))
    if settings.precision == "float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    optimizer.build(network.trainable_variables)
    return optimizer


class EpochEnd:
    """Validates, records, saves and reports.

    Parameters
    ----------
    run
        The training.
    validator
        Of the averaged weights.
    examples
        What TensorBoard shows, if anything.
    classes
        Names of the classes, ``other`` first.
    folder
        Of the model.
    state
        Where the state lies.
    """

    def __init__(
        self,
        run: Run,
        validator: Validator,
        examples: Examples,
        classes: Sequence[str],
        folder: Path,
        state: StateFolder,
    ) -> None:
        self.run = run
        self.validator = validator
        self.examples = examples
        self.classes = classes
        self.history_path = folder / "history.csv"
        self.state = state
        self.writes = is_chief(run.strategy)
        if self.writes:
            self.board = Board(folder / "tensorboard")
            for row in run.rows:
                self.board.write(row)

    def take(self, loss: float, started: float) -> None:
        """Take an epoch with this mean loss, begun at this time."""
        epoch = len(self.run.rows) + 1
        require_finite(loss, "loss", epoch)
        # What is judged is what is saved: the average, in full precision.
        self.validator.network.set_weights(self.run.average.get())
        verdict = self.validator.judge()
        require_finite(verdict.loss, "validation loss", epoch)
        row = self._row(epoch, loss, verdict, time.monotonic() - started)
        is_best = self.run.add(row)
        if not self.writes:
            return
        write_history(self.history_path, self.run.rows)
        self.state.save(self.run.state(), best_row(self.run.rows).epoch)
        self.board.write(row, self.examples.sheet(self.validator.network, row.threshold))
        log.info("%s%s", describe(row, self.run), "  best so far" if is_best else "")

    def _row(self, epoch: int, loss: float, verdict: Verdict, seconds: float) -> Epoch:
        figures = verdict.figures
        threshold = math.nan if figures.threshold is None else figures.threshold
        # Machines may differ in the last digit, and must not differ in when to stop.
        loss, val_loss, mean, threshold, *iou = from_chief(
            self.run.strategy, [loss, verdict.loss, figures.mean_iou, threshold, *figures.iou]
        )
        return Epoch(
            epoch=epoch,
            loss=loss,
            val_loss=val_loss,
            val_mean_iou=mean,
            val_iou=dict(zip(self.classes, iou, strict=True)),
            threshold=threshold,
            learning_rate=float(np.asarray(self.run.optimizer.learning_rate)),
            seconds=seconds,
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

    def write(self, row: Epoch, pictures: NDArray[np.uint8] | None = None) -> None:
        """Add an epoch; training and validation loss share a chart."""
        for column, value in row.values().items():
            if column == "epoch" or math.isnan(value):
                continue
            part = "validation" if column.startswith("val_") or column == "threshold" else "train"
            with self.writers[part].as_default(step=row.epoch):
                tf.summary.scalar(column.removeprefix("val_"), value)
        if pictures is not None:
            with self.writers["validation"].as_default(step=row.epoch):
                tf.summary.image("picture, label, prediction", pictures[None])
        for writer in self.writers.values():
            writer.flush()


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
    loss: MaskedLoss,
    classes: Sequence[str],
    folder: Path,
    state_folder: StateFolder,
    strategy: tf.distribute.Strategy,
) -> Result:
    """Train a network, or go on where a training like it was killed.

    Parameters
    ----------
    model
        The network, made outside the strategy's scope.
    stream
        The training samples.
    validation
        The validation batches.
    loss
        What is made small.
    classes
        Names of the classes, ``other`` first.
    folder
        Where ``history.csv`` and ``tensorboard/`` go.
    state_folder
        Where the state lies.
    strategy
        How batches are shared among devices.

    Raises
    ------
    SettingError
        If the loss does not stay finite, or machines begin at different epochs.
    """
    settings = stream.settings
    precision = chosen_precision(settings, model)
    log.info("arithmetic: %s", precision)
    with strategy.scope():
        twin = training_twin(model, precision)
    run = Run(twin, loss, settings, stream.steps_per_epoch, strategy, state_folder.load())
    (first,) = from_chief(strategy, [len(run.rows)])
    if first != len(run.rows):
        raise SettingError(
            "training.strategy",
            f"this machine would go on after epoch {len(run.rows)}, the first after {first:g}",
            "Give all machines the same --output, in a folder they share",
        )
    if run.rows:
        log.info("going on after epoch %d, where a training like this ended", run.rows[-1].epoch)
        if is_chief(strategy):
            write_history(folder / "history.csv", run.rows)
    if not is_over(run.rows, settings):
        validator = Validator(judged_part(model), validation, loss)
        examples = Examples.of(validation, classes)
        end = EpochEnd(run, validator, examples, classes, folder, state_folder)
        batches = iter(shared_batches(stream, strategy, len(run.rows) * stream.steps_per_epoch))
        while not is_over(run.rows, settings):
            started = time.monotonic()
            end.take(run.epoch(batches), started)
    return Result(tuple(run.rows), run.best)


def shared_batches(
    stream: TrainingStream, strategy: tf.distribute.Strategy, first_step: int
) -> tf.data.Dataset:
    """Return the batches from a step on, each in as many parts as there are devices."""
    replicas = strategy.num_replicas_in_sync
    if replicas == 1:
        return stream.batches(first_step)

    def of_machine(context: tf.distribute.InputContext) -> tf.data.Dataset:
        batches = stream.batches(first_step, context.input_pipeline_id, context.num_input_pipelines)
        return batches.rebatch(stream.settings.batch_size // replicas)

    return strategy.distribute_datasets_from_function(of_machine)
