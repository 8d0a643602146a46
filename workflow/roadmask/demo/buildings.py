"""Roofs of the demo city: flat, pitched and saw-tooth, with what stands on them."""

from __future__ import annotations

import math

import numpy as np
import shapely
from shapely import Point, Polygon
from shapely.geometry.base import BaseGeometry

from roadmask.demo.canvas import Canvas
from roadmask.demo.colours import Colour, asphalt, pick, scaled, shifted
from roadmask.demo.shapes import (
    Vector,
    box_at,
    long_direction,
    polygons_of,
    ring_at,
    turned,
)

COVERINGS: tuple[tuple[Colour, ...], ...] = (
    ((56, 56, 57, 54), (66, 65, 64, 64)),
    ((150, 146, 138, 146), (136, 130, 120, 136)),
    ((178, 180, 182, 170), (166, 168, 172, 160)),
    ((220, 220, 216, 205), (206, 206, 202, 196)),
    ((142, 96, 76, 130), (120, 104, 88, 120), (104, 120, 108, 108)),
)
"""Flat roofs other than asphalt: tar, gravel, silver paint, white paint, colours."""
SHINGLES: tuple[Colour, ...] = (
    (96, 94, 94, 96),
    (118, 115, 110, 116),
    (80, 79, 78, 80),
    (124, 84, 66, 120),
    (88, 78, 70, 90),
)
MACHINES: tuple[Colour, ...] = ((190, 190, 188, 180), (120, 122, 124, 118))
HATCHES: tuple[Colour, ...] = ((160, 130, 112, 145), (150, 148, 144, 146), (96, 92, 90, 92))
SKYLIGHTS: tuple[Colour, ...] = ((84, 100, 112, 70), (196, 206, 210, 180))
WOOD: Colour = (112, 88, 68, 110)
BRICK: Colour = (130, 90, 76, 120)


class Buildings:
    """Draws buildings from above.

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

    def flat(self, outline: BaseGeometry, height: float, *, ornate: bool = True) -> None:
        """Draw a flat roof: asphalt, tar, gravel or paint, with a parapet and clutter.

        Parameters
        ----------
        outline : shapely geometry
            The building's polygons.
        height : float
            In feet.
        ornate : bool
            Whether it is large enough for a water tank.
        """
        rng, canvas = self.rng, self.canvas
        kind = int(rng.choice(6, p=[0.62, 0.10, 0.12, 0.07, 0.045, 0.045]))
        colour = asphalt(rng) if kind == 0 else pick(rng, COVERINGS[kind - 1])
        parapet = shifted(colour, 38 if colour[1] < 150 else -28)
        for part in polygons_of(outline):
            points = shapely.get_coordinates(part.exterior)
            if not canvas.sees(points):
                continue
            canvas.fill_geometry(part, colour, height=height, rough=int(rng.integers(40, 95)))
            seams = scaled(colour, float(rng.choice([0.86, 1.12])))
            across = math.pi / 2 if rng.random() < 0.5 else 0.0
            canvas.rule(part, seams, rng.uniform(5.0, 9.0), long_direction(part) + across)
            canvas.stroke(points, parapet, 1.0 if rng.random() < 0.6 else 1.5, closed=True)
            self._clutter(part, height, colour, ornate=ornate)

    def _clutter(self, roof: Polygon, height: float, colour: Colour, *, ornate: bool) -> None:
        """Put patches, machines, hatches, skylights, tanks and seams on a roof."""
        rng = self.rng
        core = roof.buffer(-5)
        if core.is_empty:
            return
        angle = long_direction(roof)
        along = np.array([math.cos(angle), math.sin(angle)])
        west, south, east, north = core.bounds
        shapely.prepare(core)
        count = min(60, int(rng.poisson(roof.area / (480 if ornate else 330))) + 1)
        for _ in range(count):
            spot = rng.uniform((west, south), (east, north))
            if core.contains(Point(spot)):
                self._item(spot, along, height, colour, tanks=ornate and height > 30)

    def _item(
        self, spot: Vector, along: Vector, height: float, colour: Colour, *, tanks: bool
    ) -> None:
        """Draw one thing on a roof."""
        rng, canvas = self.rng, self.canvas
        kind = rng.random()
        if kind < 0.28:
            patch = shifted(colour, float(rng.choice([-16, -10, 9, 14])))
            canvas.fill(box_at(spot, along, rng.uniform(6, 22), rng.uniform(4, 12)), patch)
        elif kind < 0.5:
            box = box_at(spot, along, rng.uniform(3, 7), rng.uniform(3, 6))
            canvas.fill(box, pick(rng, MACHINES), height=height + 4)
        elif kind < 0.66:
            box = box_at(spot, along, rng.uniform(8, 13), rng.uniform(7, 10))
            canvas.fill(box, pick(rng, HATCHES), height=height + 9)
        elif kind < 0.82:
            box = box_at(spot, along, rng.uniform(4, 9), rng.uniform(3, 5))
            canvas.fill(box, pick(rng, SKYLIGHTS), height=height + 2)
        elif kind < 0.9 and tanks:
            canvas.fill(ring_at(spot, 5.5), WOOD, height=height + 14)
        else:
            canvas.stroke([spot, spot + rng.uniform(10, 30) * along], scaled(colour, 0.8), 0.5)

    def pitched(self, outline: Polygon, height: float) -> None:
        """Draw a hipped or gabled roof, its faces lit by their slope.

        Parameters
        ----------
        outline : shapely.Polygon
            Its smallest rectangle is what is built.
        height : float
            In feet, at the ridge.
        """
        rng, canvas = self.rng, self.canvas
        corners = shapely.get_coordinates(outline.minimum_rotated_rectangle)[:4]
        if np.linalg.norm(corners[1] - corners[0]) < np.linalg.norm(corners[2] - corners[1]):
            corners = np.roll(corners, -1, axis=0)
        hip = rng.uniform(0.25, 0.4) if rng.random() < 0.5 else 0.0
        start, end = (corners[0] + corners[3]) / 2, (corners[1] + corners[2]) / 2
        first, second = start + hip * (end - start), end - hip * (end - start)
        colour = pick(rng, SHINGLES)
        middle = corners.mean(axis=0)
        sun = -np.array([math.cos(canvas.sun), math.sin(canvas.sun)])
        faces = [
            np.array([corners[0], corners[1], second, first]),
            np.array([corners[2], corners[3], first, second]),
            np.array([corners[1], corners[2], second]),
            np.array([corners[3], corners[0], first]),
        ]
        canvas.fill(corners, None, height=height * 0.8)
        for face in faces:
            out = face[:2].mean(axis=0) - middle
            lit = 1 + 0.26 * float(out @ sun) / max(float(np.linalg.norm(out)), 1e-6)
            canvas.fill(face, scaled(colour, lit), rough=45)
        along = (corners[1] - corners[0]) / np.linalg.norm(corners[1] - corners[0])
        canvas.fill(box_at(0.3 * first + 0.7 * second, along, 2.5, 2.5), BRICK, height=height + 3)

    def saw_tooth(self, outline: Polygon, height: float, angle: float) -> None:
        """Draw a factory's roof of parallel sheds.

        Parameters
        ----------
        outline : shapely.Polygon
            The building.
        height : float
            In feet.
        angle : float
            Direction across the sheds, in radians.
        """
        canvas = self.canvas
        colour = pick(self.rng, ((140, 138, 134, 138), (118, 116, 112, 116)))
        canvas.fill_geometry(outline, colour, height=height, rough=60)
        origin = outline.centroid
        local = turned(outline, -angle, origin)
        west, south, east, north = local.bounds
        for number, x in enumerate(np.arange(west, east, 9.0)):
            up = number % 2 == 1
            band = local.intersection(shapely.box(x, south, min(x + 9, east), north))
            for part in polygons_of(band):
                canvas.fill_geometry(
                    turned(part, angle, origin),
                    scaled(colour, 0.78 if up else 1.16),
                    height=height + (4 if up else 0),
                )
