"""Open ground of the demo city: parks, courts, parking lots, playgrounds, building sites."""

from __future__ import annotations

import math

import numpy as np
import shapely
from shapely import LineString, Polygon, affinity
from shapely.geometry.base import BaseGeometry

from roadmask.demo.canvas import ROLLED, Canvas
from roadmask.demo.colours import CONCRETE, GRASS, SOIL, Colour, asphalt, pick, scaled
from roadmask.demo.shapes import (
    Vector,
    box_at,
    largest,
    left_of,
    long_direction,
    polygons_of,
    turned,
)
from roadmask.demo.traffic import WHITE, draw_car
from roadmask.demo.trees import Trees

ROUGH_GRASS = 110
COURTS: tuple[Colour, ...] = ((72, 112, 84, 95), (132, 70, 56, 120), (70, 92, 120, 95))
SAFETY: tuple[Colour, ...] = ((60, 104, 120, 90), (150, 74, 58, 130), (92, 120, 70, 110))
TOYS: tuple[Colour, ...] = ((190, 70, 60, 180), (214, 180, 70, 205), (60, 90, 160, 120))
STALL, STALL_DEPTH, AISLE = 9.0, 18.0, 23.0
# Share of the parking lots that are worn like a street.
BUSY_LOTS = 0.4


class Grounds:
    """Paints open ground.

    Parameters
    ----------
    canvas : Canvas
        What is painted on.
    rng : numpy.random.Generator
        Source of every choice.
    trees : Trees
        Takes the trees.
    """

    def __init__(self, canvas: Canvas, rng: np.random.Generator, trees: Trees) -> None:
        self.canvas = canvas
        self.rng = rng
        self.trees = trees

    def grass(self, ground: BaseGeometry) -> None:
        """Lay a lawn."""
        self.canvas.fill_geometry(ground, pick(self.rng, GRASS), rough=ROUGH_GRASS)

    def lawn(self, ground: Polygon) -> None:
        """Lay a lawn with a few trees, as in a vacant lot."""
        self.grass(ground)
        self.trees.scatter(ground, 30, 5, 9)

    def island(self, ground: Polygon) -> None:
        """Paint a traffic island or median: concrete, or grass within a kerb."""
        if self.rng.random() < 0.6:
            core = ground.buffer(-2.5)
            self.grass(core)
            if core.area > 150:
                self.trees.plant(core.centroid.x, core.centroid.y, 5, 8)

    def park(self, ground: Polygon) -> None:
        """Lay out a park: lawns, paths, a ball field, a court, many trees."""
        rng, canvas = self.rng, self.canvas
        self.grass(ground)
        low, high = np.array(ground.bounds[:2]), np.array(ground.bounds[2:])
        middle = np.array(ground.centroid.coords[0])
        share = np.linspace(0, 1, 20)[:, None]
        for _ in range(4):
            ends = rng.uniform(low, high, size=(2, 2))
            bend = rng.normal(0, 35, size=2) * np.sin(math.pi * share)
            path = LineString(ends[0] * (1 - share) + ends[1] * share + bend).buffer(4.5)
            canvas.fill_geometry(path.intersection(ground), CONCRETE, rough=50)
        diamond = self._ball_field(
            ground, middle + rng.uniform(-0.2, 0.2, size=2) * (high - low), min(high - low) * 0.18
        )
        angle = long_direction(ground)
        along = np.array([math.cos(angle), math.sin(angle)])
        spot = middle + rng.uniform(-0.25, 0.25, size=2) * (high - low)
        court = Polygon(box_at(spot, along, 94, 60))
        if ground.contains(court):
            self.court(spot, along)
        free = largest(ground.difference(court.union(diamond).buffer(12)))
        self.trees.scatter(free if free is not None else ground, 27, 7)

    def _ball_field(self, ground: Polygon, home: Vector, reach: float) -> Polygon:
        """Draw a baseball diamond where it fits, and return its outline."""
        angles = np.linspace(0, math.pi / 2, 12) + self.rng.uniform(0, 2 * math.pi)
        arc = home + min(reach, 70) * np.column_stack([np.cos(angles), np.sin(angles)])
        diamond = Polygon([home, *arc])
        if ground.contains(diamond):
            self.canvas.fill_geometry(diamond, SOIL, rough=60)
            infield = affinity.scale(diamond, 0.5, 0.5, origin=(home[0], home[1]))
            self.canvas.fill_geometry(infield.buffer(-3), GRASS[0])
        return diamond

    def court(self, spot: Vector, along: Vector) -> None:
        """Paint a ball court: asphalt with lines, sometimes coloured inside."""
        rng, canvas = self.rng, self.canvas
        canvas.fill(box_at(spot, along, 94, 60), asphalt(rng), rough=50)
        if rng.random() < 0.5:
            canvas.fill(box_at(spot, along, 84, 50), pick(rng, COURTS))
        side = left_of(along)
        outlines = [box_at(spot, along, 84, 50)]
        outlines += [box_at(spot + way * 32 * along, along, 19, 12) for way in (-1, 1)]
        for ring in outlines:
            canvas.mark(np.vstack([ring, ring[:1]]), WHITE, 0.5)
        canvas.mark([spot - 25 * side, spot + 25 * side], WHITE, 0.5)

    def promenade(self, ground: Polygon) -> None:
        """Lay out the waterside: lawn, a path all around, trees."""
        self.grass(ground)
        for part in polygons_of(ground.buffer(-10)):
            band = part.buffer(-3).difference(part.buffer(-13))
            self.canvas.fill_geometry(band, CONCRETE, rough=50)
        self.trees.scatter(ground, 30, 6, 11)

    def plaza(self, ground: Polygon) -> None:
        """Pave a small square and plant it."""
        tone = pick(self.rng, (CONCRETE, (150, 120, 100, 140)))
        self.canvas.fill_geometry(ground, tone, rough=60)
        self.trees.scatter(ground, 26, 5, 9)

    def verge(self, ground: BaseGeometry) -> None:
        """Paint the strip along the highway: rough grass and bushes."""
        tone = pick(self.rng, ((118, 118, 84, 150), (104, 110, 76, 158)))
        self.canvas.fill_geometry(ground, tone, rough=130)
        for part in polygons_of(ground):
            inner = largest(part.buffer(-8))
            if inner is not None and inner.area > 400:
                self.trees.scatter(inner, 38, 5, 8)

    def parking(self, ground: Polygon, angle: float) -> None:
        """Draw a parking lot: the road's asphalt, stalls in rows, cars.

        Parameters
        ----------
        ground : shapely.Polygon
            The lot.
        angle : float
            Direction of its rows, in radians.
        """
        rng, canvas = self.rng, self.canvas
        # Nothing but its stalls, its cars and its shape tell a busy lot from a street.
        rolled = rng.random() < BUSY_LOTS
        canvas.fill_geometry(ground, asphalt(rng), rough=ROLLED if rolled else 60)
        origin = ground.centroid
        inner = largest(ground.buffer(-3))
        if inner is None:
            return
        local = turned(inner, -angle, origin)
        west, south, east, north = local.bounds
        share = rng.uniform(0.25, 0.85)
        turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
        middle = np.array([origin.x, origin.y])
        across = turn[1]
        shapely.prepare(local)
        # What is left over beside the rows goes to both sides.
        y = south + ((north - south - STALL_DEPTH) % (STALL_DEPTH + AISLE / 2)) / 2
        row = 0
        while y + STALL_DEPTH <= north:
            for x in np.arange(west, east - STALL, STALL):
                if not local.contains(shapely.box(x, y, x + STALL, y + STALL_DEPTH)):
                    continue
                for edge in (x, x + STALL):
                    ends = np.array([[edge, y + 1], [edge, y + STALL_DEPTH - 1]])
                    canvas.mark(middle + (ends - middle) @ turn, WHITE, 0.5)
                if rng.random() < share:
                    spot = np.array([x + 4.5 + rng.normal(0, 0.4), y + 9 + rng.normal(0, 0.8)])
                    way = 1.0 if rng.random() < 0.8 else -1.0
                    draw_car(canvas, rng, middle + (spot - middle) @ turn, across * way)
            y += STALL_DEPTH if row % 2 else STALL_DEPTH + AISLE
            row += 1
        for _ in range(int(ground.area / 1500)):
            spot = middle + (rng.uniform((west, south), (east, north)) - middle) @ turn
            patch = box_at(spot, across, rng.uniform(4, 16), rng.uniform(3, 9))
            canvas.stain(patch, int(rng.choice([106, 114, 140])))
        self._hedge(ground)

    def _hedge(self, ground: Polygon) -> None:
        """Plant a few trees along the edge of a lot."""
        inner = largest(ground.buffer(-2))
        if inner is None or self.rng.random() < 0.5:
            return
        for place in np.arange(10, inner.exterior.length, 35.0):
            if self.rng.random() < 0.35:
                spot = inner.exterior.interpolate(place)
                self.trees.plant(spot.x, spot.y, 5, 8)

    def playground(self, ground: Polygon, angle: float) -> None:
        """Draw a school yard: asphalt, with a court or with toys on safety ground."""
        rng, canvas = self.rng, self.canvas
        tone = asphalt(rng)
        canvas.fill_geometry(ground, tone, rough=60)
        for across in (0.0, math.pi / 2):
            canvas.rule(ground, scaled(tone, 0.8), 15.0, angle + across)
        along = np.array([math.cos(angle), math.sin(angle)])
        middle = np.array(ground.centroid.coords[0])
        if ground.contains(Polygon(box_at(middle, along, 94, 60))):
            self.court(middle, along)
        else:
            soft = Polygon(box_at(middle, along, 40, 28))
            canvas.fill_geometry(soft.intersection(ground), pick(rng, SAFETY), rough=40)
            for _ in range(5):
                spot = middle + rng.uniform(-14, 14, size=2)
                canvas.fill(box_at(spot, along, 6, 4), pick(rng, TOYS), height=6)
        self._hedge(ground)

    def building_site(self, ground: Polygon) -> None:
        """Draw bare soil with stacks of material."""
        rng, canvas = self.rng, self.canvas
        canvas.fill_geometry(ground, pick(rng, (SOIL, (154, 142, 120, 154))), rough=130)
        west, south, east, north = ground.bounds
        for _ in range(8):
            spot = rng.uniform((west, south), (east, north))
            angle = rng.uniform(0, math.pi)
            along = np.array([math.cos(angle), math.sin(angle)])
            stack = Polygon(box_at(spot, along, rng.uniform(3, 14), rng.uniform(4, 10)))
            if ground.contains(stack):
                tone = pick(rng, (CONCRETE, (156, 128, 92, 146), (90, 94, 100, 92)))
                canvas.fill_geometry(stack, tone, height=5)
