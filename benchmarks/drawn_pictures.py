"""Pictures of the tests' drawn cities, which share nothing with those of the demo.

Flat colours under noise of several scales, with pavements, buildings and their shadows, lots
that look like streets, trees, cars and markings: enough that neither edges nor colours alone
tell road from other ground.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import geopandas as gpd
import numpy as np
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray
from shapely import Polygon, box
from shapely.affinity import rotate, translate

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from drawn_cities import EXTENT, DrawnCity, draw_city

WEST, SOUTH, EPSG = 980_000.0, 200_000.0, 2263
PIXEL = 0.5
SIZE = round(EXTENT / PIXEL)
PAVEMENT = 11.0
# Red, green and blue.
CONCRETE, GRASS, PAINT = (168, 164, 156), (92, 108, 66), (206, 204, 196)

Colour = tuple[float, float, float]


class Painter:
    """A picture in the making."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.pixels = np.full((SIZE, SIZE, 3), CONCRETE, np.float32)
        self.shade = np.zeros((SIZE, SIZE), np.uint8)

    def fill(self, ground: shapely.Geometry, colour: Colour) -> None:
        """Fill polygons given in feet."""
        self.pixels[self.mask(ground)] = colour

    def mask(self, ground: shapely.Geometry) -> NDArray[np.bool_]:
        """Return the pixels in polygons given in feet."""
        canvas = np.zeros((SIZE, SIZE), np.uint8)
        for part in shapely.get_parts(ground):
            if part.geom_type == "Polygon" and not part.is_empty:
                rings = [part.exterior, *part.interiors]
                cv2.fillPoly(canvas, [self.at(shapely.get_coordinates(ring)) for ring in rings], 1)
        return canvas > 0

    def at(self, feet: NDArray[np.float64]) -> NDArray[np.int32]:
        """Return columns and rows."""
        return np.round(np.column_stack([feet[:, 0], EXTENT - feet[:, 1]]) / PIXEL).astype(np.int32)

    def line(self, line: shapely.LineString, colour: Colour, width: float) -> None:
        """Draw a line given in feet."""
        points = [self.at(shapely.get_coordinates(line))]
        cv2.polylines(self.pixels, points, False, colour, max(1, round(width / PIXEL)))

    def oblong(self, x: float, y: float, size: tuple[float, float], turn: float) -> Polygon:
        """Return a turned oblong in feet."""
        wide, high = size
        return rotate(box(x - wide / 2, y - high / 2, x + wide / 2, y + high / 2), turn)

    def grey(self, low: float, high: float) -> Colour:
        """Return a grey with a slight tint."""
        tone = self.rng.uniform(low, high)
        red, green, blue = tone + self.rng.normal(0, 3, 3)
        return red, green, blue

    def finish(self) -> NDArray[np.uint8]:
        """Return the picture, ``(3, SIZE, SIZE)``."""
        soft = cv2.GaussianBlur(self.shade.astype(np.float32), (0, 0), 1.2)[..., None]
        picture = self.pixels * (1 - 0.5 * soft)
        for scale, strength in ((0, 5.0), (2, 4.0), (12, 6.0), (60, 7.0)):
            noise = self.rng.normal(0, 1, (SIZE >> min(scale, 3) // 2,) * 2).astype(np.float32)
            noise = cv2.resize(noise, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)
            if scale:
                noise = cv2.GaussianBlur(noise, (0, 0), scale)
            picture += (noise / noise.std() * strength)[..., None]
        picture = cv2.GaussianBlur(picture, (0, 0), 0.8)
        return np.moveaxis(picture.clip(0, 255).astype(np.uint8), -1, 0)


def paint(city: DrawnCity, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Paint a city as it looks from the air."""
    painter = Painter(rng)
    sheet = box(-50, -50, EXTENT + 50, EXTENT + 50)
    roads = city.roads.intersection(sheet)
    walks = roads.buffer(PAVEMENT)
    for block in shapely.get_parts(sheet.difference(walks)):
        _block(painter, block)
    painter.fill(walks, CONCRETE)
    asphalt = painter.grey(84, 112)
    painter.fill(roads, asphalt)
    for line, is_real in zip(city.centerlines, city.real, strict=True):
        # The tone of the asphalt changes from street to street.
        if is_real:
            strip = line.buffer(60, cap_style="flat").intersection(roads)
            painter.fill(strip, tuple(tone + rng.normal(0, 5) for tone in asphalt))
    for line, is_real in zip(city.centerlines, city.real, strict=True):
        if is_real:
            painter.line(line, (186, 158, 70), 0.7)
            _cars(painter, line)
    for x, y in rng.uniform(0, EXTENT, (260, 2)):
        tree = shapely.Point(x, y)
        if walks.contains(tree) and not roads.contains(tree):
            _tree(painter, x, y)
    return painter.finish()


def _block(painter: Painter, block: Polygon) -> None:
    """Cover a block with a park, a lot or houses."""
    rng = painter.rng
    kind = rng.choice(["houses", "houses", "lot", "park"])
    painter.fill(block, GRASS if kind == "park" else painter.grey(110, 150))
    west, south, east, north = block.bounds
    if kind == "lot":
        lot = block.buffer(-rng.uniform(0, 12))
        painter.fill(lot, painter.grey(82, 116))
    for _ in range(int(block.area / 2500)):
        x, y = rng.uniform(west, east), rng.uniform(south, north)
        if kind == "houses":
            house = painter.oblong(x, y, tuple(rng.uniform(25, 80, 2)), rng.uniform(0, 90))
            house = house.intersection(block.buffer(-3))
            shadow = painter.mask(translate(house, 9, 12).difference(house))
            painter.shade[shadow] = 1
            painter.shade[painter.mask(house)] = 0
            painter.fill(house, painter.grey(70, 215))
        elif kind == "lot" and block.contains(shapely.Point(x, y)):
            painter.fill(painter.oblong(x, y, (14, 6), rng.choice([0, 90])), painter.grey(30, 220))
        elif kind == "park" and block.contains(shapely.Point(x, y)):
            _tree(painter, x, y)


def _cars(painter: Painter, line: shapely.LineString) -> None:
    rng = painter.rng
    for place in rng.uniform(0, line.length, int(line.length / 60)):
        at, ahead = line.interpolate(place), line.interpolate(place + 2)
        heading = np.degrees(np.arctan2(ahead.y - at.y, ahead.x - at.x))
        side = rng.choice([-7, 7])
        x, y = at.x - side * np.sin(np.radians(heading)), at.y + side * np.cos(np.radians(heading))
        painter.fill(painter.oblong(x, y, (15, 6.5), heading), painter.grey(25, 225))


def _tree(painter: Painter, x: float, y: float) -> None:
    crown = shapely.Point(x, y).buffer(painter.rng.uniform(5, 13))
    painter.shade[painter.mask(translate(crown, 4, 6).difference(crown))] = 1
    painter.fill(crown, tuple(np.array((58, 84, 44)) + painter.rng.normal(0, 8)))


def write_city(folder: Path, picture: Path, seed: int, broken: float) -> None:
    """Write a drawn city as the demo's command writes its own.

    Parameters
    ----------
    folder
        Where street lines, centerlines and the truth go.
    picture
        The sheet, a GeoTIFF.
    seed, broken
        Which city, and the share of its lines that are broken.
    """
    city = draw_city(seed, broken)
    pixels = paint(city, np.random.default_rng([seed, 40]))
    picture.parent.mkdir(parents=True, exist_ok=True)
    profile = {"driver": "GTiff", "width": SIZE, "height": SIZE, "count": 3, "dtype": "uint8"}
    north_west = Affine(PIXEL, 0, WEST, 0, -PIXEL, SOUTH + EXTENT)
    with rasterio.open(
        picture, "w", **profile, crs=f"EPSG:{EPSG}", transform=north_west, compress="deflate"
    ) as sheet:
        sheet.write(pixels)
    folder.mkdir(parents=True, exist_ok=True)
    streets = {
        "STATUS": "2",
        "RW_TYPE": "1",
        "ST_WIDTH": city.widths,
    }
    layers = {
        "street_lines.shp": ({"FEAT_CODE": ["2260"] * len(city.lines)}, city.lines),
        "centerlines.shp": (streets, city.centerlines),
        "truth.gpkg": ({"id": [1]}, [city.roads]),
    }
    for name, (columns, geometries) in layers.items():
        placed = shapely.transform(
            np.array(geometries, object), lambda xy: xy + np.array((WEST, SOUTH))
        )
        frame = gpd.GeoDataFrame(columns, geometry=placed, crs=EPSG)
        frame.to_file(folder / name, **({"layer": "roads"} if name.endswith("gpkg") else {}))
