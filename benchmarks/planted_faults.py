"""How many bad labels the doubt finds: demo cities with faults planted in their maps.

For each seed a demo city is built, and its map is spoiled in several ways: stretches of curb
gone, all lines gone around a place, centerlines gone or drawn through a block, the lines
shifted in a part of the sheet, outlines of islands gone, streets left out with closed curbs or
drawn where there are none; and, for labels from polygons and ready masks, parts of the roadbeds
gone, added, shifted, full of holes or too wide. The last plans are those of an outside examiner
(`examiner_faults.py`). Each spoiled map is labelled and measured as the
workflow does it. A tile is bad where its label's IoU with the city's truth is under 0.9. It
prints how many of the bad tiles lie in the tenth of the tiles that is doubted most.

    python benchmarks/planted_faults.py FOLDER --seeds 21,22,23
    python benchmarks/planted_faults.py FOLDER --seeds 1,2 --kind drawn
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import rasterio
import shapely
from rasterio.features import rasterize
from shapely import LineString, Point, Polygon
from shapely.ops import substring

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow"))

import examiner_faults as examiner
from drawn_pictures import write_city

from roadmask.__main__ import main as roadmask
from roadmask.demo import layout
from roadmask.looks.cells import HALVES

# Not built, under ground or on water: no fault of theirs would show.
UNREAL = ("4", "5", "6", "7", "12", "14")
# Feet from where centerlines meet to the street between two crossings.
CROSSING = 35.0


Bounds = tuple[float, float, float, float]


@dataclass
class Map:
    """A city's layers, which faults are planted in.

    Attributes
    ----------
    edges, axes
        Street lines and centerlines.
    roads
        The roadbeds, for labels from polygons.
    ground
        West, south, east and north of the sheets.
    rng
        Where and how large.
    """

    edges: gpd.GeoDataFrame
    axes: gpd.GeoDataFrame
    roads: gpd.GeoDataFrame
    ground: Bounds
    rng: np.random.Generator

    def choose(self, frame: gpd.GeoDataFrame, usable: np.ndarray) -> int:
        """Choose a feature on the sheets."""
        centre = shapely.get_coordinates(shapely.centroid(frame.geometry.to_numpy()))
        west, south, east, north = self.ground
        inside = (centre > (west, south)).all(axis=1) & (centre < (east, north)).all(axis=1)
        return int(self.rng.choice(np.flatnonzero(inside & usable)))

    def real_axes(self) -> np.ndarray:
        """Tell which centerlines the labels are made from."""
        return np.asarray((self.axes["STATUS"] == "2") & ~self.axes["RW_TYPE"].isin(UNREAL))

    def place(self, margin: float) -> np.ndarray:
        """Choose a place on the sheets."""
        west, south, east, north = self.ground
        low, high = (west + margin, south + margin), (east - margin, north - margin)
        return np.asarray(self.rng.uniform(low, high))


def curb_gone(city: Map) -> None:
    """Take 30 to 200 ft out of a street line."""
    at = city.choose(city.edges, city.edges.geometry.length.to_numpy() > 60)
    row = city.edges.iloc[[at]]
    line = row.geometry.iloc[0]
    gap = min(city.rng.uniform(30, 200), line.length)
    start = city.rng.uniform(0, line.length - gap)
    ends = [substring(line, 0, start), substring(line, start + gap, line.length)]
    parts = [part for part in ends if part.geom_type == "LineString" and part.length > 0.5]
    rest = city.edges.drop(city.edges.index[at])
    pieces = pd.concat([row] * len(parts)).set_geometry(parts) if parts else row.iloc[:0]
    city.edges = pd.concat([rest, pieces], ignore_index=True)


def lines_gone(city: Map) -> None:
    """Take all street lines out of a disc of 50 to 100 ft."""
    at = city.choose(city.edges, city.edges.geometry.length.to_numpy() > 60)
    line = city.edges.geometry.iloc[at]
    hole = line.interpolate(line.length * city.rng.random()).buffer(city.rng.uniform(50, 100))
    left = city.edges.set_geometry(city.edges.geometry.difference(hole))
    left = left[~left.geometry.is_empty].explode(ignore_index=True)
    city.edges = left[left.geom_type == "LineString"].reset_index(drop=True)


def axis_gone(city: Map) -> None:
    """Take a centerline away."""
    long = city.axes.geometry.length.to_numpy() > 60
    at = city.choose(city.axes, city.real_axes() & long)
    city.axes = city.axes.drop(city.axes.index[at]).reset_index(drop=True)


def axis_astray(city: Map) -> None:
    """Draw a centerline of 60 to 200 ft from a street into any direction."""
    city.axes = pd.concat([city.axes, stray_axis(city, 60, 200)], ignore_index=True)


def stray_axis(city: Map, shortest: float, longest: float) -> gpd.GeoDataFrame:
    """Return a centerline like another one that leads from it so many feet into any direction."""
    at = city.choose(city.axes, city.real_axes())
    row = city.axes.iloc[[at]]
    line = row.geometry.iloc[0]
    start = line.interpolate(line.length * city.rng.random())
    angle, reach = city.rng.uniform(0, 2 * math.pi), city.rng.uniform(shortest, longest)
    end = (start.x + reach * math.cos(angle), start.y + reach * math.sin(angle))
    return row.set_geometry([LineString([(start.x, start.y), end])])


def width_wrong(city: Map) -> None:
    """Write half or twice the width that a street has."""
    at = city.choose(city.axes, city.real_axes() & (city.axes.geometry.length.to_numpy() > 60))
    field = layout.CENTERLINES.width_field
    factor = city.rng.choice([0.5, 2.0])
    city.axes.loc[city.axes.index[at], field] = float(city.axes[field].iloc[at]) * factor


def map_shifted(city: Map) -> None:
    """Move everything within 120 to 220 ft of a place by 5 to 12 ft."""
    centre, radius = city.place(200), city.rng.uniform(120, 220)
    angle, far = city.rng.uniform(0, 2 * math.pi), city.rng.uniform(5, 12)

    def moved(xy: np.ndarray) -> np.ndarray:
        away = np.hypot(*(xy - centre).T)
        share = np.clip((1.3 * radius - away) / (0.3 * radius), 0, 1)[:, None]
        return xy + share * far * np.array([math.cos(angle), math.sin(angle)])

    for name in ("edges", "axes", "roads"):
        frame = getattr(city, name)
        dense = shapely.segmentize(frame.geometry.to_numpy(), 10)
        setattr(city, name, frame.set_geometry(shapely.transform(dense, moved)))


def island_gone(city: Map) -> None:
    """Take the outline of an island or a median away."""
    lines = city.edges.geometry
    rings = [Polygon(line) if line.is_closed and line.length < 1500 else None for line in lines]
    small = np.array([ring is not None and ring.area < 20_000 for ring in rings])
    if small.any():
        at = city.choose(city.edges, small)
        city.edges = city.edges.drop(city.edges.index[at]).reset_index(drop=True)


def roadbed_gone(city: Map) -> None:
    """Take a street's roadbed away between two crossings."""
    at = city.choose(city.axes, city.real_axes() & (city.axes.geometry.length.to_numpy() > 60))
    strip = city.axes.geometry.iloc[at].buffer(60, cap_style="flat")
    city.roads = city.roads.set_geometry(city.roads.geometry.difference(strip))


def ground_added(city: Map) -> None:
    """Make a place of 40 to 110 ft road."""
    spot = Point(city.place(50)).buffer(city.rng.uniform(40, 110), cap_style="square")
    added = city.roads.iloc[[0]].set_geometry([spot])
    city.roads = pd.concat([city.roads, added], ignore_index=True)


def street_new(city: Map) -> None:
    """Leave a street between two crossings out of the map, whose curbs are closed over it."""
    long = city.axes.geometry.length.to_numpy() > 2 * CROSSING + 40
    at = city.choose(city.axes, city.real_axes() & long)
    axis = city.axes.geometry.iloc[at]
    between = substring(axis, CROSSING, axis.length - CROSSING)
    redraw(city, city.roads.union_all().difference(between.buffer(60, cap_style="flat")))
    city.axes = city.axes.drop(city.axes.index[at]).reset_index(drop=True)


def street_demolished(city: Map) -> None:
    """Draw a street of 80 to 160 ft into a block that the picture shows nothing of."""
    stray = stray_axis(city, 80, 160)
    width = city.rng.uniform(20, 36)
    stray[layout.CENTERLINES.width_field] = width
    bed = stray.geometry.iloc[0].buffer(width / 2, cap_style="flat")
    redraw(city, city.roads.union_all().union(bed))
    city.axes = pd.concat([city.axes, stray], ignore_index=True)


def redraw(city: Map, roads: shapely.Geometry) -> None:
    """Give the map other roadbeds, and draw their edges where they have changed."""
    changed = city.roads.union_all().symmetric_difference(roads).buffer(1)
    left = city.edges.set_geometry(city.edges.geometry.difference(changed))
    drawn = shapely.line_merge(roads.boundary.intersection(changed))
    added = city.edges.iloc[[0]].set_geometry([drawn])
    every = pd.concat([left[~left.geometry.is_empty], added], ignore_index=True)
    every = every.explode(ignore_index=True)
    city.edges = every[every.geom_type == "LineString"].reset_index(drop=True)
    city.roads = city.roads.iloc[[0]].set_geometry([roads]).explode(ignore_index=True)


def ground_lost(city: Map) -> None:
    """Make a place of 25 to 60 ft on a street no road: a hole in a ready mask."""
    at = city.choose(city.axes, city.real_axes())
    line = city.axes.geometry.iloc[at]
    hole = line.interpolate(line.length * city.rng.random()).buffer(city.rng.uniform(25, 60))
    city.roads = city.roads.set_geometry(city.roads.geometry.difference(hole))


def ground_swollen(city: Map) -> None:
    """Draw roadbeds within 80 to 160 ft of a place 4 to 10 ft too wide or too narrow."""
    roads, spot = city.roads.union_all(), Point(city.place(100)).buffer(city.rng.uniform(80, 160))
    wider = roads.buffer(city.rng.choice([-1, 1]) * city.rng.uniform(4, 10))
    drawn = roads.difference(spot).union(wider.intersection(spot))
    city.roads = city.roads.iloc[[0]].set_geometry([drawn]).explode(ignore_index=True)


Fault = Callable[[Map], None]
# What is planted together in one map, and how its labels are made. Few enough that bad tiles
# stay a minority, as they are in real sheets.
PLANS: dict[str, tuple[str, tuple[Fault, ...]]] = {
    "curbs": ("regions", (lines_gone, axis_gone, *[curb_gone] * 6)),
    "centerlines": ("regions", (axis_astray, axis_gone, island_gone, *[curb_gone] * 4)),
    "shifted": ("regions", (map_shifted, *[curb_gone] * 3)),
    "roadbeds": ("polygons", (roadbed_gone, ground_added, ground_added)),
    "shifted roadbeds": ("polygons", (map_shifted, roadbed_gone)),
    "widths": ("buffer", (map_shifted, axis_gone, axis_astray, *[width_wrong] * 2)),
    "ready masks": ("raster", (map_shifted, roadbed_gone, ground_added)),
    "streets": ("regions", (street_new, street_demolished, street_demolished)),
    "holes": ("raster", (ground_lost, ground_lost, ground_swollen)),
    "lines amiss": (
        "regions",
        (
            *(examiner.line_at_walk, examiner.line_twice, examiner.lot_opened),
            *[examiner.line_across] * 2,
            *[examiner.line_coarse] * 4,
        ),
    ),
    "axes amiss": ("regions", (*[examiner.axis_moved] * 4, *[examiner.axis_of_no_road] * 2)),
    "corner gone": ("regions", (examiner.corner_gone, *[curb_gone] * 2)),
    "tiles amiss": (
        "raster",
        (
            *(examiner.tile_mirrored, examiner.tile_turned, examiner.tile_shifted),
            *(examiner.tile_blank, examiner.tile_full, examiner.tiles_swapped),
            *(examiner.tile_wide, examiner.tile_narrow),
        ),
    ),
}


def call(*arguments: object) -> None:
    """Run a stage."""
    if roadmask([str(argument) for argument in arguments]) != 0:
        raise SystemExit(f"failed: {' '.join(map(str, arguments))}")


def build(folder: Path, seed: int, broken: float, kind: str = "demo") -> None:
    """Make a city's sheets and tiles, once."""
    log = ("--log", folder / "log.txt")
    if (folder / "built").exists():
        return
    if kind == "drawn":
        write_city(folder / "demo", folder / "scenes" / "drawn.tif", seed, broken)
    else:
        city = ("--demo.seed", seed, "--demo.broken_lines", broken)
        call("demo", "--output", folder / "demo", *city, *log)
        for scene in layout.SCENES:
            tif = folder / "scenes" / f"{scene}.tif"
            source = folder / "demo" / "imagery" / f"{scene}.jp2"
            call("scenes", source, "--output", tif, "--imagery.georeference=required", *log)
    for tif in sheets(folder):
        manifest = folder / "tiles" / f"{tif.stem}.json"
        sizes = ("--tiles.size=256", "--tiles.overlap=0", "--imagery.bands=1,2,3")
        call("tiles", tif, "--output", manifest, *sizes, *log)
    (folder / "built").touch()


def sheets(folder: Path) -> list[Path]:
    """Return a city's pictures."""
    return sorted((folder / "scenes").glob("*.tif"))


def bounds(folder: Path) -> Bounds:
    """Return the ground of a city's pictures."""
    found = []
    for tif in sheets(folder):
        with rasterio.open(tif) as picture:
            found.append(picture.bounds)
    west, south, east, north = zip(*found, strict=True)
    return min(west), min(south), max(east), max(north)


def spoil(folder: Path, out: Path, plan: str, seed: int) -> str:
    """Write a spoiled map, and return the method that labels are made from it by."""
    method, faults = PLANS[plan]
    edges = gpd.read_file(folder / "demo" / "street_lines.shp")
    edges = edges.set_geometry(shapely.force_2d(edges.geometry.to_numpy()))
    axes = gpd.read_file(folder / "demo" / "centerlines.shp")
    roads = gpd.read_file(folder / "demo" / "truth.gpkg", layer="roads")
    rng = np.random.default_rng([seed, list(PLANS).index(plan)])
    flat = [frame.explode(ignore_index=True) for frame in (edges, axes, roads)]
    city = Map(*flat, bounds(folder), rng)
    for fault in faults:
        fault(city)
    out.mkdir(parents=True, exist_ok=True)
    for name in ("edges", "axes", "roads"):
        getattr(city, name).to_file(out / f"{name}.gpkg", layer=name)
    return method


def label(folder: Path, out: Path, method: str) -> None:
    """Label a spoiled map, once."""
    if (out / "labelled").exists():
        return
    log = ("--log", out / "log.txt")
    for tif in sheets(folder):
        scene, manifest = tif.stem, folder / "tiles" / f"{tif.stem}.json"
        lines, vectors = out / f"{scene}_lines.tif", out / f"{scene}.gpkg"
        mask, given = out / f"{scene}.tif", ["--labels.max_road_width=150 ft"]
        if method in ("regions", "buffer"):
            edges = ("--street_lines.path", out / "edges.gpkg")
            edges += ("--street_lines.where", layout.STREET_LINES.where)
            call(
                *("lines", tif, "--output", lines, "--vectors", vectors),
                *("--lines.halo=200 ft", *(edges if method == "regions" else ())),
                *("--centerlines.path", out / "axes.gpkg"),
                *("--centerlines.where", layout.CENTERLINES.where),
                *("--centerlines.width_field", layout.CENTERLINES.width_field, *log),
            )
            given += ["--lines", lines, "--vectors", vectors]
        if method == "regions":
            given += ["--pieces", out / f"{scene}_pieces.gpkg"]
        elif method == "polygons":
            given += ["--labels.polygons.path", out / "roads.gpkg"]
        elif method == "raster":
            given += ["--labels.raster", draw_mask(tif, out, scene)]
        kinds = (f"--labels.method={method}", '--classes={"road": 1}')
        call("masks", tif, "--output", mask, *kinds, *given, *log)
        call(
            *("cut", mask, "--manifest", manifest, "--output", out / "masks" / f"{scene}.json"),
            *log,
        )
    (out / "labelled").touch()


def draw_mask(tif: Path, out: Path, scene: str) -> Path:
    """Write a ready mask of the roadbeds, 255 on road."""
    path = out / f"{scene}_ready.tif"
    roads = gpd.read_file(out / "roads.gpkg").geometry
    with rasterio.open(tif) as picture:
        drawn = rasterize(roads, picture.shape, transform=picture.transform, default_value=255)
        profile = {"crs": picture.crs, "transform": picture.transform, "dtype": "uint8"}
        shape = {"width": picture.width, "height": picture.height, "count": 1}
        with rasterio.open(path, "w", driver="GTiff", compress="deflate", **profile, **shape) as to:
            to.write(drawn.astype("uint8"), 1)
    return path


def learn_looks(folder: Path, out: Path) -> list[Path]:
    """Teach the networks that tell how much like road the ground looks, once."""
    pictures, networks = sheets(folder), [out / f"{half}.onnx" for half in HALVES]
    for half, network in zip(HALVES, networks, strict=True):
        if not network.exists():
            call(
                *("learn-looks", *pictures, "--masks"),
                *[out / f"{tif.stem}.tif" for tif in pictures],
                *("--half", half, "--imagery.bands=1,2,3", "--output", network),
                *("--log", out / "log.txt"),
            )
    return networks


def measure(folder: Path, out: Path) -> pd.DataFrame:
    """Measure the tiles of a labelled map."""
    log = ("--log", out / "log.txt")
    tables, networks = [], learn_looks(folder, out)
    for tif in sheets(folder):
        scene, manifest = tif.stem, folder / "tiles" / f"{tif.stem}.json"
        mask, cut = out / f"{scene}.tif", out / "masks" / f"{scene}.json"
        lines, vectors = out / f"{scene}_lines.tif", out / f"{scene}.gpkg"
        pieces = out / f"{scene}_pieces.gpkg"
        evidence = ["--lines", lines, "--vectors", vectors] if lines.exists() else []
        evidence += ["--pieces", pieces] if pieces.exists() else []
        results = [out / f"{scene}_{name}" for name in ("measures.csv", "offset.json")]
        looks = out / f"{scene}_looks.tif"
        seen = ("--networks", *networks, "--imagery.bands=1,2,3", "--output", looks)
        call("see-looks", tif, *seen, *log)
        evidence += ["--looks", looks]
        call(
            *("measure", tif, "--mask", mask, "--tiles", manifest, "--masks", cut, *evidence),
            *("--output", results[0], "--offset", results[1], *log),
        )
        limits = [f"--selection.{name}={value}" for name, value in LIMITS.items()]
        call("selection", results[0], "--output", out / f"{scene}_verdicts.csv", *limits, *log)
        call(
            *("score", out / f"{scene}_verdicts.csv", "--mask", mask, "--manifest", manifest),
            *("--output", out / f"{scene}.csv", '--classes={"road": 1}'),
            *("--reference.path", folder / "demo" / "truth.gpkg", "--reference.layer=roads", *log),
        )
        tables.append(pd.read_csv(out / f"{scene}.csv"))
    return pd.concat(tables, ignore_index=True)


LIMITS = {
    "min_road_share": 0.01,
    "max_road_share": 0.95,
    "empty_share": 0.1,
    "max_nodata_share": 0.5,
    "max_unknown_share": 0.2,
}


def found(table: pd.DataFrame) -> tuple[int, int, int]:
    """Return the bad tiles in the doubted tenth, all bad tiles, and the tiles of that tenth."""
    count = math.ceil(0.1 * len(table))
    ordered = table.sort_values(["doubt", "tile"], ascending=[False, True])
    bad = ordered["reference_iou"] < 0.9
    return int(bad.iloc[:count].sum()), int(bad.sum()), count


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", default="21,22,23")
    parser.add_argument("--broken", type=float, default=0.1)
    parser.add_argument("--plans", default=",".join(PLANS))
    parser.add_argument("--kind", choices=("demo", "drawn"), default="demo")
    arguments = parser.parse_args()
    total = np.zeros(3, int)
    print(f"{'city':>6}  {'planted':18} {'bad':>4} {'in the doubted tenth':>21}")
    for seed in map(int, arguments.seeds.split(",")):
        folder = arguments.folder / f"{arguments.kind}_{seed}_{arguments.broken:g}"
        build(folder, seed, arguments.broken, arguments.kind)
        for plan in arguments.plans.split(","):
            out = folder / plan.replace(" ", "_")
            table = out / "tiles.csv"
            if not table.exists():
                if not (out / "labelled").exists():
                    label(folder, out, spoil(folder, out, plan, seed))
                measure(folder, out).to_csv(table, index=False)
            caught, bad, count = found(pd.read_csv(table))
            total += caught, bad, min(bad, count)
            print(f"{seed:>6}  {plan:18} {bad:>4} {caught:>21}", flush=True)
    print(
        f"{total[0]} of {total[1]} bad tiles ({total[0] / max(total[1], 1):.1%}); "
        f"{total[2]} is the most that these tenths can hold"
    )


if __name__ == "__main__":
    main()
