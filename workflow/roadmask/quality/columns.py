"""What is measured of each tile, and the tables that hold it."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from roadmask.errors import InputError
from roadmask.files import write_text

DECIMALS = 6
MISSING = math.nan
# A tile with less road than this share of it is measured against this much.
LEAST_ROAD = 0.02
# Share of a tile that looks get wrong by chance, much or little road as it may have.
BY_CHANCE = 0.03


@dataclass(frozen=True)
class Shares:
    """What a tile holds, each from 0 to 1, rounded as the table shows it.

    Attributes
    ----------
    road_share
        Pixels of any class but ``other``, of those with a picture and a known label.
        0 where there are none such.
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

    @classmethod
    def from_row(cls, row: Mapping[str, str]) -> Shares:
        """Take the shares from a line of a table."""
        return cls(**{field.name: float(row[field.name]) for field in fields(cls)})


@dataclass(frozen=True)
class Evidence:
    """Of one tile.

    Shares of road are of the tile's road, or of a fiftieth of the tile where there is less.
    Shares of ground beside it are of that road and this ground together. All are from 0 to 1.
    What the looks contradict is measured against 3 % of the tile besides, which they get wrong
    by chance.

    Attributes
    ----------
    edge_agreement
        How well the label's outlines lie on the picture's edges, -1 to 1.
    edge_shortfall
        By how much worse they do than is usual on the sheet, -2 to 2.
    edge_loss
        By how much better they would lie elsewhere, 0 to 2.
    offset_m
        How far off the label most likely lies here, in metres.
    sheet_loss
        What its road would lose of its overlap if it lies off as the whole sheet does.
    misplaced_chance
        How likely it lies off by so much that it is bad.
    blind_share
        Ground beside outlines that neither an edge of the picture nor the looks of both sides
        bear out, 8 m wide.
    blind_excess
        By how much more of it there is than is usual on the sheet, -1 to 1.
    like_road_share
        Other ground that looks like road and goes on from it, lies in a strip along it, or has
        the shape of a street.
    looks_loss
        1 less the overlap of its road with what looks like road, but for a cell along outlines.
    surely_other_share
        Road that looks surely like other ground.
    surely_road_share
        Other ground that looks surely like road.
    contrast
        How much more the inner side of the outlines looks like road than the outer, -1 to 1.
    far_share
        Road too far from any centerline for its street.
    off_road_share
        Centerlines, by their street's width, where the label has no road.
    jump_share
        Ground by which roads are wider or narrower than the rest of their street.
    attribute_share
        Ground by which they are wider or narrower than the width attribute says.
    outer_line_share
        Street lines with road on neither side, by the width of a road.
    inner_line_share
        Street lines with road on both sides, by the width of a road.
    closed_outline_share
        Share of the outlines that follows street lines.
    open_share
        Outlines in and near the tile that follow none, by the width of 8 m.
    thick_share
        Road in places wider than the sheet's widest streets.
    sliver_share
        Road that a pixel more or less at its outlines makes or unmakes.
    outline
        Pixels of outline for each pixel of road: thin slivers are uncertain.
    doubt_beside
        The highest doubt, but for this, of the four tiles beside it: faults go on.
    """

    edge_agreement: float = MISSING
    edge_shortfall: float = MISSING
    edge_loss: float = MISSING
    offset_m: float = MISSING
    sheet_loss: float = MISSING
    misplaced_chance: float = MISSING
    blind_share: float = MISSING
    blind_excess: float = MISSING
    like_road_share: float = MISSING
    looks_loss: float = MISSING
    surely_other_share: float = MISSING
    surely_road_share: float = MISSING
    contrast: float = MISSING
    far_share: float = MISSING
    off_road_share: float = MISSING
    jump_share: float = MISSING
    attribute_share: float = MISSING
    outer_line_share: float = MISSING
    inner_line_share: float = MISSING
    closed_outline_share: float = MISSING
    open_share: float = MISSING
    thick_share: float = MISSING
    sliver_share: float = MISSING
    outline: float = MISSING
    doubt_beside: float = MISSING


@dataclass(frozen=True)
class PieceSums:
    """What the pieces say that the labels of method ``regions`` are decided by.

    Attributes
    ----------
    pieces
        How many lie in the tile.
    road_pieces_share, other_pieces_share, unknown_pieces_share
        The tile's ground in pieces of each verdict.
    doubtful_share
        Ground of pieces whose rule was a close call, of the tile's road.
    width_agreement
        Smaller of a street's measured width and its attribute, by the larger: the mean over
        the tile's streets by their ground.
    seen_share
        Share of the streets' axes with a line in view on both sides, as such a mean.
    throat_m
        Metres from the tile to the nearest throat; 0 inside.
    cut_width_m
        Metres of throats in the tile at which ground was cut off.
    end_width_m
        Metres of throats in the tile at which a road was ended where its lines do.
    """

    pieces: float = MISSING
    road_pieces_share: float = MISSING
    other_pieces_share: float = MISSING
    unknown_pieces_share: float = MISSING
    doubtful_share: float = MISSING
    width_agreement: float = MISSING
    seen_share: float = MISSING
    throat_m: float = MISSING
    cut_width_m: float = MISSING
    end_width_m: float = MISSING


def names(*kinds: type) -> tuple[str, ...]:
    """Return the columns of dataclasses, in their order."""
    return tuple(field.name for kind in kinds for field in fields(kind))


PLACE = ("tile", "row", "col")
SHARPNESS = "sharpness"
DOUBT = ("doubt", "doubt_reason")
MEASURES = (*PLACE, *names(Shares), SHARPNESS, *names(Evidence, PieceSums), *DOUBT)
# Whether a tile was cut: those outside `area` were not.
WAS_CUT = "cut"


def cell(value: object) -> str:
    """Return a value as a table shows it; nothing for what could not be measured."""
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.{DECIMALS}f}"
    return str(value)


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Write a table as CSV, whole or not at all."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([cell(row[name]) for name in columns] for row in rows)
    write_text(path, text.getvalue())


def read_table(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Read a table as text, by column.

    Raises
    ------
    InputError
        If it lacks one of the columns.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
    except (OSError, ValueError) as error:
        raise InputError(path, f"it can't be read ({error})", "Remove it and run again") from error
    missing = [name for name in columns if name not in (reader.fieldnames or ())]
    if missing:
        raise InputError(
            path,
            f"it is no table of stage selection: it lacks {', '.join(missing)}",
            "Remove it and run again",
        )
    return rows
