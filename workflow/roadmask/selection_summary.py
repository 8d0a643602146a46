"""Count the verdicts of stage `selection` over all scenes."""

from __future__ import annotations

import argparse
import logging
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from roadmask.files import write_json
from roadmask.quality.columns import read_table
from roadmask.quality.offsets import read_json
from roadmask.quality.reference import BINS, MOST_WORST, SCORED_COLUMNS, distribution
from roadmask.selection import OUTSIDE_AREA, is_dropped_by_rule, read_review

log = logging.getLogger(__name__)

MOSTLY = 0.5
LIMITED = re.compile(r"(?P<share>\w+) \d\S* (?P<sign>[<>]) (?P<limit>selection\.\w+)")


def kind(reason: str) -> str:
    """Return a reason without the tile's own figures, so that equal ones can be counted."""
    return LIMITED.sub(r"\g<share> \g<sign> \g<limit>", reason)


def summarize(tables: Mapping[str, list[dict[str, str]]]) -> dict[str, Any]:
    """Count verdicts and reasons.

    Parameters
    ----------
    tables
        By scene, its table as `roadmask.quality.columns.read_table` gives it.

    Returns
    -------
    dict
        ``tiles``; ``verdicts``, of which there are ``keep``, ``drop`` and, for tiles that
        only training leaves out, ``drop in training``; ``reasons`` by verdict, where a tile
        with several counts for each of them; ``mostly_blank`` and ``mostly_saturated``
        pictures; ``doubt``, how it is spread, and the most doubtful tiles; ``reference``, how
        the labels agree with it (null without one); and the verdicts of each scene.
    """
    verdicts: Counter[str] = Counter()
    reasons: dict[str, Counter[str]] = {}
    scenes: dict[str, dict[str, int]] = {}
    hints: Counter[str] = Counter()
    for scene, rows in sorted(tables.items()):
        held = Counter(_verdict(row) for row in rows)
        verdicts += held
        scenes[scene] = dict(sorted(held.items()))
        for row in rows:
            for reason in filter(None, row["reason"].split("; ")):
                reasons.setdefault(_verdict(row), Counter())[kind(reason)] += 1
            for name in ("blank", "saturated"):
                hints[f"mostly_{name}"] += float(row[f"{name}_share"]) > MOSTLY
    return {
        "tiles": sum(verdicts.values()),
        "verdicts": dict(sorted(verdicts.items())),
        "reasons": {
            verdict: dict(sorted(counter.items(), key=lambda item: (-item[1], item[0])))
            for verdict, counter in sorted(reasons.items())
        },
        **hints,
        "doubt": doubts(row for rows in tables.values() for row in rows),
        "reference": distribution(row for rows in tables.values() for row in rows),
        "scenes": scenes,
    }


def doubts(rows: Iterable[Mapping[str, str]]) -> dict[str, Any]:
    """Count the tiles by their doubt.

    Returns
    -------
    dict
        ``histogram``, their number in equal classes from 0 to 1; ``most``, the most doubtful
        with the reason, but for those that a rule drops anyway, as it does blank pictures.
    """
    every = list(rows)
    counts, _ = np.histogram([float(row["doubt"]) for row in every], BINS, (0, 1))
    found = [
        (float(row["doubt"]), row["tile"], row["doubt_reason"])
        for row in every
        if not is_dropped_by_rule(row)
    ]
    most = sorted(found, key=lambda item: (-item[0], item[1]))[:MOST_WORST]
    return {
        "histogram": [int(count) for count in counts],
        "most": [
            {"tile": tile, "doubt": number, "reason": reason}
            for number, tile, reason in most
            if reason
        ],
    }


def _verdict(row: Mapping[str, str]) -> str:
    return "drop in training" if row["scope"] == "train" else row["verdict"]


def unknown_tiles(review: Iterable[str], tables: Mapping[str, list[dict[str, str]]]) -> list[str]:
    """Return the tiles that a person judged and no scene has, or that were never cut."""
    known = {
        row["tile"] for rows in tables.values() for row in rows if row["reason"] != OUTSIDE_AREA
    }
    return sorted(set(review) - known)


def as_table(summary: Mapping[str, Any]) -> str:
    """Lay the summary out for a person to read."""
    lines = [f"{summary['tiles']:>8}  tiles in {len(summary['scenes'])} scenes"]
    for verdict, count in summary["verdicts"].items():
        lines.append(f"{count:>8}  {verdict}")
        lines += [
            f"{number:>8}    {reason}"
            for reason, number in summary["reasons"].get(verdict, {}).items()
        ]
    return "\n".join(lines)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``selection-summary``."""
    parser.add_argument("tables", type=Path, nargs="+", help="tables of stage selection, CSV")
    parser.add_argument("--offsets", type=Path, help="where the labels lie, JSON")
    parser.add_argument("--output", type=Path, required=True, help="the summary, JSON")
    parser.add_argument(
        "--selection.review", dest="review", type=Path, help="CSV tile,verdict by a person"
    )


def run(arguments: argparse.Namespace) -> None:
    """Write and print the summary."""
    tables = {path.stem: read_table(path, SCORED_COLUMNS) for path in arguments.tables}
    summary = summarize(tables)
    if arguments.offsets:
        summary["offsets"] = read_json(arguments.offsets)
    if arguments.review:
        review = read_review(arguments.review)
        missing = unknown_tiles(review, tables)
        summary["review"] = {"tiles": len(review), "without_a_tile": missing}
        if missing:
            log.warning(
                "%s: no scene has %s, of %d tiles named there: %s",
                arguments.review,
                f"{len(missing)} tiles" if len(missing) > 1 else "one tile",
                len(review),
                ", ".join(missing[:20]) + (" …" if len(missing) > 20 else ""),
            )
    write_json(arguments.output, summary)
    log.info("%s", as_table(summary))
