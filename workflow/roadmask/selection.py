"""Say of every tile of a scene whether it is fit for the data set, and why."""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import json
import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from roadmask.classes import ClassTable
from roadmask.errors import InputError, SettingError
from roadmask.files import write_text
from roadmask.grid import Tile, TileGrid
from roadmask.raster import environment
from roadmask.tile_pairs import UNKNOWN, PairedTiles

log = logging.getLogger(__name__)

BRIGHTEST = 255
CELL = 16
DECIMALS = 6
COLUMNS = (
    "tile",
    "row",
    "col",
    "road_share",
    "nodata_share",
    "unknown_share",
    "saturated_share",
    "blank_share",
    "verdict",
    "scope",
    "reason",
)
OUTSIDE_AREA = "outside area"


@dataclass(frozen=True)
class Limits:
    """What a tile must keep to.

    Attributes
    ----------
    min_road_share, max_road_share
        Between these lies a training tile's share of road.
    empty_share
        How many of the tiles without any road training keeps all the same, from 0 to 1.
    max_nodata_share, max_unknown_share
        What no split accepts more of.
    """

    min_road_share: float
    max_road_share: float
    empty_share: float
    max_nodata_share: float
    max_unknown_share: float

    def __post_init__(self) -> None:
        for leaf, value in asdict(self).items():
            if not 0 <= value <= 1:
                raise SettingError(f"selection.{leaf}", f"{value:g} is no share", "Write 0 to 1")
        if self.min_road_share > self.max_road_share:
            raise SettingError(
                "selection.min_road_share",
                f"{self.min_road_share:g} is above selection.max_road_share "
                f"{self.max_road_share:g}, so no tile can pass",
                "Swap them",
            )


@dataclass(frozen=True)
class Shares:
    """What a tile holds, each from 0 to 1, rounded as the table shows it.

    Attributes
    ----------
    road_share
        Pixels of any class but ``other``, of those with a picture and a known label.
        0 where there are none such. With several classes so too: what has none of them is
        what training needs few of.
    nodata_share
        Pixels without a picture, of all.
    unknown_share
        Pixels whose label is not known, of those with a picture. 0 where there are none.
    saturated_share
        Pixels at 0 or 255 in some band, of those with a picture.
    blank_share
        Pixels in cells of 16 x 16 whose picture is one flat colour, of those with a picture.
    """

    road_share: float
    nodata_share: float
    unknown_share: float
    saturated_share: float
    blank_share: float


@dataclass(frozen=True)
class Verdict:
    """What to do with a tile.

    Attributes
    ----------
    verdict
        ``keep`` or ``drop``.
    scope
        ``all``, or ``train`` where a tile is dropped for its share of road, which binds
        training alone.
    reason
        Why it is dropped, or kept against the rule; else nothing.
    """

    verdict: str
    scope: str
    reason: str


# What stands for a tile that was never cut, as it lies outside `area`.
NOTHING = Shares(0.0, 1.0, 0.0, 0.0, 0.0)


def measure(image: np.ndarray, valid: np.ndarray, label: np.ndarray) -> Shares:
    """Count what a tile holds.

    Parameters
    ----------
    image
        uint8 ``(bands, height, width)``.
    valid
        bool ``(height, width)``: where there is a picture.
    label
        uint8 ``(height, width)``: index of the class, 255 not known.
    """
    pictured = int(np.count_nonzero(valid))
    known = valid & (label != UNKNOWN)
    saturated = ((image == 0) | (image == BRIGHTEST)).any(axis=0)
    return Shares(
        road_share=_share(known & (label > 0), int(np.count_nonzero(known))),
        nodata_share=_share(~valid, valid.size),
        unknown_share=_share(valid & ~known, pictured),
        saturated_share=_share(saturated & valid, pictured),
        blank_share=_share(_blank(image, valid), pictured),
    )


def _share(pixels: np.ndarray, whole: int) -> float:
    return round(int(np.count_nonzero(pixels)) / whole, DECIMALS) if whole else 0.0


def _blank(image: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Return the pixels with a picture in cells where that is one flat colour."""
    height, width = valid.shape
    rows, columns = np.arange(0, height, CELL), np.arange(0, width, CELL)

    def per_cell(function: np.ufunc, values: np.ndarray) -> np.ndarray:
        down = function.reduceat(values, rows, axis=1)
        return np.asarray(function.reduceat(down, columns, axis=2))

    low = per_cell(np.minimum, np.where(valid, image, BRIGHTEST))
    high = per_cell(np.maximum, np.where(valid, image, 0))
    flat = (high <= low).all(axis=0)
    return np.asarray(np.repeat(np.repeat(flat, CELL, 0), CELL, 1)[:height, :width] & valid)


def name_fraction(tile: str) -> float:
    """Return a number in [0, 1) that depends on the tile's name alone."""
    return int.from_bytes(hashlib.sha256(tile.encode()).digest()[:6]) / 2**48


def judge(tile: str, shares: Shares, limits: Limits, review: Mapping[str, str]) -> Verdict:
    """Decide on a tile.

    Parameters
    ----------
    tile
        Its name.
    shares
        What it holds.
    limits
        What it must keep to.
    review
        A person's verdict, by name of tile; it wins.
    """
    if tile in review:
        return Verdict(review[tile], "all", f"{review[tile]} by selection.review")
    hard = _hard_reasons(shares, limits)
    soft, exception = _road_reasons(tile, shares, limits)
    if hard:
        return Verdict("drop", "all", "; ".join([*hard, *soft]))
    if soft:
        return Verdict("drop", "train", "; ".join(soft))
    return Verdict("keep", "all", exception)


def _hard_reasons(shares: Shares, limits: Limits) -> list[str]:
    if shares.nodata_share == 1:
        return ["no picture at all"]
    if shares.blank_share == 1:
        return ["blank picture: nothing but flat colour"]
    reasons = [
        f"{leaf} {_number(value)} > selection.max_{leaf} {_number(limit)}"
        for leaf, value, limit in (
            ("nodata_share", shares.nodata_share, limits.max_nodata_share),
            ("unknown_share", shares.unknown_share, limits.max_unknown_share),
        )
        if value > limit
    ]
    if shares.unknown_share == 1 and not reasons:
        reasons.append("no known label at all")
    return reasons


def _road_reasons(tile: str, shares: Shares, limits: Limits) -> tuple[list[str], str]:
    """Return the reasons against a tile for its share of road, and for an exception."""
    road = shares.road_share
    if shares.nodata_share == 1 or shares.unknown_share == 1:
        return [], ""
    if road > limits.max_road_share:
        limit = _number(limits.max_road_share)
        return [f"road_share {_number(road)} > selection.max_road_share {limit}"], ""
    if road >= limits.min_road_share:
        return [], ""
    reason = f"road_share {_number(road)} < selection.min_road_share"
    reason = f"{reason} {_number(limits.min_road_share)}"
    if road > 0:
        return [reason], ""
    kept = f"selection.empty_share {_number(limits.empty_share)}"
    if name_fraction(tile) < limits.empty_share:
        return [], f"no road, among the {kept} of such tiles that training keeps"
    return [f"{reason}, not among the {kept} of tiles without road"], ""


def _number(value: float) -> str:
    return f"{value:.{DECIMALS}f}".rstrip("0").rstrip(".")


def read_review(path: Path) -> dict[str, str]:
    """Read a person's verdicts.

    Parameters
    ----------
    path
        CSV with the columns ``tile`` and ``verdict`` (``keep`` or ``drop``); others are
        let be, and so are empty lines.

    Returns
    -------
    dict
        Name of a tile to verdict.

    Raises
    ------
    InputError
        If it can't be read, with the number of the line at fault.
    """
    example = "Write a first line tile,verdict and then lines such as demo_1_r002_c003,drop"
    try:
        # A spreadsheet may put a byte-order mark first.
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise InputError(path, "no such file", "Correct selection.review") from error
    except UnicodeDecodeError as error:
        raise InputError(path, f"it is no UTF-8 text ({error})", "Save it as UTF-8") from error
    rows = csv.reader(io.StringIO(text))
    header = [name.strip().lower() for name in next(rows, [])]
    if "tile" not in header or "verdict" not in header:
        raise InputError(path, "line 1 does not name the columns tile and verdict", example)
    tile_at, verdict_at = header.index("tile"), header.index("verdict")
    review: dict[str, str] = {}
    for row in rows:
        if not any(cell.strip() for cell in row):
            continue
        where = f"line {rows.line_num}"
        if len(row) <= max(tile_at, verdict_at):
            raise InputError(path, f"{where} has {len(row)} of {len(header)} columns", example)
        tile, verdict = row[tile_at].strip(), row[verdict_at].strip().lower()
        if not tile or verdict not in ("keep", "drop"):
            raise InputError(
                path, f"{where} holds tile {tile!r}, verdict {verdict!r}", "Write keep or drop"
            )
        if review.setdefault(tile, verdict) != verdict:
            raise InputError(
                path, f"{where} says {verdict} of {tile}, another line the opposite", "Remove one"
            )
    return review


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    tile: Tile
    shares: Shares
    verdict: Verdict

    def cells(self) -> dict[str, Any]:
        """Return the line by column."""
        shares = {name: f"{value:.{DECIMALS}f}" for name, value in asdict(self.shares).items()}
        place = {"tile": self.tile.name, "row": self.tile.row, "col": self.tile.column}
        return {**place, **shares, **asdict(self.verdict)}


def select(pairs: PairedTiles, limits: Limits, review: Mapping[str, str]) -> list[Row]:
    """Judge every tile of a scene, those outside `area` included."""
    images = pairs.images
    cut = {tile.name: tile for tile in images.tiles}
    rows = []
    for tile in TileGrid(images.scene, images.grid, images.size, images.overlap):
        if tile.name in cut:
            pair = pairs.read(cut[tile.name])
            shares = measure(pair.image, pair.valid, pair.label)
            verdict = judge(tile.name, shares, limits, review)
        else:
            shares, verdict = NOTHING, Verdict("drop", "all", OUTSIDE_AREA)
            if review.get(tile.name) == "keep":
                log.warning("%s: selection.review keeps it, but it lies outside area", tile.name)
        rows.append(Row(tile, shares, verdict))
    return rows


def write_table(path: Path, rows: Iterable[Row]) -> None:
    """Write the table of a scene."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(row.cells() for row in rows)
    write_text(path, text.getvalue())


def read_table(path: Path) -> list[dict[str, str]]:
    """Read a table as text, by column.

    Raises
    ------
    InputError
        If it is none.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
    except OSError as error:
        raise InputError(path, f"it can't be read ({error})", "Make stage selection") from error
    if tuple(reader.fieldnames or ()) != COLUMNS:
        raise InputError(path, "it is no table of stage selection", "Make stage selection again")
    return rows


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``selection``."""
    parser.add_argument("--tiles", type=Path, required=True, help="manifest of the image tiles")
    parser.add_argument("--masks", type=Path, required=True, help="manifest of the label tiles")
    parser.add_argument("--output", type=Path, required=True, help="the table, CSV")
    for leaf in fields(Limits):
        parser.add_argument(
            f"--selection.{leaf.name}", dest=leaf.name, type=float, required=True, metavar="SHARE"
        )
    parser.add_argument("--classes", type=json.loads, default={"road": 1}, help="as JSON")
    parser.add_argument(
        "--selection.review", dest="review", type=Path, help="CSV tile,verdict by a person"
    )


def run(arguments: argparse.Namespace) -> None:
    """Write the table of one scene."""
    limits = Limits(**{leaf.name: getattr(arguments, leaf.name) for leaf in fields(Limits)})
    if len(ClassTable.parse(arguments.classes).names) > 1:
        # Labels of several classes often leave no ground as other: that is no fault.
        limits = replace(limits, max_road_share=1.0)
    review = read_review(arguments.review) if arguments.review else {}
    pairs = PairedTiles.open(arguments.tiles, arguments.masks)
    with environment():
        rows = select(pairs, limits, review)
    write_table(arguments.output, rows)
    verdicts = Counter(f"{row.verdict.verdict} ({row.verdict.scope})" for row in rows)
    counted = ", ".join(f"{count} {verdict}" for verdict, count in sorted(verdicts.items()))
    log.info("%s: %d tiles: %s", pairs.images.scene, len(rows), counted)
