"""Labels from masks that exist already: binary, indexed or colour-coded."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import rasterio
from pyproj import CRS
from rasterio.coords import BoundingBox
from rasterio.enums import ColorInterp, MaskFlags, Resampling
from rasterio.io import DatasetReader
from rasterio.warp import reproject, transform_bounds
from rasterio.windows import Window

from roadmask.binary import open_bytes
from roadmask.classes import ClassTable, Value, shown
from roadmask.errors import InputError, OutOfReachError, SettingError
from roadmask.grid import Grid
from roadmask.png import check_whole
from roadmask.style import UNKNOWN

log = logging.getLogger("roadmask.masks")

# Corners of two grids may lie apart by this share of a pixel and still be one grid.
GRID_TOLERANCE = 0.01
# How many of the values that belong to no class are shown.
EXAMPLES = 8
# Pixels that are read at once; a sheet of 5000 x 5000 in six strips.
STRIP_PIXELS = 2**22
# With labels.raster.tolerance: more pixels than this far off every class, and it is not
# noise but a class that the config lacks.
MOST_OFF = 0.1
# Values of a mask that no lossy format has made noise of, and the most that noise comes to.
MOST_INDICES, NOISE = 3, 16
# The most values that a picture of few values has, where it is asked what it holds.
FEW = 16
# Of a pixel; GDAL's own tolerance is 0.125, which moves one pixel in eight along an edge.
WARP_TOLERANCE = 0.01
WHITE = 255
# Sides that differ by less than this factor do so because some pixels are missing.
ANOTHER_RESOLUTION = 1.1

Resample = Literal["nearest"]
REMEDY = "Give a label on the scene's own pixels; it is not cropped or moved to fit"


@dataclass(frozen=True)
class RasterLabels:
    """The labels of a scene, and what there is to say of their source.

    Attributes
    ----------
    labels
        ``(height, width)`` uint8: 0 other, 1 and on the classes, 255 where the label has no
        data, is transparent, holds a value to be ignored, or does not reach.
    counts
        ``off_value`` and ``near_value``: pixels of no class, and of a class by tolerance;
        ``resampled``: 1 where the source lies on another grid.
    """

    labels: np.ndarray
    counts: dict[str, int]


def raster_labels(
    path: str | Path,
    grid: Grid,
    classes: ClassTable,
    threshold: float,
    *,
    resample: Resample | None = None,
    tolerance: int = 0,
) -> RasterLabels:
    """Read a label raster of a scene.

    With a single class that has one number as its value, values above `threshold` are that
    class; of a picture of one bit or of a palette of greys, the greys are compared. A single
    class with a colour or several values is what has one of them, the rest is ``other``.
    With more classes every value must belong to one of them; ``other`` takes 0 or black where
    nothing else does and it is not listed itself.

    Parameters
    ----------
    path
        The label raster, as GDAL opens it.
    grid
        The scene's grid. A label that lies nowhere on the ground must have the scene's size.
    classes
        What its values mean.
    threshold
        For a single class.
    resample
        None: a label on another grid is refused. ``nearest``: each pixel takes the label
        of the source's pixel under its centre; one that lies nowhere must at least have the
        picture's proportions.
    tolerance
        How far a value, or each of red, green and blue, may lie from that of a class. The
        nearest class wins; with several classes, what is farther from all becomes 255.

    Raises
    ------
    InputError
        If the file is missing, truncated or damaged, lies on another grid, is of another kind than
        `classes` says, or holds values of no class.
    SettingError
        If the threshold leaves out the class that the label holds, or a class has a text as
        its value.
    """
    if classes.texts:
        raise SettingError(
            "classes",
            f"{classes.texts[0]!r} is text, but a label raster holds numbers or colours",
            "Write the class's number or its colour [r, g, b]",
        )
    try:
        dataset = rasterio.open(path)
    except rasterio.errors.RasterioIOError as error:
        problem = "no such file" if "No such file" in str(error) else f"unreadable ({error})"
        raise InputError(
            path, problem, "labels.raster must give the path of a mask for every {scene}"
        ) from error
    with dataset:
        if dataset.driver == "PNG":
            with open_bytes(str(path)) as data:
                check_whole(str(path), data)
        source = _Source(path, dataset, classes, threshold, tolerance)
        misfit = _misfit(path, dataset, grid)
        if misfit is None:
            labels = source.read(Window(0, 0, dataset.width, dataset.height))
        elif resample is None:
            raise InputError(path, misfit, f"{REMEDY}. Or write labels.raster.resample: nearest")
        elif grid.crs is None or _lies_nowhere(dataset):
            labels = _stretched(source, grid, misfit)
        else:
            log.info("%s: %s; warped by nearest neighbour", path, misfit)
            labels = _warped(source, grid)
        source.check()
    counts = {
        "near_value": source.near,
        "off_value": source.off.total(),
        "resampled": int(misfit is not None),
    }
    return RasterLabels(labels, counts)


# --- on which grid ------------------------------------------------------------------------


def _misfit(path: str | Path, dataset: DatasetReader, grid: Grid) -> str | None:
    """Say why a label does not lie on the scene's pixels; None where it does."""
    if (dataset.width, dataset.height) != (grid.width, grid.height):
        return (
            f"it has {dataset.width} x {dataset.height} pixels, the scene {grid.width} x "
            f"{grid.height}"
        )
    if grid.crs is None:
        return None
    if _lies_nowhere(dataset):
        log.warning("%s: it lies nowhere on the ground; taken to lie on the scene's pixels", path)
        return None
    if dataset.crs is not None and not _same_crs(dataset, grid):
        return f"its CRS is {dataset.crs}, the scene's {grid.crs}"
    relative = ~grid.transform @ dataset.transform
    corners = [(x, y) for x in (0, grid.width) for y in (0, grid.height)]
    moved = max(
        abs(a - b) for corner in corners for a, b in zip(relative @ corner, corner, strict=True)
    )
    if moved <= GRID_TOLERANCE:
        return None
    return (
        f"its pixels lie up to {moved:.2f} pixels from the scene's (transform "
        f"{tuple(dataset.transform)[:6]} instead of {tuple(grid.transform)[:6]})"
    )


def _lies_nowhere(dataset: DatasetReader) -> bool:
    return dataset.crs is None and bool(dataset.transform.is_identity)


def _same_crs(dataset: DatasetReader, grid: Grid) -> bool:
    if grid.crs is None or dataset.crs == grid.crs:
        return True
    first, second = (CRS.from_wkt(x.to_wkt()) for x in (dataset.crs, grid.crs))
    return bool(first.equals(second, ignore_axis_order=True))


def _stretched(source: _Source, grid: Grid, misfit: str) -> np.ndarray:
    """Return a label that lies nowhere at the picture's size: each pixel's nearest."""
    width, height = source.dataset.width, source.dataset.height
    factor = width / grid.width
    # A side of half the pixels is rounded up or down, which is less than one pixel of either.
    is_same_shape = abs(height - grid.height * factor) < max(1.0, factor)
    if not is_same_shape or 1 / ANOTHER_RESOLUTION < factor < ANOTHER_RESOLUTION:
        raise InputError(
            source.path,
            f"{misfit}, which is another shape and no other resolution, and neither lies on the "
            "ground",
            "No one can tell which edge is missing: give a label of the picture's proportions",
        )
    log.info("%s: %s; each pixel takes its nearest", source.path, misfit)
    labels = source.read(Window(0, 0, width, height))
    rows = ((np.arange(grid.height) + 0.5) * height / grid.height).astype(int)
    columns = ((np.arange(grid.width) + 0.5) * width / grid.width).astype(int)
    return np.asarray(labels[np.ix_(rows, columns)])


def _warped(source: _Source, grid: Grid) -> np.ndarray:
    """Return the label on the scene's grid, 255 where it does not reach.

    Labelling looks at single pixels, so it comes first, and bytes alone are warped: colours,
    palettes and masks need no care of their own.
    """
    dataset = source.dataset
    crs = dataset.crs or grid.crs
    bounds = transform_bounds(grid.crs, crs, *grid.bounds, densify_pts=21)
    window = _window_around(BoundingBox(*bounds), dataset)
    if window is None:
        raise OutOfReachError(
            source.path,
            f"it does not reach the scene: it lies at {_rounded(Grid.from_dataset(dataset).bounds)}"
            f" ({crs}), the scene at {_rounded(bounds)}",
            "Give the label of this ground",
        )
    found = np.full(grid.shape, UNKNOWN, dtype=np.uint8)
    reproject(
        source.read(window),
        found,
        src_transform=dataset.window_transform(window),
        src_crs=crs,
        src_nodata=UNKNOWN,
        dst_transform=grid.transform,
        dst_crs=grid.crs,
        dst_nodata=UNKNOWN,
        resampling=Resampling.nearest,
        tolerance=WARP_TOLERANCE,
    )
    return found


def _window_around(bounds: BoundingBox, dataset: DatasetReader) -> Window | None:
    """Return the pixels of a raster that some bounds in its CRS touch, and one more around."""
    corners = [
        ~dataset.transform @ (x, y)
        for x in (bounds.left, bounds.right)
        for y in (bounds.bottom, bounds.top)
    ]
    if not np.isfinite(corners).all():
        return None
    xs, ys = zip(*corners, strict=True)
    left, right = max(math.floor(min(xs)) - 1, 0), min(math.ceil(max(xs)) + 1, dataset.width)
    top, bottom = max(math.floor(min(ys)) - 1, 0), min(math.ceil(max(ys)) + 1, dataset.height)
    if left >= right or top >= bottom:
        return None
    return Window(left, top, right - left, bottom - top)


def _rounded(bounds: tuple[float, ...] | BoundingBox) -> str:
    return ", ".join(f"{value:.7g}" for value in bounds)


# --- what its values mean -----------------------------------------------------------------


@dataclass
class _Source:
    """An open label raster, what its values mean, and what was found in it.

    Attributes
    ----------
    near
        Pixels that have a class by tolerance alone.
    off
        By value, the pixels that belong to no class.
    rest, has_class
        The same of a single class, which leaves them to ``other``, until it is found; whether
        it was.
    pixels
        Those with data.
    highest, held
        The highest value, and the values while they are few; for the threshold's sake.
    """

    path: str | Path
    dataset: DatasetReader
    classes: ClassTable
    threshold: float
    tolerance: int
    near: int = 0
    off: Counter[Value] = field(default_factory=Counter)
    rest: Counter[Value] = field(default_factory=Counter)
    has_class: bool = False
    pixels: int = 0
    highest: float = -math.inf
    held: set[float] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.bands = [
            band
            for band, meaning in zip(self.dataset.indexes, self.dataset.colorinterp, strict=True)
            if meaning != ColorInterp.alpha
        ]
        self.palette = self._palette()
        self.greys = self._greys()
        self.meanings = self._meanings()
        self._check_kind()
        self.is_known = self._known_by()

    def read(self, window: Window) -> np.ndarray:
        """Return the labels of a window, in memory bounded by a strip of it."""
        labels = np.empty((window.height, window.width), dtype=np.uint8)
        for strip in _strips(window):
            try:
                values = self.dataset.read(self.bands, window=strip)
            except rasterio.errors.RasterioIOError as error:
                raise InputError(
                    self.path,
                    f"it can't be decoded ({error.__cause__ or error})",
                    "It is damaged: fetch it again",
                ) from error
            known = self.is_known(strip, values)
            top = strip.row_off - window.row_off
            labels[top : top + strip.height] = self._labelled(values, known)
        return labels

    def check(self) -> None:
        """Refuse what was read, where the values don't fit the classes, or warn of it.

        Raises
        ------
        InputError, SettingError
            As `raster_labels` says.
        """
        if self.classes.by_threshold:
            self._check_threshold()
            return
        if self.rest and not self.has_class:
            # No error: ground without that class may well have others in its mask.
            log.warning(
                "%s: no pixel of it is %s (%s in classes), and these values became other: %s",
                self.path,
                self.classes.names[0],
                ", ".join(map(shown, self.classes.values[1])),
                _listed(self.rest),
            )
        share = self.off.total() / max(self.pixels, 1)
        if not self.off or (self.tolerance and share <= MOST_OFF):
            if self.off:
                log.warning(
                    "%s: %s are not known: %s", self.path, f"{share:.2%}", _listed(self.off)
                )
            return
        raise InputError(
            self.path,
            f"it holds values that belong to no class: {_listed(self.off)}",
            "Add them to classes, under other or ignore if they are no class of their own; many "
            "values beside those meant come from JPEG or from resampling with interpolation: "
            "labels.raster.tolerance lets each pixel take the nearest class",
        )

    # -- kinds --

    def _palette(self) -> np.ndarray | None:
        """Return red, green, blue and alpha of each value, where there is one band of such."""
        if len(self.bands) != 1 or self.dataset.colorinterp[0] != ColorInterp.palette:
            return None
        palette = np.zeros((256, 4), dtype=np.uint8)
        for value, colour in self.dataset.colormap(1).items():
            palette[value] = colour
        return palette

    def _greys(self) -> np.ndarray | None:
        """Return the grey of each value, where the values of a picture stand for greys."""
        is_one_bit = self.dataset.tags(1, ns="IMAGE_STRUCTURE").get("NBITS") == "1"
        if self.palette is not None:
            colours = self.palette[:2] if is_one_bit else self.palette
            if (colours[:, :1] == colours[:, 1:3]).all():
                return self.palette[:, 0]
        elif is_one_bit:
            return np.where(np.arange(256) > 0, WHITE, 0)
        return None

    def _meanings(self) -> list[tuple[Value, int]]:
        """Return pairs of a value and its label; 0 or black is ``other`` where nothing is."""
        pairs = self.classes.in_order(UNKNOWN)
        other: Value = (0, 0, 0) if self.classes.in_colours else 0.0
        if not self.classes.values[0] and other not in (value for value, _ in pairs):
            pairs.append((other, 0))
        return pairs

    def _check_kind(self) -> None:
        """Refuse numbers for a picture in colours, and the other way round."""
        if not self.classes.in_colours or self.palette is not None:
            return
        if len(self.bands) != 3 or self.dataset.dtypes[0] != "uint8":
            raise InputError(
                self.path,
                f"it has {len(self.bands)} band(s) of {self.dataset.dtypes[0]}, but classes has "
                "colours",
                "Write the numbers in classes; three numbers for one class are written "
                "[[1], [2], [3]], since [1, 2, 3] is a colour",
            )

    def _known_by(self) -> Callable[[Window, np.ndarray], np.ndarray]:
        """Return how to tell where the label has data: by nodata, mask, alpha or palette."""
        dataset = self.dataset
        listed = {value for value, _ in self.classes.in_order(UNKNOWN)}
        flags = {flag for band in dataset.mask_flag_enums for flag in band}
        nodata = dataset.nodata
        if self.palette is not None:
            clear = self.palette[:, 3] == 0
            if flags == {MaskFlags.nodata} and nodata is not None and 0 <= nodata <= 255:
                clear[int(nodata)] = True
            for value in np.flatnonzero(clear):
                colour = tuple(int(x) for x in self.palette[value, :3])
                clear[value] = (colour if self.classes.in_colours else float(value)) not in listed
            self._warn_of_zero(is_unknown=bool(clear[0]))
            if MaskFlags.per_dataset not in flags:
                return lambda _, values: ~clear[values[0]]
            return lambda window, values: self._unmasked(window) & ~clear[values[0]]
        # Many tools declare 0 as nodata in a mask whose 0 means ground without road.
        if flags == {MaskFlags.all_valid} or (flags == {MaskFlags.nodata} and nodata in listed):
            return lambda _, values: np.ones(values.shape[1:], dtype=bool)
        self._warn_of_zero(is_unknown=nodata == 0)
        return lambda window, _: self._unmasked(window)

    def _unmasked(self, window: Window) -> np.ndarray:
        return np.asarray(self.dataset.dataset_mask(window=window) > 0)

    def _warn_of_zero(self, *, is_unknown: bool) -> None:
        if is_unknown:
            log.warning(
                "%s: it declares 0 as nodata, so its pixels of 0 count as not known; where 0 means "
                "ground of no class, write other: 0 in classes",
                self.path,
            )

    # -- values --

    def _labelled(self, bands: np.ndarray, known: np.ndarray) -> np.ndarray:
        """Return the labels of some values ``(bands, rows, columns)``."""
        if self.classes.in_colours:
            colours = bands if self.palette is None else self.palette[bands[0]].transpose(2, 0, 1)
            labels = self._by_equality(colours[:3], known)
        else:
            values = self._single_band(bands)
            if values.dtype.kind == "f":
                known = known & ~np.isnan(values)
            if self.classes.by_threshold:
                labels = self._by_threshold(values, known)
            else:
                labels = self._by_equality(values[np.newaxis], known)
        labels[~known] = UNKNOWN
        self.pixels += int(np.count_nonzero(known))
        return labels

    def _single_band(self, bands: np.ndarray) -> np.ndarray:
        if len(bands) > 1 and (bands[1:] != bands[0]).any():
            raise InputError(
                self.path,
                f"it is a picture of {len(bands)} bands, but classes has single numbers",
                "Write the colours in classes, such as road: [255, 255, 255]",
            )
        return np.asarray(bands[0])

    def _by_threshold(self, values: np.ndarray, known: np.ndarray) -> np.ndarray:
        compared = values if self.greys is None else self.greys[values]
        labels = (compared > self.threshold).astype(np.uint8)
        for value in self.classes.ignored:
            labels[values == value] = UNKNOWN
        counted = compared[known & (labels != UNKNOWN)]
        if counted.size:
            self.highest = max(self.highest, float(counted.max()))
        if self.highest <= self.threshold and len(self.held) <= FEW:
            self.held.update(np.unique(counted)[: FEW + 1].tolist())
        return labels

    def _by_equality(self, channels: np.ndarray, known: np.ndarray) -> np.ndarray:
        """Label values ``(channels, rows, columns)`` by the class that has them."""
        labels = np.zeros(channels.shape[1:], dtype=np.uint8)
        unlisted = known.copy()
        for value, label in self.meanings:
            parts = value if isinstance(value, tuple) else (value,)
            here = channels[0] == parts[0]
            for channel, part in zip(channels[1:], parts[1:], strict=True):
                here &= channel == part
            labels[here] = label
            unlisted &= ~here
        rest = channels[:, unlisted]
        if self.tolerance:
            found, is_near = self._nearest(rest)
            self.near += int(np.count_nonzero(is_near))
            labels[unlisted] = found
            rest = rest[:, ~is_near]
        if len(self.classes.names) > 1:
            self.off += self._counted(rest)
        elif not self.has_class:
            self.has_class = bool((known & (labels == 1)).any())
            self.rest += self._counted(rest)
        return labels

    def _nearest(self, channels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the label of the nearest value of each of ``(channels, pixels)``.

        Returns
        -------
        numpy.ndarray
            uint8; where none is near, 255, or 0 where a single class leaves the rest to
            ``other``.
        numpy.ndarray
            bool: where one is within the tolerance.
        """
        signed = channels.astype(np.int16 if self.classes.in_colours else np.float64)
        best = np.full(channels.shape[1], np.inf, dtype=np.float32)
        rest = UNKNOWN if len(self.classes.names) > 1 else 0
        labels = np.full(channels.shape[1], rest, dtype=np.uint8)
        for value, label in self.meanings:
            parts = np.reshape(value, (-1, 1)).astype(signed.dtype)
            apart = np.abs(signed - parts).max(axis=0)
            nearer = (apart <= self.tolerance) & (apart < best)
            labels[nearer] = label
            best[nearer] = apart[nearer]
        return labels, np.isfinite(best)

    def _counted(self, channels: np.ndarray) -> Counter[Value]:
        """Count the pixels ``(channels, pixels)`` of each value."""
        if self.classes.in_colours:
            red, green, blue = channels.astype(np.uint32)
            codes, counts = np.unique(red << 16 | green << 8 | blue, return_counts=True)
            keys: list[Value] = [
                (code >> 16, code >> 8 & 255, code & 255) for code in codes.tolist()
            ]
        else:
            values, counts = np.unique(channels[0], return_counts=True)
            keys = [float(value) for value in values]
        return Counter(dict(zip(keys, counts.tolist(), strict=True)))

    def _check_threshold(self) -> None:
        """Refuse a threshold above all that a mask holds, such as 127 for one of 0 and 1.

        A mask of ground without roads holds one value, the noise of a lossy format, or the
        many values of a probability.
        """
        others = {0.0, *self.classes.values[0]}
        is_noise = len(self.held) > MOST_INDICES and self.highest <= NOISE
        if self.highest > self.threshold or is_noise or len(self.held) > FEW:
            return
        if not self.held - others:
            return
        values = sorted(self.held)
        more = " and more" if len(values) > EXAMPLES else ""
        raise SettingError(
            "labels.threshold",
            f"{self.path} holds {', '.join(f'{x:g}' for x in values[:EXAMPLES])}{more}, none above "
            f"{self.threshold:g}, so no pixel would be {self.classes.names[0]}",
            f"Write one below the values that mean {self.classes.names[0]}, such as "
            f"{min(self.held - others) - 1:g}",
        )


def _listed(values: Counter[Value]) -> str:
    """Name the commonest values, with their pixels."""
    commonest = sorted(values.items(), key=lambda item: (-item[1], shown(item[0])))
    listed = ", ".join(f"{shown(value)} ({count} pixels)" for value, count in commonest[:EXAMPLES])
    more = len(commonest) - EXAMPLES
    return f"{listed} and {more} more" if more > 0 else listed


def _strips(window: Window) -> Iterator[Window]:
    rows = max(1, STRIP_PIXELS // window.width)
    for top in range(0, window.height, rows):
        yield Window(
            window.col_off,
            window.row_off + top,
            window.width,
            min(rows, window.height - top),
        )
