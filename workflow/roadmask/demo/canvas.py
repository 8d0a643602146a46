"""What the demo city is painted on: four bands, heights for the shadows, and a sensor."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import cv2
import numpy as np
import numpy.typing as npt
import shapely
from affine import Affine
from rasterio.features import rasterize
from shapely import Polygon
from shapely.geometry.base import BaseGeometry

from roadmask.demo.colours import Colour
from roadmask.demo.layout import HEIGHT, PIXEL, WIDTH
from roadmask.demo.shapes import parallels

Mask = npt.NDArray[np.bool_]

BORDER = 32.0
"""Ground painted past the sheets in feet, so that shadows and crowns reach into them."""
SUBPIXEL = 4
HEIGHT_UNIT = 0.5
"""Feet of height that one step of the height raster stands for."""
STRIP = 512
"""Rows that are finished at once, to bound the memory."""
ROLLED = 61
"""Roughness of asphalt that traffic has rolled: its grains are coarser than those of yards and
roofs of the same tone."""


class Canvas:
    """A picture in the making.

    Attributes
    ----------
    pixels : numpy.ndarray of uint8, shape (rows, columns, 4)
        The ground's reflectance.
    heights : numpy.ndarray of uint8, shape (rows, columns)
        Height over the ground in steps of `HEIGHT_UNIT`.
    rough : numpy.ndarray of uint8, shape (rows, columns)
        How strong the blotches of the surface are; 64 is plain.
    paint : numpy.ndarray of uint8, shape (rows, columns)
        Paint on the ground: 0 none, 1 white, 2 yellow.
    wear : numpy.ndarray of uint8, shape (rows, columns)
        Stains and patches: 128 none, darker below, lighter above.
    sun : float
        Direction in which shadows fall, in radians from east on the ground.
    """

    def __init__(self, sun: float, elevation: float) -> None:
        self.shape = round((HEIGHT + 2 * BORDER) / PIXEL), round((WIDTH + 2 * BORDER) / PIXEL)
        self.transform = Affine(PIXEL, 0, -BORDER, 0, -PIXEL, HEIGHT + BORDER)
        self.pixels = np.empty((*self.shape, 4), np.uint8)
        self.heights = np.zeros(self.shape, np.uint8)
        self.rough = np.full(self.shape, 64, np.uint8)
        self.paint = np.zeros(self.shape, np.uint8)
        self.wear = np.full(self.shape, 128, np.uint8)
        self.sun = sun
        self.slope = math.tan(elevation)

    def mask(self, geometry: BaseGeometry) -> Mask:
        """Return the pixels whose centres lie in a geometry."""
        parts = [part for part in shapely.get_parts(geometry) if not part.is_empty]
        if not parts:
            return np.zeros(self.shape, bool)
        return np.asarray(
            rasterize(parts, out_shape=self.shape, transform=self.transform, dtype=np.uint8).astype(
                bool
            )
        )

    def points(self, points: npt.ArrayLike) -> npt.NDArray[np.int32]:
        """Turn ground coordinates of shape (n, 2) into OpenCV's fixed-point pixels."""
        xy = np.asarray(points, dtype=np.float64)
        columns = (xy[:, 0] + BORDER) / PIXEL - 0.5
        rows = (HEIGHT + BORDER - xy[:, 1]) / PIXEL - 0.5
        return np.round(np.column_stack([columns, rows]) * (1 << SUBPIXEL)).astype(np.int32)

    def sees(self, points: npt.ArrayLike) -> bool:
        """Tell whether the box around the points lies on the canvas, at least in part."""
        xy = np.asarray(points, dtype=np.float64)
        low, high = xy.min(axis=0), xy.max(axis=0)
        return bool(
            high[0] > -BORDER
            and high[1] > -BORDER
            and low[0] < WIDTH + BORDER
            and low[1] < HEIGHT + BORDER
        )

    def fill(
        self,
        points: npt.ArrayLike,
        colour: Colour | None,
        *,
        height: float | None = None,
        rough: int | None = None,
        holes: Sequence[npt.ArrayLike] = (),
    ) -> None:
        """Fill a polygon given by its outline, and raise it to a height in feet."""
        if not self.sees(points):
            return
        rings = [self.points(ring) for ring in (points, *holes)]
        if colour is not None:
            cv2.fillPoly(self.pixels, rings, colour, shift=SUBPIXEL)
        if height is not None:
            cv2.fillPoly(self.heights, rings, round(height / HEIGHT_UNIT), shift=SUBPIXEL)
        if rough is not None:
            cv2.fillPoly(self.rough, rings, rough, shift=SUBPIXEL)

    def fill_geometry(
        self,
        geometry: BaseGeometry,
        colour: Colour | None,
        *,
        height: float | None = None,
        rough: int | None = None,
    ) -> None:
        """Fill polygons."""
        for part in shapely.get_parts(geometry):
            if part.geom_type == "Polygon" and not part.is_empty:
                self.fill(
                    shapely.get_coordinates(part.exterior),
                    colour,
                    height=height,
                    rough=rough,
                    holes=[shapely.get_coordinates(ring) for ring in part.interiors],
                )

    def stroke(
        self, points: npt.ArrayLike, colour: Colour, width: float, *, closed: bool = False
    ) -> None:
        """Draw a line on the picture, `width` in feet."""
        if self.sees(points):
            thickness = max(1, round(width / PIXEL))
            cv2.polylines(
                self.pixels,
                [self.points(points)],
                closed,
                colour,
                thickness,
                cv2.LINE_8,
                SUBPIXEL,
            )

    def rule(self, ground: Polygon, colour: Colour, spacing: float, angle: float) -> None:
        """Draw parallel lines over a polygon, `spacing` feet apart, in a direction in radians."""
        for line in parallels(ground, spacing, angle):
            self.stroke(shapely.get_coordinates(line), colour, 0.5)

    def hatch(self, ground: Polygon, code: int, spacing: float, width: float, angle: float) -> None:
        """Put parallel lines of paint over a polygon."""
        for line in parallels(ground, spacing, angle):
            self.mark(shapely.get_coordinates(line), code, width)

    def mark(self, points: npt.ArrayLike, code: int, width: float | None = None) -> None:
        """Put paint on the ground: a line of `width` feet, or a filled polygon."""
        self._layer(self.paint, points, code, width)

    def stain(self, points: npt.ArrayLike, value: int, width: float | None = None) -> None:
        """Lighten or darken the ground: a line of `width` feet, or a filled polygon."""
        self._layer(self.wear, points, value, width)

    def _layer(
        self, layer: npt.NDArray[np.uint8], points: npt.ArrayLike, value: int, width: float | None
    ) -> None:
        if not self.sees(points):
            return
        fixed = self.points(points)
        if width is None:
            cv2.fillPoly(layer, [fixed], value, shift=SUBPIXEL)
        else:
            thickness = max(1, round(width / PIXEL))
            cv2.polylines(layer, [fixed], False, value, thickness, cv2.LINE_8, SUBPIXEL)

    def stamp(
        self,
        sprite: npt.NDArray[np.uint8],
        alpha: npt.NDArray[np.uint8],
        x: float,
        y: float,
        height: npt.NDArray[np.uint8],
    ) -> None:
        """Blend a small picture over the ground, its middle at x and y.

        Parameters
        ----------
        sprite : numpy.ndarray of uint8, shape (n, n, 4)
            Colours.
        alpha : numpy.ndarray of uint8, shape (n, n)
            0 leaves the ground, 255 covers it.
        x, y : float
            Ground coordinates in feet.
        height : numpy.ndarray of uint8, shape (n, n)
            Height in steps of `HEIGHT_UNIT`; the ground's is raised to it.
        """
        size = sprite.shape[0]
        column = round((x + BORDER) / PIXEL) - size // 2
        row = round((HEIGHT + BORDER - y) / PIXEL) - size // 2
        top, left = max(row, 0), max(column, 0)
        bottom, right = min(row + size, self.shape[0]), min(column + size, self.shape[1])
        if top >= bottom or left >= right:
            return
        inner = np.s_[top - row : bottom - row, left - column : right - column]
        outer = np.s_[top:bottom, left:right]
        weight = alpha[inner].astype(np.uint16)[..., None]
        ground = self.pixels[outer]
        blended = (sprite[inner] * weight + ground * (255 - weight)) // 255
        self.pixels[outer] = blended.astype(np.uint8)
        self.heights[outer] = np.maximum(self.heights[outer], height[inner])

    # From the ground to the picture

    def finish(
        self, rng: np.random.Generator, painted: Mask, joints: Mask, turn: float
    ) -> npt.NDArray[np.uint8]:
        """Add texture, paint, shadows and the sensor.

        Parameters
        ----------
        rng : numpy.random.Generator
            Source of all noise.
        painted : numpy.ndarray of bool, shape (rows, columns)
            Where paint sticks and wear shows.
        joints : numpy.ndarray of bool, shape (rows, columns)
            Where the ground is laid in slabs.
        turn : float
            Direction of the slabs, in radians.

        Returns
        -------
        numpy.ndarray of uint8, shape (4, rows, columns)
            The sheets' ground, without the border.
        """
        shadow = self.shadows()
        rows, columns = self.shape
        # Both have the same deviation within a few pixels; only the size of their grains differs.
        blotches = np.where(
            self.rough == ROLLED,
            _noise(rng, self.shape, (5, 30, 150), (0.62, 0.25, 0.45)),
            _noise(rng, self.shape, (2, 30, 150), (0.6, 0.25, 0.45)),
        )
        worn = np.clip(
            0.85 + 0.3 * _noise(rng, self.shape, (3, 24), (0.5, 0.5)), 0.45, 0.98
        ).astype(np.float32)
        wear = cv2.GaussianBlur(self.wear, (0, 0), 1.0)
        paints = np.array(
            [
                (0, 0, 0, 0),
                (226, 226, 220, 222),
                (214, 172, 60, 205),
            ],
            np.float32,
        )
        shade = np.array([0.46, 0.50, 0.56, 0.44], np.float32)
        edge = round(BORDER / PIXEL)
        picture = np.empty((4, rows - 2 * edge, columns - 2 * edge), np.uint8)
        for top in range(edge, rows - edge, STRIP):
            bottom = min(top + STRIP, rows - edge)
            # Rows beyond the strip, for the blur.
            first, last = top - 4, bottom + 4
            cut = np.s_[first:last]
            values = self.pixels[cut].astype(np.float32)
            gain = 1 + blotches[cut] * self.rough[cut] * np.float32(0.065 / 64)
            slabs = _slabs(first, last, columns, turn) & joints[cut]
            gain[slabs] *= np.float32(0.9)
            here = painted[cut]
            gain[here] *= 1 + (wear[cut][here].astype(np.float32) - 128) / 128
            values *= gain[..., None]
            code = self.paint[cut]
            where = code > 0
            opacity = worn[cut][where][:, None]
            values[where] = paints[code[where]] * opacity + values[where] * (1 - opacity)
            dark = shadow[cut].astype(np.float32)[..., None] / 255
            values *= 1 - dark * (1 - shade)
            values = cv2.GaussianBlur(values, (0, 0), 0.75)
            values += rng.standard_normal(values.shape, dtype=np.float32) * 3.2
            values = np.clip(values[4:-4, edge : columns - edge], 0, 255)
            picture[:, top - edge : bottom - edge] = np.moveaxis(values, 2, 0).astype(np.uint8)
        return picture

    def shadows(self) -> npt.NDArray[np.uint8]:
        """Return how much of the sun is blocked, 0 to 255.

        The height of the shadow over each pixel is the highest thing towards the sun, less
        what the sun's slope takes off on the way: a running maximum, by doubling the reach.
        """
        heights = self.heights.astype(np.int16) * 8
        # Loss in those finer steps over one pixel.
        loss = self.slope * PIXEL / HEIGHT_UNIT * 8
        over = heights.copy()
        for power in range(8):
            reach = 1 << power
            columns, rows = reach * math.cos(self.sun), -reach * math.sin(self.sun)
            moved = _shifted(over, round(rows), round(columns))
            moved -= round(loss * reach)
            np.maximum(over, moved, out=over)
        blocked = (over > heights + 16).astype(np.uint8) * 255
        return np.asarray(cv2.GaussianBlur(blocked, (0, 0), 1.1), dtype=np.uint8)


def _shifted(values: npt.NDArray[np.int16], rows: int, columns: int) -> npt.NDArray[np.int16]:
    """Move an array; what comes in from outside is 0."""
    moved = np.zeros_like(values)
    height, width = values.shape
    moved[max(rows, 0) : height + min(rows, 0), max(columns, 0) : width + min(columns, 0)] = values[
        max(-rows, 0) : height + min(-rows, 0), max(-columns, 0) : width + min(-columns, 0)
    ]
    return moved


def _noise(
    rng: np.random.Generator,
    shape: tuple[int, int],
    scales: Iterable[int],
    weights: Iterable[float],
) -> npt.NDArray[np.float32]:
    """Return smooth noise with a deviation of about one, of blotches of several sizes."""
    total = np.zeros(shape, np.float32)
    for scale, weight in zip(scales, weights, strict=True):
        small = rng.standard_normal(
            (shape[0] // scale + 4, shape[1] // scale + 4), dtype=np.float32
        )
        grown = cv2.resize(small, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        total += np.float32(1.4 * weight) * grown[: shape[0], : shape[1]]
    return total


def _slabs(first: int, last: int, columns: int, turn: float) -> Mask:
    """Return the joints between slabs of 5 ft."""
    y = np.arange(first, last, dtype=np.float32)[:, None]
    x = np.arange(columns, dtype=np.float32)[None]
    across = (x * math.cos(turn) - y * math.sin(turn)) % 10 < 1
    along = (x * math.sin(turn) + y * math.cos(turn)) % 10 < 1
    return np.asarray(across | along)
