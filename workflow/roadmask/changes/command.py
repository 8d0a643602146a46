"""The command of stage `changes`."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyogrio
import rasterio
import shapely
from pyproj import CRS, Transformer

from roadmask.changes.finding import Candidate, find_ground, find_paper_streets
from roadmask.changes.places import Limits, Place, find_places
from roadmask.changes.sheet import Sheet, read_sheet
from roadmask.changes.table import counts, limits_of, moved, places_table, write_csv, write_layer
from roadmask.distance import parse_distance
from roadmask.errors import SettingError
from roadmask.files import write_json
from roadmask.grid import Grid
from roadmask.raster import environment

log = logging.getLogger("roadmask.changes")

LENGTH_KEY, WIDTH_KEY = "changes.min_length", "changes.min_width"
CONFIDENCE_KEY = "changes.min_confidence"
NOWHERE = "the pictures lie nowhere on the ground, so streets have no length there"
# How many scenes that could not be compared are named in the log.
TOLD = 20


@dataclass(frozen=True)
class SceneFiles:
    """The files of one scene, and the flight that its picture is from."""

    name: str
    mask: Path
    probability: Path
    prediction: Path
    vectors: Path | None
    pieces: Path | None
    flight: str


@dataclass
class Comparison:
    """What was found, and where nothing could be.

    Attributes
    ----------
    crs
        That of the places: the first compared scene's.
    places
        Most certain first.
    shares
        Of each compared scene, the share of its pictured ground that the map covers.
    obstacles
        Why each of the others could not be compared.
    """

    crs: CRS | None
    places: list[Place]
    shares: dict[str, float]
    obstacles: dict[str, str]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``python -m roadmask changes``."""
    parser.add_argument("--masks", type=Path, nargs="*", default=[], help="label rasters")
    parser.add_argument(
        "--probabilities", type=Path, nargs="*", default=[], help="probability rasters, as many"
    )
    parser.add_argument(
        "--predictions", type=Path, nargs="*", default=[], help="class rasters, as many"
    )
    parser.add_argument(
        "--vectors", type=Path, nargs="*", default=[], help="lines/*.gpkg, as many or none"
    )
    parser.add_argument(
        "--pieces", type=Path, nargs="*", default=[], help="masks/*_pieces.gpkg, as many or none"
    )
    parser.add_argument(
        "--flight",
        dest="flights",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "COUNT"),
        help="a flight, and how many of the masks in their order are of it; may be repeated. What "
        "two flights show is never joined",
    )
    parser.add_argument(
        "--without",
        nargs="+",
        action="append",
        default=[],
        metavar=("REASON", "SCENE"),
        help="scenes that are not compared, after the reason; may be repeated",
    )
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        help="changes.gpkg; changes.csv and summary.json are written beside it",
    )
    parser.add_argument(f"--{LENGTH_KEY}", dest="min_length", required=True, help="a distance")
    parser.add_argument(f"--{WIDTH_KEY}", dest="min_width", required=True, help="a distance")
    parser.add_argument(
        f"--{CONFIDENCE_KEY}", dest="min_confidence", type=float, required=True, help="0 to 1"
    )


def run(arguments: argparse.Namespace) -> None:
    """Compare map and picture on all scenes that have both."""
    limits = Limits(
        _metres(arguments.min_length, LENGTH_KEY),
        _metres(arguments.min_width, WIDTH_KEY),
        arguments.min_confidence,
    )
    scenes = _scenes(arguments)
    with environment():
        found = _compared(scenes, limits)
        table = places_table(
            found.places, {scene.name: scene.pieces for scene in scenes}, found.crs
        )
    without = {scene: reason for reason, *names in arguments.without for scene in names}
    obstacles = without | found.obstacles
    write_layer(arguments.output, table)
    write_csv(arguments.output.with_suffix(".csv"), table)
    kinds = counts(table)
    summary = {
        "flights": _by_flight(scenes, found.shares),
        "compared_shares": {name: round(share, 4) for name, share in found.shares.items()},
        "not_compared": obstacles,
        **limits_of(limits),
        "kinds": kinds,
    }
    write_json(arguments.output.with_name("summary.json"), summary)
    _tell(obstacles, is_all=not found.shares)
    for kind, count in kinds.items():
        log.info("%s: %d places, %.0f m", kind, count["places"], count["length_m"])


def _metres(text: str, key: str) -> float:
    """Read a distance on the ground.

    Raises
    ------
    SettingError
        If it is none, or given in pixels.
    """
    distance = parse_distance(text, key)
    if distance.unit == "px":
        raise SettingError(key, f"{text!r} is no distance on the ground", 'Write "50 ft" or "15 m"')
    return distance.metres


def _scenes(arguments: argparse.Namespace) -> list[SceneFiles]:
    """Put the scenes' files together."""
    count = len(arguments.masks)
    flights = [name for name, number in arguments.flights for _ in range(int(number))]

    def as_many(paths: list[Path]) -> Sequence[Path | None]:
        return paths or [None] * count

    return [
        SceneFiles(mask.stem, mask, *others)
        for mask, *others in zip(
            arguments.masks,
            arguments.probabilities,
            arguments.predictions,
            as_many(arguments.vectors),
            as_many(arguments.pieces),
            flights or [""] * count,
            strict=True,
        )
    ]


def _by_flight(scenes: Sequence[SceneFiles], compared: Mapping[str, float]) -> dict[str, list[str]]:
    """Return the compared scenes of each flight."""
    flights: dict[str, list[str]] = {}
    for scene in scenes:
        if scene.name in compared:
            flights.setdefault(scene.flight, []).append(scene.name)
    return flights


def _tell(obstacles: Mapping[str, str], *, is_all: bool) -> None:
    """Say which scenes are not compared, and why."""
    if is_all:
        log.warning("nothing could be compared; an empty layer is written")
    reasons: dict[str, list[str]] = {}
    for name, reason in obstacles.items():
        reasons.setdefault(reason, []).append(name)
    for reason, names in reasons.items():
        more = f" and {len(names) - TOLD} more" if len(names) > TOLD else ""
        log.warning("not compared: %s%s: %s", ", ".join(names[:TOLD]), more, reason)


def _compared(scenes: Sequence[SceneFiles], limits: Limits) -> Comparison:
    """Find the places on all scenes that can be compared."""
    done = Comparison(None, [], {}, {})
    candidates: list[Candidate] = []
    tolerance = 0.0
    for scene in scenes:
        with rasterio.open(scene.mask) as mask:
            own = None if mask.crs is None else CRS.from_wkt(mask.crs.to_wkt())
        if own is None:
            done.obstacles[scene.name] = NOWHERE
            continue
        sheet = read_sheet(
            scene.name, scene.mask, scene.probability, scene.prediction, limits.min_width
        )
        if sheet.obstacle is not None:
            done.obstacles[scene.name] = sheet.obstacle
            continue
        done.shares[scene.name] = sheet.compared_share
        done.crs = done.crs or own
        there = None if own == done.crs else Transformer.from_crs(own, done.crs, always_xy=True)
        here = _candidates(scene, sheet, limits)
        candidates += [
            replace(part, ground=moved(part.ground, there), flight=scene.flight) for part in here
        ]
        tolerance = max(tolerance, 2 * _pixel_edge(sheet.grid, there))
        log.debug("%s: %d candidates", scene.name, len(here))
    done.places = find_places(candidates, tolerance, limits)
    return done


def _candidates(scene: SceneFiles, sheet: Sheet, limits: Limits) -> list[Candidate]:
    """Find all ground of a sheet on which map and picture may disagree."""
    lines = None
    if scene.vectors is not None:
        lines = pyogrio.read_dataframe(scene.vectors, layer="centerlines")
    found = list(find_ground(sheet, limits.min_width, lines))
    if lines is not None and len(lines):
        found += find_paper_streets(sheet, limits.min_width, lines)
    return found


def _pixel_edge(grid: Grid, there: Transformer | None) -> float:
    """Return the edge of a square as large as a pixel in the CRS that ground is taken to."""
    corners = shapely.box(*grid.bounds)
    scale = float((moved(corners, there).area / corners.area) ** 0.5)
    return scale * float(abs(grid.transform.determinant) ** 0.5)
