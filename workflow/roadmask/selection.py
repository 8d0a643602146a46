"""Say of every tile of a scene whether it is fit for the data set, and why."""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from roadmask.classes import ClassTable
from roadmask.errors import InputError, SettingError
from roadmask.quality.columns import MEASURES, WAS_CUT, Shares, read_table, write_table

log = logging.getLogger(__name__)

DECIMALS = 6
VERDICT = ("verdict", "scope", "reason")
COLUMNS = (*MEASURES, *VERDICT)
OUTSIDE_AREA = "outside area"
BY_REVIEW = "by selection.review"


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
        return Verdict(review[tile], "all", f"{review[tile]} {BY_REVIEW}")
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


def is_dropped_by_rule(row: Mapping[str, str]) -> bool:
    """Tell of a line of a table whether a rule leaves the tile out, and no person."""
    return row["verdict"] == "drop" and not row["reason"].endswith(BY_REVIEW)


def read_review(path: Path) -> dict[str, str]:
    """Read a person's verdicts.

    Parameters
    ----------
    path
        CSV with the columns ``tile`` and ``verdict`` (``keep`` or ``drop``), between commas,
        or between semicolons as spreadsheets write it where a comma marks decimals; other
        columns are let be, and so are empty lines.

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
    separator = ";" if ";" in text.partition("\n")[0] else ","
    rows = csv.reader(io.StringIO(text), delimiter=separator)
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


def select(
    rows: Sequence[Mapping[str, str]], limits: Limits, review: Mapping[str, str]
) -> list[dict[str, str]]:
    """Judge every tile of a scene, those outside `area` included.

    Parameters
    ----------
    rows
        What was measured of each tile, as `roadmask.quality.columns.read_table` gives it.
    limits
        What tiles must keep to.
    review
        A person's verdict, by name of tile; it wins.

    Returns
    -------
    list of dict
        The same with the verdicts.
    """
    judged = []
    for row in rows:
        tile = row["tile"]
        if row[WAS_CUT] == "1":
            verdict = judge(tile, Shares.from_row(row), limits, review)
        else:
            verdict = Verdict("drop", "all", OUTSIDE_AREA)
            if review.get(tile) == "keep":
                log.warning("%s: selection.review keeps it, but it lies outside area", tile)
        judged.append({name: row[name] for name in MEASURES} | asdict(verdict))
    return judged


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``selection``."""
    parser.add_argument("measures", type=Path, help="what was measured of each tile, CSV")
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
    rows = select(read_table(arguments.measures, (*MEASURES, WAS_CUT)), limits, review)
    write_table(arguments.output, COLUMNS, rows)
    verdicts = Counter(f"{row['verdict']} ({row['scope']})" for row in rows)
    counted = ", ".join(f"{count} {verdict}" for verdict, count in sorted(verdicts.items()))
    log.info("%s: %d tiles: %s", arguments.measures.stem, len(rows), counted)
