"""Scenes stream through reading, network and blending, each in a thread of its own.

Windows travel one by one, and only few wait between two threads, so what is held is two
strips of picture (a scene's width times a window), the strip that is being blended, and a
few windows.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeVar

import numpy as np

from roadmask.predictions.blending import RowBlender
from roadmask.predictions.lattice import Span
from roadmask.predictions.picture import Picture
from roadmask.predictions.seams import SeamMeter

Item = TypeVar("Item")

# Takes uint8 of (windows, window, window, bands), always the same number of windows, and
# gives float32 of (windows, window, window, outputs).
Network = Callable[[np.ndarray], np.ndarray]

# The symmetries of a square that `prediction.augmentation` averages over: quarter turns, and
# whether the picture is mirrored after them.
Symmetries = tuple[tuple[int, bool], ...]
SYMMETRIES: Mapping[str, Symmetries] = MappingProxyType(
    {
        "none": ((0, False),),
        "flips": ((0, False), (0, True), (2, False), (2, True)),
        "turns": tuple((turns, mirrored) for turns in range(4) for mirrored in (False, True)),
    }
)


def averaged(networks: Sequence[Network], symmetries: Symmetries) -> Network:
    """Return the mean of what networks answer to a picture, turned and mirrored.

    Parameters
    ----------
    networks
        Which take the same pictures.
    symmetries
        In which the picture is shown to each; answers are turned back.
    """
    if len(networks) == 1 and symmetries == SYMMETRIES["none"]:
        return networks[0]

    def network(pixels: np.ndarray) -> np.ndarray:
        total: np.ndarray | None = None
        for turns, mirrored in symmetries:
            shown = np.rot90(pixels, turns, axes=(1, 2))
            shown = np.ascontiguousarray(shown[:, :, ::-1] if mirrored else shown)
            for each in networks:
                answer = each(shown)
                answer = answer[:, :, ::-1] if mirrored else answer
                answer = np.rot90(answer, -turns, axes=(1, 2))
                total = answer.copy() if total is None else total + answer
        if total is None:
            raise ValueError("there is no network to ask")
        mean: np.ndarray = total / np.float32(len(networks) * len(symmetries))
        return mean

    return network


@dataclass(frozen=True)
class Strip:
    """One row of windows over a scene.

    Attributes
    ----------
    row
        Its index among the scene's rows of windows.
    valid
        Where the scene has a picture and is inside `area`, on the rows for which this row
        of windows has a weight: bool of ``(rows, width)``.
    """

    row: int
    valid: np.ndarray


@dataclass(frozen=True)
class Window:
    """One window of a strip.

    Attributes
    ----------
    strip
        The strip it belongs to.
    column
        Where it lies along the columns; None for a strip without any picture, which holds
        this one window without pixels, so that its rows are written.
    pixels
        What the network sees, uint8 of ``(window, window, bands)``; or what it answered,
        float32 of ``(window, window, outputs)``.
    """

    strip: Strip
    column: Span | None
    pixels: np.ndarray | None


# Tells where a window of a scene lies inside `area`: (first row, rows) to bool of (rows, width).
Inside = Callable[[int, int], np.ndarray]


def read_windows(
    picture: Picture,
    columns: Sequence[Span],
    rows: Sequence[Span],
    size: int,
    width: int,
    height: int,
    inside: Inside | None = None,
) -> Iterator[Window]:
    """Read the windows of a scene, row by row, from the left.

    Parameters
    ----------
    picture
        The scene and what lies around it.
    columns, rows
        Where the windows lie.
    size
        Pixels of a window along one axis.
    width, height
        The scene's pixels.
    inside
        The ground that counts; all by default.

    Yields
    ------
    Window
        Those with a picture where they have a weight, and one without pixels for each
        strip that has none.
    """
    left = columns[0].start
    span = columns[-1].start + size - left
    for index, row in enumerate(rows):
        pixels, has_picture = picture.read(left, row.start, span, size)
        first, stop = max(row.first, 0), min(row.stop, height)
        valid = has_picture[first - row.start : stop - row.start, -left : width - left]
        if inside is not None:
            valid = valid & inside(first, stop - first)
        strip = Strip(index, valid)
        wanted = [
            column
            for column in columns
            if valid[:, max(column.first, 0) : min(column.stop, width)].any()
        ]
        for column in wanted:
            offset = column.start - left
            yield Window(strip, column, pixels[:, offset : offset + size])
        if not wanted:
            yield Window(strip, None, None)


def predict_windows(
    windows: Iterable[tuple[Item, Window]], network: Network, batch: int
) -> Iterator[tuple[Item, Window]]:
    """Send windows through the network in batches of one size, keeping their order.

    The last batch is filled up with windows of zeros, since a network compiled for one
    shape is fastest, and gives the same bytes, when that is the only one it sees.
    """
    waiting: list[tuple[Item, Window]] = []
    filled = 0
    for pair in windows:
        waiting.append(pair)
        filled += pair[1].pixels is not None
        if filled == batch:
            yield from _predict(waiting, network, batch)
            waiting, filled = [], 0
    if waiting:
        yield from _predict(waiting, network, batch)


def _predict(
    waiting: list[tuple[Item, Window]], network: Network, batch: int
) -> Iterator[tuple[Item, Window]]:
    inputs = [window.pixels for _, window in waiting if window.pixels is not None]
    if inputs:
        stacked = np.zeros((batch, *inputs[0].shape), dtype=np.uint8)
        np.stack(inputs, out=stacked[: len(inputs)])
        answers = iter(network(stacked))
    for item, window in waiting:
        answer = None if window.pixels is None else next(answers)
        yield item, Window(window.strip, window.column, answer)


def blend_windows(
    windows: Iterable[Window],
    rows: list[Span],
    width: int,
    height: int,
    outputs: int,
    seams: SeamMeter | None = None,
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Blend the windows of one scene.

    Parameters
    ----------
    windows
        All windows of the scene, answered, in the order of `read_windows`.
    rows
        Where they lie along the rows.
    width, height
        The scene's pixels.
    outputs
        Probabilities a pixel.
    seams
        What is to see every window and all rows.

    Yields
    ------
    (int, numpy.ndarray, numpy.ndarray)
        From the top down, without a gap: the first row, probabilities as float32 of
        ``(rows, width, outputs)``, and where there is a picture, bool of ``(rows, width)``.
    """
    blender = RowBlender(width, height, outputs, rows)
    current: Strip | None = None

    def finish(strip: Strip) -> tuple[int, np.ndarray, np.ndarray]:
        first, probabilities = blender.finish(strip.row)
        # A strip's own rows begin where those that it finishes begin.
        valid = strip.valid[: len(probabilities)]
        if seams is not None and len(probabilities):
            seams.add_rows(first, probabilities, valid)
        return first, probabilities, valid

    for window in windows:
        if current is not None and window.strip is not current:
            yield finish(current)
        current = window.strip
        if window.column is not None and window.pixels is not None:
            blender.add(current.row, window.column, window.pixels)
            if seams is not None:
                row = rows[current.row]
                first = max(row.first, 0)
                seams.add_window(row, window.column, window.pixels, first, current.valid)
    if current is not None:
        yield finish(current)


@contextmanager
def in_thread(items: Iterable[Item], ahead: int) -> Iterator[Iterator[Item]]:
    """Run an iterator in a thread of its own, up to `ahead` items before they are asked for.

    What it raises is raised where the items are taken. On leaving, the thread is stopped at
    its next item and waited for.
    """
    buffer: queue.Queue[tuple[bool, Item | None, BaseException | None]] = queue.Queue(ahead)
    stopped = threading.Event()

    def put(entry: tuple[bool, Item | None, BaseException | None]) -> bool:
        while not stopped.is_set():
            try:
                buffer.put(entry, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def work() -> None:
        try:
            for item in items:
                if not put((True, item, None)):
                    return
            put((False, None, None))
        except BaseException as error:  # noqa: BLE001 (raised again where the items are taken)
            put((False, None, error))
        finally:
            # Here, not by the garbage collector: files belong to the thread that opened them.
            if isinstance(items, Generator):
                items.close()

    def take() -> Iterator[Item]:
        while True:
            more, item, error = buffer.get()
            if error is not None:
                raise error
            if not more:
                return
            yield item  # type: ignore[misc]

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield take()
    finally:
        stopped.set()
        thread.join()
