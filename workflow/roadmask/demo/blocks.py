"""What stands on the demo city's blocks: each is cut into lots, and every lot has a use."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import shapely
from shapely import LineString, Point, Polygon
from shapely.geometry.base import BaseGeometry

from roadmask.demo.buildings import Buildings
from roadmask.demo.canvas import Canvas
from roadmask.demo.colours import CONCRETE, GRASS, SOIL, Colour, asphalt, pick, scaled, sidewalk
from roadmask.demo.grounds import ROUGH_GRASS, Grounds
from roadmask.demo.pavement import SIDEWALK
from roadmask.demo.shapes import box_at, largest, left_of, long_direction, polygons_of, turned
from roadmask.demo.traffic import draw_car
from roadmask.demo.trees import Trees


@dataclass(frozen=True)
class Style:
    """How a block is built up.

    Attributes
    ----------
    share : int
        How many of twenty blocks.
    widths : tuple of float
        Narrowest and widest lot, in feet.
    depth : float
        About how deep a lot is, in feet.
    use : str
        What most lots are used for.
    parking, playground : float
        Share of the lots that are used so instead.
    """

    share: int
    widths: tuple[float, float]
    depth: float
    use: str
    parking: float
    playground: float


STYLES = {
    "rows": Style(5, (18, 27), 100, "row house", 0.05, 0.015),
    "houses": Style(2, (40, 54), 100, "house", 0.0, 0.0),
    "flats": Style(5, (55, 105), 100, "flats", 0.20, 0.05),
    "works": Style(3, (110, 230), 150, "works", 0.22, 0.04),
    "shops": Style(4, (30, 90), 100, "shop", 0.22, 0.05),
    "estate": Style(1, (118, 118), 104, "towers", 0.25, 0.0),
}
FENCE: Colour = (112, 106, 98, 112)


@dataclass(frozen=True)
class Lot:
    """A lot in its block's own, unturned frame, its street along x.

    Attributes
    ----------
    ground : shapely.Polygon
        The lot.
    outward : float
        -1 where the street lies below, 1 where it lies above.
    angle : float
        The turn about `origin` that takes the frame to the ground, in radians.
    origin : shapely.Point
        Where the turn leaves the frame unmoved.
    green : bool
        Whether the block's yards are lawns.
    """

    ground: Polygon
    outward: float
    angle: float
    origin: Point
    green: bool

    @property
    def width(self) -> float:
        """Along the street, in feet."""
        return float(self.ground.bounds[2] - self.ground.bounds[0])

    @property
    def depth(self) -> float:
        """Away from the street, in feet."""
        return float(self.ground.bounds[3] - self.ground.bounds[1])

    def y(self, inward: float) -> float:
        """Return the frame's y at a distance from the street."""
        front = self.ground.bounds[1] if self.outward < 0 else self.ground.bounds[3]
        return float(front - self.outward * inward)

    def band(
        self, near: float, far: float, left: float = 0.0, right: float = 0.0
    ) -> Polygon | None:
        """Return the lot between two distances from the street, less strips at its sides."""
        low, high = sorted((self.y(near), self.y(far)))
        west, _, east, _ = self.ground.bounds
        return largest(self.ground.intersection(shapely.box(west + left, low, east - right, high)))

    def place(self, ground: Polygon) -> Polygon:
        """Take a part of the lot to the ground."""
        return turned(ground, self.angle, self.origin)


class Blocks:
    """Paints blocks.

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
        self.grounds = Grounds(canvas, rng, trees)
        self.buildings = Buildings(canvas, rng)
        self.sidewalks: list[BaseGeometry] = []
        self.pack: list[str] = []

    def paint(self, block: Polygon, *, park: bool, close: bool, waterside: bool) -> None:
        """Paint a block with its sidewalk.

        Parameters
        ----------
        block : shapely.Polygon
            Up to the curb.
        park, close, waterside : bool
            Whether it is the park, holds the cul-de-sac, or lies at the water.
        """
        self.canvas.fill_geometry(block, sidewalk(self.rng))
        inner = block.buffer(-SIDEWALK, join_style="mitre")
        parts = [part for part in polygons_of(inner) if part.area > 900]
        self.sidewalks.append(block.difference(shapely.unary_union(parts)))
        if not parts and block.area < 7000:
            self.grounds.island(block)
        for part in parts:
            if waterside:
                self.grounds.promenade(part)
            elif park:
                self.grounds.park(part)
            elif part.area < 5000:
                self._pocket(part)
            elif close:
                self._cut_into_lots(part, "houses")
            else:
                name = self._deal()
                if name != "estate" or not self._estate(part):
                    self._cut_into_lots(part, "flats" if name == "estate" else name)

    def _deal(self) -> str:
        """Deal a style from a shuffled pack, so that every city has some of each."""
        if not self.pack:
            names = [name for name, style in STYLES.items() for _ in range(style.share)]
            self.pack = [str(name) for name in self.rng.permutation(names)]
        return self.pack.pop()

    def _pocket(self, ground: Polygon) -> None:
        """Use up a small block: a plaza, a small lot, or one building."""
        kind = self.rng.random()
        if kind < 0.3:
            self.grounds.plaza(ground)
        elif kind < 0.55:
            self.grounds.parking(ground, long_direction(ground))
        else:
            self.buildings.flat(ground.buffer(-1), self.rng.uniform(18, 45))

    def _estate(self, ground: Polygon) -> bool:
        """Build towers in a lawn, with paths and parking lots; tell whether three have room."""
        rng, canvas, style = self.rng, self.canvas, STYLES["estate"]
        angle = long_direction(ground)
        along = np.array([math.cos(angle), math.sin(angle)])
        across = left_of(along)
        middle = np.array(ground.centroid.coords[0])
        step, half = style.widths[0], style.depth / 2
        spots = [
            middle + (a + 0.5) * step * along + b * half * across
            for a in range(-6, 6)
            for b in range(-5, 6, 2)
        ]
        spots = [spot for spot in spots if ground.contains(Polygon(box_at(spot, along, 100, 84)))]
        if len(spots) < 3:
            return False
        self.grounds.grass(ground)
        for a in range(-6, 7):
            foot = middle + a * step * along
            path = LineString([foot - 400 * across, foot + 400 * across]).buffer(4)
            canvas.fill_geometry(path.intersection(ground), CONCRETE, rough=50)
        spine = LineString([middle - 900 * along, middle + 900 * along]).buffer(5)
        canvas.fill_geometry(spine.intersection(ground), CONCRETE, rough=50)
        for spot in spots:
            if rng.random() < style.parking:
                self.grounds.parking(Polygon(box_at(spot, along, 96, 80)), angle)
            else:
                wings = (box_at(spot, along, 74, 30), box_at(spot, across, 56, 26))
                towers = shapely.unary_union([Polygon(wing) for wing in wings])
                self.buildings.flat(towers, rng.uniform(50, 75))
        taken = [Polygon(box_at(spot, along, 92, 74)) for spot in spots]
        free = largest(ground.difference(shapely.unary_union(taken).buffer(6)))
        if free is not None:
            self.trees.scatter(free, 30, 6, 12)
        return True

    def _cut_into_lots(self, ground: Polygon, name: str) -> None:
        """Cut a block into rows of lots along its long side, and build on each."""
        rng, style = self.rng, STYLES[name]
        angle = long_direction(ground)
        yard = {
            "rows": pick(rng, (*GRASS, *GRASS, CONCRETE, SOIL)),
            "houses": pick(rng, GRASS),
            "flats": pick(rng, (CONCRETE, asphalt(rng), GRASS[1])),
            "works": asphalt(rng),
            "shops": pick(rng, (CONCRETE, asphalt(rng))),
        }[name]
        green = yard[3] > yard[0] * 1.3
        self.canvas.fill_geometry(ground, yard, rough=ROUGH_GRASS if green else 70)
        if not green:
            self._slabs(ground, yard, angle)
        origin = ground.centroid
        local = turned(ground, -angle, origin)
        west, south, east, north = local.bounds
        rows = max(1, round((north - south) / style.depth))
        depth = (north - south) / rows
        for row in range(rows):
            outward = -1.0 if row < rows / 2 else 1.0
            if rows == 1:
                outward = float(rng.choice([-1, 1]))
            y = south + row * depth
            x, typical = west, float(rng.uniform(*style.widths))
            while x < east - 8:
                alike = style.use == "row house" and rng.random() < 0.8
                width = typical if alike else float(rng.uniform(*style.widths))
                use = self._use(style, width)
                if use in ("parking", "playground"):
                    width = max(width, float(rng.uniform(95, 180)))
                # No sliver is left at the end.
                if east - x - width < style.widths[0] * 0.6:
                    width = east - x
                part = largest(local.intersection(shapely.box(x, y, x + width, y + depth)))
                x += width
                if part is not None and part.area > 260:
                    self._use_lot(Lot(part, outward, angle, origin, green), use)

    def _slabs(self, ground: Polygon, colour: Colour, angle: float) -> None:
        """Draw the joints of a yard that is paved in slabs."""
        spacing = float(self.rng.uniform(9, 14))
        for across in (0.0, math.pi / 2):
            self.canvas.rule(ground, scaled(colour, 0.8), spacing, angle + across)

    def _use(self, style: Style, width: float) -> str:
        """Choose what a lot is used for; here and there something else than its block."""
        draw = self.rng.random()
        if draw < style.parking:
            return "parking"
        if draw < style.parking + style.playground:
            return "playground"
        if draw > 0.988:
            return "building site"
        if draw > 0.97:
            return "garden"
        return "flats" if style.use == "shop" and width > 60 else style.use

    def _use_lot(self, lot: Lot, use: str) -> None:
        """Build on a lot, or lay it out."""
        ground = lot.place(lot.ground)
        if use == "parking":
            self.grounds.parking(ground, lot.angle)
        elif use == "playground":
            self.grounds.playground(ground, lot.angle)
        elif use == "garden":
            self.grounds.grass(ground)
            self.trees.scatter(ground, 18, 5, 9)
        elif use == "building site":
            self.grounds.building_site(ground)
        elif use == "house":
            self._house(lot)
        elif use == "row house":
            self._row_house(lot)
        elif use == "works":
            self._works(lot)
        else:
            self._block_of_flats(lot, shop=use == "shop")

    def _house(self, lot: Lot) -> None:
        """Build a detached house with a drive and a garden."""
        rng = self.rng
        side, near = rng.uniform(5, 8), rng.uniform(12, 20)
        body = lot.band(near, near + rng.uniform(28, 40), side + 3, side)
        drive = lot.band(0, near + 45, 0.5, lot.width - 8.5)
        if drive is not None and rng.random() < 0.7:
            tone = pick(rng, (CONCRETE, (120, 118, 116, 118)))
            self.canvas.fill_geometry(lot.place(drive), tone, rough=50)
            if rng.random() < 0.5:
                west = lot.ground.bounds[0]
                spot = shapely.box(west + 4, lot.y(22) - 0.5, west + 5, lot.y(22) + 0.5)
                at = np.array(lot.place(spot).centroid.coords[0])
                draw_car(
                    self.canvas, rng, at, np.array([-math.sin(lot.angle), math.cos(lot.angle)])
                )
        free: Polygon | None = lot.ground
        if body is not None and body.area > 400:
            # A corner lot's house follows its curved street: no plain pitched roof covers it.
            if body.area > 0.9 * body.minimum_rotated_rectangle.area:
                self.buildings.pitched(lot.place(body), rng.uniform(16, 24))
            else:
                self.buildings.flat(lot.place(body), rng.uniform(14, 22))
            free = largest(lot.ground.difference(body.buffer(8)))
        if free is not None:
            self.trees.scatter(lot.place(free), 40, 6, 12)

    def _row_house(self, lot: Lot) -> None:
        """Build one of a row of houses, with a back yard."""
        rng = self.rng
        near = 0.0 if rng.random() < 0.7 else 5.0
        body = lot.band(near, min(rng.uniform(48, 60), lot.depth * 0.72))
        if body is not None and body.area > 200:
            self.buildings.flat(lot.place(body), rng.uniform(28, 42), ornate=False)
        yard = lot.band(lot.depth * 0.74, lot.depth)
        if yard is not None:
            if rng.random() < 0.35:
                spot = lot.place(yard).centroid
                self.trees.plant(spot.x, spot.y, 6, 11)
            if rng.random() < 0.3:
                tone = pick(rng, (*GRASS, CONCRETE, SOIL))
                self.canvas.fill_geometry(lot.place(yard), tone, rough=90)

    def _works(self, lot: Lot) -> None:
        """Build a factory or warehouse, its yard paved."""
        rng = self.rng
        body = lot.band(float(rng.choice([0, 0, 34])), lot.depth * rng.uniform(0.8, 1), 1, 1)
        if body is not None and body.area > 600:
            if rng.random() < 0.25:
                self.buildings.saw_tooth(lot.place(body), rng.uniform(18, 28), lot.angle)
            else:
                self.buildings.flat(lot.place(body), rng.uniform(16, 30))

    def _block_of_flats(self, lot: Lot, *, shop: bool) -> None:
        """Build up to the lot's sides, with a court at the back of a wide building."""
        rng = self.rng
        deep = lot.depth * (rng.uniform(0.7, 0.95) if shop else rng.uniform(0.62, 0.8))
        body = lot.band(0, deep)
        if body is None or body.area < 300:
            return
        self._rear_yard(lot, body)
        if not shop and lot.width > 58 and not lot.green:
            court = lot.band(deep * 0.45, deep, lot.width / 2 - 8, lot.width / 2 - 8)
            if court is not None:
                body = largest(body.difference(court)) or body
        self.buildings.flat(lot.place(body), rng.uniform(16, 36) if shop else rng.uniform(38, 66))

    def _rear_yard(self, lot: Lot, body: Polygon) -> None:
        """Give a lot ground of its own, a fence, and sometimes trees."""
        rng, canvas = self.rng, self.canvas
        ground = lot.place(lot.ground)
        if not lot.green and rng.random() < 0.75:
            tones = (CONCRETE, GRASS[1], SOIL, asphalt(rng), asphalt(rng), asphalt(rng))
            tone = pick(rng, tones)
            canvas.fill_geometry(ground, tone, rough=70)
            if tone[3] < tone[0] * 1.3:
                self._slabs(ground, tone, lot.angle)
        canvas.stroke(shapely.get_coordinates(ground.exterior), FENCE, 0.5, closed=True)
        free = largest(lot.ground.difference(body.buffer(7)))
        if free is not None and rng.random() < 0.6:
            self.trees.scatter(lot.place(free), 30, 5, 9)
