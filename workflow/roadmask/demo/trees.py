"""The demo city's trees: crowns drawn once and stamped many times."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import shapely
from shapely import Polygon

from roadmask.demo.canvas import HEIGHT_UNIT, Canvas
from roadmask.demo.colours import Colour
from roadmask.demo.layout import PIXEL

RADII = (5, 6, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 13, 14)
"""Of the crowns that there are pictures of, in feet."""
LEAVES: tuple[Colour, ...] = (
    (74, 96, 50, 178),
    (88, 104, 58, 188),
    (64, 88, 50, 168),
    (98, 106, 66, 176),
)


@dataclass(frozen=True)
class Crown:
    """Pictures of a crown and its height, square and of uint8, ready to be stamped."""

    colour: npt.NDArray[np.uint8]
    alpha: npt.NDArray[np.uint8]
    height: npt.NDArray[np.uint8]
    radius: float


class Trees:
    """Collects trees while the ground is painted, and draws them over it at the end.

    Parameters
    ----------
    canvas : Canvas
        What is painted on.
    rng : numpy.random.Generator
        Source of every choice.
    """

    def __init__(self, canvas: Canvas, rng: np.random.Generator) -> None:
        self.canvas = canvas
        self.rng = rng
        self.crowns = [draw_crown(rng, canvas.sun, radius) for radius in RADII]
        self.planted: list[tuple[float, float, int]] = []

    def plant(self, x: float, y: float, least: float = 5, most: float = 14) -> None:
        """Note a tree with a crown's radius between two bounds in feet."""
        fitting = [k for k, crown in enumerate(self.crowns) if least <= crown.radius <= most]
        self.planted.append((x, y, int(self.rng.choice(fitting))))

    def scatter(self, ground: Polygon, spacing: float, least: float = 5, most: float = 14) -> None:
        """Plant trees over ground, one for each square of `spacing` feet."""
        rng = self.rng
        west, south, east, north = ground.bounds
        count = rng.poisson((east - west) * (north - south) / spacing**2)
        points = rng.uniform((west, south), (east, north), size=(count, 2))
        for x, y in points[shapely.contains_xy(ground, points)]:
            self.plant(x, y, least, most)

    def draw(self) -> None:
        """Draw the trees noted so far."""
        for x, y, kind in self.planted:
            crown = self.crowns[kind]
            self.canvas.stamp(crown.colour, crown.alpha, x, y, crown.height)
        self.planted.clear()


def draw_crown(rng: np.random.Generator, sun: float, radius: float) -> Crown:
    """Draw a crown from above.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of its shape.
    sun : float
        Direction in which shadows fall, in radians from east on the ground.
    radius : float
        Of the crown, in feet.

    Returns
    -------
    Crown
        Its pictures.
    """
    pixels = radius / PIXEL
    size = 2 * round(pixels * 1.3) + 1
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    bumps = cv2.GaussianBlur(rng.standard_normal((size, size)), (0, 0), max(1.2, pixels / 6))
    bumps /= bumps.std()
    fine = cv2.GaussianBlur(rng.standard_normal((size, size)), (0, 0), 1.0)
    fine /= fine.std()
    distance = np.hypot(x, y) / pixels + 0.13 * bumps
    dome = np.sqrt(np.clip(1 - distance**2, 0, 1))
    # Rows go south; the side away from the shadow is lit.
    towards = -(x * math.cos(sun) - y * math.sin(sun)) / pixels
    light = 0.78 + 0.26 * towards + 0.10 * bumps + 0.13 * fine + 0.12 * dome
    base = np.array(LEAVES[int(rng.integers(len(LEAVES)))])
    colour = np.clip(base * light[..., None], 0, 255).astype(np.uint8)
    alpha = np.clip((1.0 - distance) * 5, 0, 1) * np.clip(0.93 + 0.1 * fine, 0, 1)
    tall = radius * 2.0 * (0.55 + 0.45 * dome)
    height = np.where(alpha > 0.4, tall / HEIGHT_UNIT, 0)
    return Crown(colour, (alpha * 255).astype(np.uint8), height.astype(np.uint8), radius)
