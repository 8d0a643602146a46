"""Write the page for reviewing."""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from roadmask import __version__
from roadmask.files import write_text
from roadmask.quality.columns import read_table
from roadmask.quality.reference import SCORE, SCORED_COLUMNS
from roadmask.raster import environment
from roadmask.review.pictures import as_jpeg, label_paths
from roadmask.selection import BY_REVIEW, OUTSIDE_AREA, is_dropped_by_rule, read_review
from roadmask.tile_pairs import PairedTiles

log = logging.getLogger(__name__)

# From here on a tile waits for a person: several times the doubt about one that nothing speaks
# against.
DOUBTFUL = 0.05
# What a person is shown of a tile, in this order, as far as it was measured.
NUMBERS = {
    "road_share": "road",
    "unknown_share": "not known",
    "nodata_share": "no picture",
    "blank_share": "blank",
    "saturated_share": "saturated",
    "sharpness": "sharpness (log10)",
    "edge_agreement": "outlines on edges of the picture",
    "offset_m": "offset here, m",
    "misplaced_chance": "chance that it lies off",
    "blind_share": "outlines that nothing bears out",
    "contrast": "contrast along outlines",
    "looks_loss": "what looks like road lies elsewhere",
    "surely_other_share": "road that surely looks unlike road",
    "surely_road_share": "ground outside that surely looks like road",
    "like_road_share": "ground outside that looks like road",
    "thick_share": "road wider than streets",
    "jump_share": "width differs from the street's",
    "attribute_share": "width differs from the attribute",
    "outer_line_share": "street lines without road",
    "inner_line_share": "street lines inside road",
    "closed_outline_share": "outline on street lines",
    "throat_m": "nearest throat, m",
    "pieces": "pieces",
    SCORE: "IoU with the reference",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``review``."""
    parser.add_argument("tables", type=Path, nargs="+", help="tables of stage selection, CSV")
    parser.add_argument("--tiles", type=Path, nargs="+", required=True, help="image manifests")
    parser.add_argument("--masks", type=Path, nargs="+", required=True, help="label manifests")
    parser.add_argument("--output", type=Path, required=True, help="the page, HTML")
    parser.add_argument(
        "--selection.review_tiles", dest="most", type=int, required=True, metavar="NUMBER"
    )
    parser.add_argument(
        "--selection.review", dest="review", type=Path, help="CSV tile,verdict by a person"
    )


def run(arguments: argparse.Namespace) -> None:
    """Write the page."""
    rows = [
        {**row, "scene": path.stem}
        for path in arguments.tables
        for row in read_table(path, SCORED_COLUMNS)
    ]
    chosen = most_doubtful(rows, arguments.most)
    earlier = read_review(arguments.review) if arguments.review else {}
    with environment():
        shown = list(_shown(chosen, arguments.tiles, arguments.masks))
    write_text(arguments.output, render(shown, earlier, len(rows)))
    waiting = sum(not tile["aside"] for tile in shown)
    log.info(
        "%s: %d of %d tiles are doubtful; %d more are shown aside",
        *(arguments.output, waiting, len(rows), len(shown) - waiting),
    )


def most_doubtful(rows: Iterable[Mapping[str, str]], most: int) -> list[Mapping[str, str]]:
    """Choose the tiles to show: those that wait for a person first, the worst of them in front.

    Tiles without picture or label are left out: there is nothing to see.
    """
    visible = [
        row
        for row in rows
        if row["reason"] != OUTSIDE_AREA
        and float(row["nodata_share"]) < 1
        and float(row["unknown_share"]) < 1
    ]
    return sorted(visible, key=lambda row: (is_aside(row), -float(row["doubt"]), row["tile"]))[
        :most
    ]


def is_aside(row: Mapping[str, str]) -> bool:
    """Tell whether a tile needs no person: it is hardly doubtful, or a rule drops it anyway."""
    return is_dropped_by_rule(row) or float(row["doubt"]) < DOUBTFUL


def _shown(
    rows: Sequence[Mapping[str, str]], tiles: Sequence[Path], masks: Sequence[Path]
) -> Iterable[dict[str, Any]]:
    manifests = {path.stem: path for path in tiles}
    labels = {path.stem: path for path in masks}
    opened: dict[str, PairedTiles] = {}
    for row in rows:
        scene = row["scene"]
        if scene not in opened:
            opened[scene] = PairedTiles.open(manifests[scene], labels[scene])
        pairs = opened[scene]
        [tile] = [tile for tile in pairs.images.tiles if tile.name == row["tile"]]
        pair = pairs.read(tile)
        yield {
            "tile": row["tile"],
            "doubt": round(float(row["doubt"]), 3),
            "aside": is_aside(row),
            "why": row["doubt_reason"],
            "rule": in_words(row["verdict"], row["reason"]),
            "numbers": [
                [words, f"{float(row[name]):.3g}"] for name, words in NUMBERS.items() if row[name]
            ],
            "size": tile.size,
            "picture": as_jpeg(pair.image),
            **label_paths(pair.label),
        }


def in_words(verdict: str, reason: str) -> str:
    """Return a tile's verdict as it stands in the page; a person's is no rule's."""
    if reason.endswith(BY_REVIEW):
        return reason
    return f"by rule: {verdict}{': ' if reason else ''}{reason}"


def render(shown: Sequence[Mapping[str, Any]], earlier: Mapping[str, str], count: int) -> str:
    """Return the page.

    Parameters
    ----------
    shown
        The tiles in their order.
    earlier
        Verdicts that were given before, by name of tile: of tiles that are not shown too.
    count
        How many tiles there are.
    """
    folder = Path(__file__).parent
    script = (folder / "script.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    data = json.dumps({"tiles": shown, "earlier": earlier}, ensure_ascii=False)
    template = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder), autoescape=True, undefined=jinja2.StrictUndefined
    ).get_template("template.html")
    return template.render(
        version=__version__,
        count=count,
        waiting=sum(not tile["aside"] for tile in shown),
        aside=sum(tile["aside"] for tile in shown),
        script=Markup(script),
        digest=digest,
        # Within a script element only its end tag needs care.
        data=Markup(data.replace("<", "\\u003c")),
    )
