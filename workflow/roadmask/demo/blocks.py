"""What stands on the demo city's blocks: buildings, yards, parking lots, parks, trees."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import shapely
from shapely import LineString, Point, Polygon, affinity
from shapely.geometry.base import BaseGeometry

from roadmask.demo.canvas import HEIGHT_UNIT, PIXEL, Canvas, Colour
from roadmask.demo.pavement import SIDEWALK
from roadmask.demo.traffic import WHITE, asphalt, box_at, draw_car

Vector = npt.NDArray[np.float64]

GRASS: tuple[Colour, ...] = ((98, 116, 66, 176), (112, 124, 76, 168), (86, 108, 60, 184))
SOIL: Colour = (146, 122, 92, 150)
CONCRETE: Colour = (172, 168, 158, 166)
ROUGH_GRASS = 110


@dataclass(frozen=True)
class Tree:
    """Pictures of a crown and its height, ready to be stamped."""

    colour: npt.NDArray[np.uint8]
    alpha: npt.NDArray[np.uint8]
    height: npt.NDArray[np.uint8]
    radius: float


class Blocks:
    """Paints blocks.

    Parameters
    ----------
    canvas : Canvas
        What is painted on.
    rng : numpy.random.Generator
        Source of every choice.
    turn : float
        Direction of the streets, in radians.
    """

    def __init__(self, canvas: Canvas, rng: np.random.Generator, turn: float) -> None:
        self.canvas = canvas
        self.rng = rng
        self.turn = turn
        self.trees = [make_tree(rng, canvas.sun, radius) for radius in (5, 7, 8, 9, 10, 11, 12, 14)]
        self.trees += [make_tree(rng, canvas.sun, radius) for radius in (6, 8, 9, 10, 11, 13)]
        self.planted: list[tuple[float, float, int]] = []

    def plant(self, x: float, y: float, least: float = 5, most: float = 14) -> None:
        """Note a tree; all are drawn at the end, over everything."""
        fitting = [k for k, tree in enumerate(self.trees) if least <= tree.radius <= most]
        self.planted.append((x, y, int(self.rng.choice(fitting))))

    def draw_trees(self) -> None:
        """Draw the trees noted so far."""
        for x, y, kind in self.planted:
            tree = self.trees[kind]
            self.canvas.stamp(tree.colour, tree.alpha, x, y, tree.height)
        self.planted.clear()

    # A block as a whole

    def paint(self, block: Polygon, *, park: bool, close: bool, waterside: bool) -> None:
        """Paint a block, its sidewalk excepted."""
        rng = self.rng
        inner = largest(block.buffer(-SIDEWALK, join_style="mitre"))
        if inner is None or inner.area < 900:
            if block.area < 7000:
                self.small(block)
            return
        if waterside:
            self.promenade(inner)
        elif park:
            self.park(inner)
        elif inner.area < 5000:
            self.pocket(inner)
        else:
            styles = ("rows", "flats", "houses", "works", "towers", "shops")
            weights = (0.27, 0.24, 0.13, 0.14, 0.08, 0.14)
            style = "houses" if close else str(rng.choice(styles, p=weights))
            if style == "towers":
                self.estate(inner)
            else:
                self.lots(inner, style)

    def small(self, block: Polygon) -> None:
        """Paint a traffic island: concrete, grass or a few trees."""
        if self.rng.random() < 0.5:
            core = block.buffer(-3.0)
            self.canvas.fill_geometry(core, self.pick(GRASS), rough=ROUGH_GRASS)
            if core.area > 150:
                self.plant(core.centroid.x, core.centroid.y, 5, 8)

    def pick(self, colours: tuple[Colour, ...], spread: float = 7.0) -> Colour:
        """Choose a colour and vary it a little."""
        colour = colours[int(self.rng.integers(len(colours)))]
        shift = self.rng.normal(0, spread)
        red, green, blue, near = (int(np.clip(value + shift, 0, 255)) for value in colour)
        return red, green, blue, near

    def grass(self, ground: BaseGeometry) -> None:
        """Lay a lawn."""
        self.canvas.fill_geometry(ground, self.pick(GRASS), rough=ROUGH_GRASS)

    def scatter(self, ground: Polygon, spacing: float, least: float = 5, most: float = 14) -> None:
        """Plant trees over ground, one for each `spacing` feet squared."""
        rng = self.rng
        west, south, east, north = ground.bounds
        count = rng.poisson((east - west) * (north - south) / spacing**2)
        points = shapely.points(rng.uniform((west, south), (east, north), size=(count, 2)))
        shapely.prepare(ground)
        for point in points[shapely.contains(ground, points)]:
            self.plant(point.x, point.y, least, most)

    # Open ground

    def park(self, ground: Polygon) -> None:
        """Lay out a park: lawns, paths, a ball field, a playground, many trees."""
        rng, canvas = self.rng, self.canvas
        self.grass(ground)
        middle = np.array(ground.centroid.coords[0])
        west, south, east, north = ground.bounds
        for _ in range(4):
            ends = rng.uniform((west, south), (east, north), size=(2, 2))
            share = np.linspace(0, 1, 20)[:, None]
            bend = rng.normal(0, 35, size=2) * np.sin(math.pi * share)
            path = LineString(ends[0] * (1 - share) + ends[1] * share + bend).buffer(4.5)
            canvas.fill_geometry(path.intersection(ground), CONCRETE, rough=50)
        reach = min(east - west, north - south) * 0.18
        field = middle + rng.uniform(-1, 1, size=2) * np.array([east - west, north - south]) * 0.2
        angles = np.linspace(0, math.pi / 2, 12) + rng.uniform(0, 2 * math.pi)
        arc = field + min(reach, 70) * np.column_stack([np.cos(angles), np.sin(angles)])
        diamond = Polygon([field, *arc])
        if ground.contains(diamond):
            canvas.fill_geometry(diamond, SOIL, rough=60)
            canvas.fill_geometry(
                affinity.scale(diamond, 0.5, 0.5, origin=(field[0], field[1])).buffer(-3), GRASS[0]
            )
        spot = middle + rng.uniform(-1, 1, size=2) * np.array([east - west, north - south]) * 0.25
        along = np.array([math.cos(self.turn), math.sin(self.turn)])
        court = Polygon(box_at(spot, along, 94, 60))
        keep = court.union(diamond).buffer(12)
        if ground.contains(court):
            self.court(spot, along)
        self.scatter(largest(ground.difference(keep)) or ground, 27, 7)

    def court(self, spot: Vector, along: Vector) -> None:
        """Paint a ball court: asphalt with lines, sometimes green or red inside."""
        rng, canvas = self.rng, self.canvas
        canvas.fill(box_at(spot, along, 94, 60), asphalt(rng), rough=50)
        if rng.random() < 0.5:
            canvas.fill(
                box_at(spot, along, 84, 50),
                self.pick(((72, 112, 84, 95), (132, 70, 56, 120), (70, 92, 120, 95))),
            )
        side = np.array([-along[1], along[0]])
        for length, width in ((84, 50), (19, 12)):
            for way in (-1, 1) if length == 19 else (0,):
                middle = spot + way * 32 * along
                ring = box_at(middle, along, length, width)
                canvas.mark(np.vstack([ring, ring[:1]]), WHITE, 0.5)
        canvas.mark([spot - 25 * side, spot + 25 * side], WHITE, 0.5)

    def promenade(self, ground: Polygon) -> None:
        """Lay out the waterside: lawn, a path along the shore, trees."""
        self.grass(ground)
        for part in shapely.get_parts(ground.buffer(-10)):
            band = part.buffer(-3).difference(part.buffer(-13))
            self.canvas.fill_geometry(band, CONCRETE, rough=50)
        self.scatter(ground, 30, 6, 11)

    def pocket(self, ground: Polygon) -> None:
        """Use up a small block: a plaza, a small lot, or one building."""
        kind = self.rng.random()
        if kind < 0.3:
            self.canvas.fill_geometry(ground, self.pick((CONCRETE, (150, 120, 100, 140))), rough=60)
            self.scatter(ground, 26, 5, 9)
        elif kind < 0.55:
            self.parking(ground, self.turn)
        else:
            self.flat_roof(ground.buffer(-1), self.rng.uniform(18, 45))

    def verge(self, ground: BaseGeometry) -> None:
        """Paint the strip along the highway: rough grass, gravel, bushes."""
        self.canvas.fill_geometry(
            ground, self.pick(((118, 118, 84, 150), (104, 110, 76, 158))), rough=130
        )
        for part in shapely.get_parts(ground):
            if part.geom_type == "Polygon" and part.area > 400:
                self.scatter(part.buffer(-8), 38, 5, 8)

    def estate(self, ground: Polygon) -> None:
        """Build towers in a lawn, with paths and a parking lot."""
        rng, canvas = self.rng, self.canvas
        self.grass(ground)
        angle = long_direction(ground)
        along = np.array([math.cos(angle), math.sin(angle)])
        across = np.array([-along[1], along[0]])
        middle = np.array(ground.centroid.coords[0])
        taken: BaseGeometry = Polygon()
        for a in np.arange(-600, 601, 118.0):
            path = LineString(
                [middle + a * along - 400 * across, middle + a * along + 400 * across]
            )
            canvas.fill_geometry(path.buffer(4).intersection(ground), CONCRETE, rough=50)
        spine = LineString([middle - 900 * along, middle + 900 * along]).buffer(5)
        canvas.fill_geometry(spine.intersection(ground), CONCRETE, rough=50)
        rows = np.arange(-260, 261, 104.0) + (52 if rng.random() < 0.5 else 0)
        for a in np.arange(-541, 600, 118.0):
            for b in rows:
                spot = middle + a * along + b * across
                if not ground.contains(Polygon(box_at(spot, along, 100, 84))):
                    continue
                taken = taken.union(Polygon(box_at(spot, along, 92, 74)))
                if rng.random() < 0.2:
                    self.parking(Polygon(box_at(spot, along, 96, 80)), angle)
                    continue
                height = rng.uniform(50, 75)
                wings = (
                    Polygon(box_at(spot, along, 74, 30)),
                    Polygon(box_at(spot, across, 56, 26)),
                )
                self.flat_roof(shapely.union(*wings), height)
        self.scatter(largest(ground.difference(taken.buffer(6))) or ground, 30, 6, 12)

    # Lots

    def lots(self, ground: Polygon, style: str) -> None:
        """Cut a block into lots along its two long sides and build on each."""
        rng, canvas = self.rng, self.canvas
        angle = long_direction(ground)
        yard = {
            "rows": self.pick((*GRASS, CONCRETE, SOIL)),
            "houses": self.pick(GRASS),
            "flats": self.pick((CONCRETE, (140, 136, 128, 140), GRASS[1])),
            "works": asphalt(rng),
            "shops": self.pick((CONCRETE, (150, 146, 138, 148))),
        }[style]
        green = yard[3] > yard[0] * 1.3
        canvas.fill_geometry(ground, yard, rough=ROUGH_GRASS if green else 70)
        origin = ground.centroid
        local = affinity.rotate(ground, -angle, origin=origin, use_radians=True)
        west, south, east, north = local.bounds
        rows = max(1, round((north - south) / (150 if style == "works" else 100)))
        depth = (north - south) / rows
        widths = {
            "rows": (18, 27),
            "houses": (40, 54),
            "flats": (55, 105),
            "works": (110, 230),
            "shops": (30, 90),
        }
        for row in range(rows):
            y = south + row * depth
            outward = -1.0 if row < rows / 2 else 1.0
            if rows == 1:
                outward = float(rng.choice([-1, 1]))
            x = west
            uniform = float(rng.uniform(*widths[style]))
            while x < east - 8:
                width = (
                    uniform
                    if style == "rows" and rng.random() < 0.8
                    else float(rng.uniform(*widths[style]))
                )
                if east - x - width < widths[style][0] * 0.6:
                    width = east - x
                use = self.use_of_lot(style, width)
                if use in ("parking", "playground"):
                    width = min(max(width, float(rng.uniform(95, 180))), east - x)
                lot = largest(local.intersection(shapely.box(x, y, x + width, y + depth)))
                x += width
                if lot is not None and lot.area > 260:
                    self.build(lot, use, outward, angle, origin, green=green)

    def use_of_lot(self, style: str, width: float) -> str:
        """Choose what a lot is used for; here and there something else than its block."""
        rng = self.rng
        other = rng.random()
        if style in ("flats", "works", "shops"):
            if other < 0.16:
                return "parking"
            if other < 0.20:
                return "playground"
        if style == "rows" and other < 0.022:
            return "parking"
        if style == "rows" and other < 0.035:
            return "playground"
        if other > 0.97:
            return "garden" if rng.random() < 0.6 else "building site"
        return {"rows": "row house", "houses": "house", "flats": "flats", "works": "works"}.get(
            style, "shop" if width < 60 else "flats"
        )

    def build(
        self, lot: Polygon, use: str, outward: float, angle: float, origin: Point, *, green: bool
    ) -> None:
        """Build on a lot given in the block's own, unturned frame.

        Parameters
        ----------
        lot : shapely.Polygon
            The lot, its long street along x.
        use : str
            What it is used for.
        outward : float
            -1 where the street lies below, 1 above.
        angle, origin : float, shapely.Point
            The turn that takes the frame to the ground.
        green : bool
            Whether the block's yards are lawns.
        """
        rng = self.rng

        def place(geometry: BaseGeometry) -> BaseGeometry:
            return affinity.rotate(geometry, angle, origin=origin, use_radians=True)

        west, south, east, north = lot.bounds
        front = south if outward < 0 else north
        depth = north - south

        def band(near: float, far: float, side: float = 0.0) -> Polygon:
            """Return what lies between two distances from the street."""
            low, high = sorted((front - outward * near, front - outward * far))
            return shapely.box(west + side, low, east - side, high)

        if use == "parking":
            self.parking(place(lot), angle)
        elif use == "playground":
            self.playground(place(lot), angle)
        elif use == "garden":
            self.grass(place(lot))
            self.scatter(place(lot), 18, 5, 9)
        elif use == "building site":
            self.building_site(place(lot))
        elif use == "house":
            side, near = rng.uniform(5, 8), rng.uniform(12, 20)
            body = largest(lot.intersection(band(near, near + rng.uniform(28, 40), side)))
            drive = largest(
                lot.intersection(shapely.box(west + 0.5, south, west + 8.5, north)).intersection(
                    band(0, near + 45)
                )
            )
            if drive is not None and rng.random() < 0.7:
                self.canvas.fill_geometry(
                    place(drive), self.pick((CONCRETE, (120, 118, 116, 118))), rough=50
                )
                if rng.random() < 0.5:
                    spot = place(Point(west + 4.5, front - outward * rng.uniform(10, 30)))
                    turned = np.array([-math.sin(angle), math.cos(angle)])
                    draw_car(self.canvas, rng, np.array(spot.coords[0]), turned)
            if body is not None and body.area > 400:
                if body.area > 0.9 * body.minimum_rotated_rectangle.area:
                    self.pitched_roof(place(body), rng.uniform(16, 24))
                else:
                    self.flat_roof(place(body), rng.uniform(14, 22))
            self.scatter(place(lot), 42, 6, 12)
        elif use == "row house":
            near = 0.0 if rng.random() < 0.7 else 5.0
            body = largest(lot.intersection(band(near, min(rng.uniform(48, 60), depth * 0.72))))
            if body is not None and body.area > 200:
                self.flat_roof(place(body), rng.uniform(28, 42), ornate=False)
            yard = largest(lot.intersection(band(depth * 0.74, depth)))
            if yard is not None and rng.random() < 0.35:
                spot = place(yard.centroid)
                self.plant(spot.x, spot.y, 6, 11)
            if yard is not None and rng.random() < 0.3:
                self.canvas.fill_geometry(
                    place(yard), self.pick((*GRASS, CONCRETE, SOIL)), rough=90
                )
        elif use == "works":
            body = largest(
                lot.intersection(band(rng.choice([0, 0, 34]), depth * rng.uniform(0.8, 1), 1))
            )
            if body is not None and body.area > 600:
                if rng.random() < 0.25:
                    self.saw_tooth(place(body), rng.uniform(18, 28), angle)
                else:
                    self.flat_roof(place(body), rng.uniform(16, 30))
        else:
            deep = depth * (rng.uniform(0.62, 0.8) if use == "flats" else rng.uniform(0.7, 0.95))
            body = largest(lot.intersection(band(0, deep, 0.0)))
            if body is None or body.area < 300:
                return
            height = rng.uniform(38, 68) if use == "flats" else rng.uniform(16, 36)
            low, high = sorted((front - outward * deep * 0.45, front - outward * deep))
            if use == "flats" and east - west > 58 and not green:
                middle = (west + east) / 2
                court = shapely.box(middle - 8, low, middle + 8, high)
                body = largest(body.difference(court)) or body
            self.flat_roof(place(body), height)

    # Buildings

    def flat_roof(self, outline: BaseGeometry, height: float, *, ornate: bool = True) -> None:
        """Draw a flat roof: tar, asphalt, gravel, silver or white paint; parapet and clutter."""
        rng, canvas = self.rng, self.canvas
        kind = rng.choice(6, p=[0.34, 0.2, 0.14, 0.14, 0.1, 0.08])
        if kind == 0:
            colour = asphalt(rng)
        else:
            colour = self.pick(
                (
                    ((52, 52, 54, 50), (64, 63, 62, 62)),
                    ((150, 146, 138, 146), (136, 130, 120, 136)),
                    ((178, 180, 182, 170), (166, 168, 172, 160)),
                    ((220, 220, 216, 205), (206, 206, 202, 196)),
                    ((142, 96, 76, 130), (120, 104, 88, 120), (104, 120, 108, 108)),
                )[kind - 1]
            )
        light = np.array(colour) + (38 if colour[1] < 150 else -28)
        parapet: Colour = tuple(int(v) for v in np.clip(light, 0, 255))  # type: ignore[assignment]
        for part in shapely.get_parts(outline):
            if part.geom_type != "Polygon" or not canvas.sees(shapely.get_coordinates(part)):
                continue
            canvas.fill_geometry(part, colour, height=height, rough=int(rng.integers(40, 95)))
            points = shapely.get_coordinates(part.exterior)
            canvas.stroke(points, parapet, 0.5 if rng.random() < 0.6 else 1.0, closed=True)
            self.clutter(part, height, colour, ornate=ornate)

    def clutter(self, roof: Polygon, height: float, colour: Colour, *, ornate: bool) -> None:
        """Put patches, hatches, machines, skylights and water tanks on a roof."""
        rng, canvas = self.rng, self.canvas
        core = roof.buffer(-5)
        if core.is_empty:
            return
        angle = long_direction(roof)
        along = np.array([math.cos(angle), math.sin(angle)])
        west, south, east, north = core.bounds
        density = roof.area / (650 if ornate else 420)
        shapely.prepare(core)
        for _ in range(min(60, rng.poisson(density) + 1)):
            spot = rng.uniform((west, south), (east, north))
            if not core.contains(Point(spot)):
                continue
            kind = rng.random()
            if kind < 0.28:
                shift = rng.choice([-16, -10, 9, 14])
                patch: Colour = tuple(int(np.clip(v + shift, 0, 255)) for v in colour)  # type: ignore[assignment]
                canvas.fill(box_at(spot, along, rng.uniform(6, 22), rng.uniform(4, 12)), patch)
            elif kind < 0.5:
                canvas.fill(
                    box_at(spot, along, rng.uniform(3, 7), rng.uniform(3, 6)),
                    self.pick(((190, 190, 188, 180), (120, 122, 124, 118))),
                    height=height + 4,
                )
            elif kind < 0.66:
                canvas.fill(
                    box_at(spot, along, rng.uniform(8, 13), rng.uniform(7, 10)),
                    self.pick(((160, 130, 112, 145), (150, 148, 144, 146), (96, 92, 90, 92))),
                    height=height + 9,
                )
            elif kind < 0.82:
                canvas.fill(
                    box_at(spot, along, rng.uniform(4, 9), rng.uniform(3, 5)),
                    self.pick(((84, 100, 112, 70), (196, 206, 210, 180))),
                    height=height + 2,
                )
            elif kind < 0.9 and ornate and height > 30:
                angles = np.linspace(0, 2 * math.pi, 17)[:-1]
                ring = spot + 5.5 * np.column_stack([np.cos(angles), np.sin(angles)])
                canvas.fill(ring, (112, 88, 68, 110), height=height + 14)
            else:
                reach = rng.uniform(10, 30)
                shade: Colour = tuple(int(v * 0.8) for v in colour)  # type: ignore[assignment]
                canvas.stroke([spot, spot + reach * along], shade, 0.5)

    def pitched_roof(self, outline: Polygon, height: float) -> None:
        """Draw a hipped or gabled roof, its faces lit by their slope."""
        rng, canvas = self.rng, self.canvas
        corners = shapely.get_coordinates(outline.minimum_rotated_rectangle.exterior)[:4]
        if np.linalg.norm(corners[1] - corners[0]) < np.linalg.norm(corners[2] - corners[1]):
            corners = np.roll(corners, -1, axis=0)
        hip = rng.uniform(0.25, 0.4) if rng.random() < 0.5 else 0.0
        west, east = (corners[0] + corners[3]) / 2, (corners[1] + corners[2]) / 2
        ridge = west + hip * (east - west), east - hip * (east - west)
        colour = self.pick(
            ((96, 94, 94, 96), (118, 112, 106, 116), (124, 84, 66, 120), (84, 72, 64, 88))
        )
        middle = corners.mean(axis=0)
        sun = -np.array([math.cos(canvas.sun), math.sin(canvas.sun)])
        faces = [
            [corners[0], corners[1], ridge[1], ridge[0]],
            [corners[2], corners[3], ridge[0], ridge[1]],
            [corners[1], corners[2], ridge[1]],
            [corners[3], corners[0], ridge[0]],
        ]
        canvas.fill(corners, None, height=height * 0.8)
        for face in faces:
            out = np.mean(face[:2], axis=0) - middle
            lit = 1 + 0.26 * float(out @ sun) / max(float(np.linalg.norm(out)), 1e-6)
            shade: Colour = tuple(int(np.clip(v * lit, 0, 255)) for v in colour)  # type: ignore[assignment]
            canvas.fill(face, shade, rough=45)
        canvas.fill(
            box_at(ridge[0] * 0.3 + ridge[1] * 0.7, east - west, 0.1, 3),
            (130, 90, 76, 120),
            height=height + 3,
        )

    def saw_tooth(self, outline: Polygon, height: float, angle: float) -> None:
        """Draw a factory's roof of parallel sheds."""
        canvas = self.canvas
        colour = self.pick(((140, 138, 134, 138), (118, 116, 112, 116)))
        canvas.fill_geometry(outline, colour, height=height, rough=60)
        local = affinity.rotate(outline, -angle, origin=(0, 0), use_radians=True)
        west, south, east, north = local.bounds
        for number, x in enumerate(np.arange(west, east, 9.0)):
            band = local.intersection(shapely.box(x, south, min(x + 9, east), north))
            tone = 0.78 if number % 2 else 1.16
            shade: Colour = tuple(int(np.clip(v * tone, 0, 255)) for v in colour)  # type: ignore[assignment]
            turned = affinity.rotate(band, angle, origin=(0, 0), use_radians=True)
            canvas.fill_geometry(turned, shade, height=height + 4 * (number % 2))

    # Paved lots

    def parking(self, ground: Polygon, angle: float) -> None:
        """Draw a parking lot: the road's asphalt, stalls in rows, cars."""
        rng, canvas = self.rng, self.canvas
        canvas.fill_geometry(ground, asphalt(rng), rough=70)
        origin = ground.centroid
        local = affinity.rotate(ground.buffer(-3), -angle, origin=origin, use_radians=True)
        if local.is_empty:
            return
        west, south, east, north = local.bounds
        share = rng.uniform(0.25, 0.85)
        cosine, sine = math.cos(angle), math.sin(angle)

        def place(x: float, y: float) -> Vector:
            dx, dy = x - origin.x, y - origin.y
            return np.array(
                [origin.x + dx * cosine - dy * sine, origin.y + dx * sine + dy * cosine]
            )

        across = np.array([-sine, cosine])
        shapely.prepare(local)
        y, pair = south, 0
        while y + 18 <= north:
            for x in np.arange(west, east - 9, 9.0):
                if not local.contains(shapely.box(x, y, x + 9, y + 18)):
                    continue
                canvas.mark([place(x, y + 1), place(x, y + 17)], WHITE, 0.5)
                canvas.mark([place(x + 9, y + 1), place(x + 9, y + 17)], WHITE, 0.5)
                if rng.random() < share:
                    spot = place(x + 4.5 + rng.normal(0, 0.4), y + 9 + rng.normal(0, 0.8))
                    draw_car(canvas, rng, spot, across * (1 if rng.random() < 0.8 else -1))
            y += 18 if pair % 2 else 18 + 23
            pair += 1
        for _ in range(int(ground.area / 1500)):
            spot = rng.uniform((west, south), (east, north))
            canvas.stain(
                box_at(place(*spot), across, rng.uniform(4, 16), rng.uniform(3, 9)),
                int(rng.choice([106, 114, 140])),
            )
        self.border_trees(ground)

    def border_trees(self, ground: Polygon) -> None:
        """Plant a few trees along the edge of a lot."""
        rng = self.rng
        ring = ground.buffer(-2).exterior if ground.buffer(-2).geom_type == "Polygon" else None
        if ring is None or rng.random() < 0.5:
            return
        for place in np.arange(10, ring.length, 35.0):
            if rng.random() < 0.35:
                spot = ring.interpolate(place)
                self.plant(spot.x, spot.y, 5, 8)

    def playground(self, ground: Polygon, angle: float) -> None:
        """Draw a school yard: asphalt, a court, coloured safety ground, a fence of trees."""
        rng, canvas = self.rng, self.canvas
        canvas.fill_geometry(ground, asphalt(rng), rough=60)
        along = np.array([math.cos(angle), math.sin(angle)])
        middle = np.array(ground.centroid.coords[0])
        if ground.contains(Polygon(box_at(middle, along, 94, 60))):
            self.court(middle, along)
        else:
            colour = self.pick(((60, 104, 120, 90), (150, 74, 58, 130), (92, 120, 70, 110)))
            soft = Polygon(box_at(middle, along, 40, 28))
            canvas.fill_geometry(soft.intersection(ground), colour, rough=40)
            for _ in range(5):
                spot = middle + rng.uniform(-14, 14, size=2)
                canvas.fill(
                    box_at(spot, along, 6, 4),
                    self.pick(((210, 60, 50, 190), (230, 190, 60, 215), (60, 90, 170, 120))),
                    height=6,
                )
        self.border_trees(ground)

    def building_site(self, ground: Polygon) -> None:
        """Draw bare soil with a pit, stacks and a crane's shadow."""
        rng, canvas = self.rng, self.canvas
        canvas.fill_geometry(ground, self.pick((SOIL, (160, 144, 118, 158))), rough=140)
        west, south, east, north = ground.bounds
        for _ in range(8):
            spot = rng.uniform((west, south), (east, north))
            stack = Polygon(
                box_at(
                    spot, np.array([1.0, rng.uniform(-1, 1)]), rng.uniform(1, 9), rng.uniform(4, 12)
                )
            )
            if ground.contains(stack):
                canvas.fill_geometry(
                    stack, self.pick((CONCRETE, (170, 130, 80, 150), (90, 94, 100, 92))), height=5
                )


def largest(geometry: BaseGeometry) -> Polygon | None:
    """Return a geometry's largest polygon, or None where it has none."""
    parts = [part for part in shapely.get_parts(geometry) if part.geom_type == "Polygon"]
    parts = [part for part in parts if not part.is_empty]
    return max(parts, key=lambda part: float(part.area), default=None)


def long_direction(ground: Polygon) -> float:
    """Return the direction of a polygon's long side, in radians."""
    corners = shapely.get_coordinates(ground.minimum_rotated_rectangle)[:3]
    first, second = corners[1] - corners[0], corners[2] - corners[1]
    long = first if np.linalg.norm(first) >= np.linalg.norm(second) else second
    return math.atan2(long[1], long[0]) % math.pi


def make_tree(rng: np.random.Generator, sun: float, radius: float) -> Tree:
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
    Tree
        Its pictures, square, of uint8.
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
    # Rows go south: the side away from the shadow is lit.
    towards = -(x * math.cos(sun) - y * math.sin(sun)) / pixels
    light = 0.78 + 0.26 * towards + 0.10 * bumps + 0.13 * fine + 0.12 * dome
    base = np.array(
        [(74, 96, 50, 178), (88, 104, 58, 188), (64, 88, 50, 168), (98, 106, 66, 176)][
            int(rng.integers(4))
        ]
    )
    colour = np.clip(base * light[..., None], 0, 255).astype(np.uint8)
    alpha = np.clip((1.0 - distance) * 5, 0, 1) * np.clip(0.93 + 0.1 * fine, 0, 1)
    tall = radius * 2.0
    height = np.where(alpha > 0.4, (tall * (0.55 + 0.45 * dome)) / HEIGHT_UNIT, 0)
    return Tree(colour, (alpha * 255).astype(np.uint8), height.astype(np.uint8), radius)
