"""What speaks for and against the label of each tile of a sheet."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray

from roadmask.grid import Grid, Tile
from roadmask.quality import alongside
from roadmask.quality.alongside import LabelWindow, Places, Steadiness
from roadmask.quality.blocks import AROUND, Blocks
from roadmask.quality.columns import BY_CHANCE, LEAST_ROAD, Evidence
from roadmask.quality.contradictions import contradicted, looks_loss
from roadmask.quality.edges import length as edge_length
from roadmask.quality.edges import outline_edges, picture_edges
from roadmask.quality.likeness import Likeness, LooksScores
from roadmask.quality.misplaced import misplaced, sheet_loss
from roadmask.quality.offset import REACH
from roadmask.quality.sheet import Label, MapLines, Sheet
from roadmask.quality.unmapped import THICK
from roadmask.raster import read_window
from roadmask.style import UNKNOWN

# Pixels of a window in which widths along centerlines are measured.
BLOCK = 128
# Metres on both sides of an outline whose looks are compared.
BESIDE = 3.0
# Ground farther from all centerlines than this many half widths, and metres more, is no
# street; the corners of crossings are nearer.
FAR_SHARE, FAR_METRES = 1.5, 2.0
# What happens past a tile's edge counts less for it.
OUTSIDE = 0.3
# Metres beyond a tile's edges of which it is told as well: what goes wrong there goes on here.
AROUND_METRES = 8.0
# Pixels of the windows in which widths are looked at.
WIDTH_WINDOW = 1024
# Share of the middles of a sheet's road that lie in its streets; the rest, in squares and leaks:
# one leak over a block has held 5 %.
WIDEST = 0.9
# Pixels from an outline to the street line that it follows.
ON_LINE = 2
# Shares by which a street's width in the label may differ from its attribute.
WIDTH_SLACK = 0.2
# Metres along an outline over which it is judged, and the agreement with edges and the contrast
# of looks from which it is borne out.
BLIND_METRES, GOOD_EDGE, GOOD_LOOKS = 4.0, 0.3, 0.5


def street_width(sheet: Sheet) -> float:
    """Return the width of a sheet's widest streets in its label, pixels; 0 where none ends.

    Of all discs that fit into the label's road and whose middle lies as deep as any ground
    around it, most lie along streets; the few in squares and leaks count little.
    """
    deep = []
    for x, y in _squares(sheet.grid, WIDTH_WINDOW):
        margin = WIDTH_WINDOW // 4
        wide = WIDTH_WINDOW + 2 * margin
        label = sheet.label(x - margin, y - margin, wide, wide)
        if label.all():
            # Several classes may leave no ground as other: then nothing has a width.
            continue
        depth = cv2.distanceTransform((label != 0).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
        ridge = (depth >= cv2.dilate(depth, np.ones((5, 5), np.uint8))) & (depth > 2)
        ridge &= (label > 0) & (label != UNKNOWN)
        deep.append(depth[margin:-margin, margin:-margin][ridge[margin:-margin, margin:-margin]])
    found = np.concatenate([np.empty(0, np.float32), *deep])
    return 2 * float(np.quantile(found, WIDEST)) if len(found) else 0.0


# --- tile by tile ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Streets:
    """What the map's lines say all over a sheet.

    Attributes
    ----------
    lines
        The map.
    edges
        Places along street lines, but for those where levels cross.
    axes
        Places along centerlines.
    steady
        How the label's width behaves there.
    is_road
        ``(axes,)`` whether the label has road at these places; False where not known.
    known
        ``(axes,)`` whether the label is known there.
    own
        ``(axes,)`` pixels: the width of each place's street, the sheet's where it has none.
    typical
        Pixels: the width of the sheet's streets.
    measured
        ``(axes,)`` pixels: the label's width there, NaN where not known.
    between
        ``(axes,)`` whether a place lies between crossings, and on road.
    """

    lines: MapLines
    edges: Places
    axes: Places
    steady: Steadiness
    is_road: NDArray[np.bool_]
    known: NDArray[np.bool_]
    own: NDArray[np.float64]
    typical: float
    measured: NDArray[np.float64]
    between: NDArray[np.bool_]


def read_streets(sheet: Sheet) -> Streets | None:
    """Measure the label along the map's lines; None without any centerline."""
    lines = sheet.lines
    if lines is None or len(lines.centerlines) == 0:
        return None
    axes = alongside.place(lines.centerlines, alongside.SPACING / sheet.metres)
    edges = alongside.place(lines.street_lines, alongside.SPACING / sheet.metres)
    one_level = alongside.away_from_crossings(
        edges, lines.street_lines, alongside.LEVELS / sheet.metres
    )
    edges = _chosen(edges, np.flatnonzero(one_level))
    reach = min(math.ceil(alongside.REACH / sheet.metres), alongside.MOST_REACH)
    measured = np.full(len(axes), np.nan)
    label = np.full(len(axes), UNKNOWN, np.uint8)
    for x, y in _squares(sheet.grid, BLOCK):
        inside = np.flatnonzero(axes.inside(x, y, BLOCK))
        if len(inside) == 0:
            continue
        wide = BLOCK + 2 * reach
        window = LabelWindow(sheet.label(x - reach, y - reach, wide, wide), x - reach, y - reach)
        here = _chosen(axes, inside)
        measured[inside] = alongside.widths(window, here, reach)
        label[inside] = window.at(here.xy)
    count = len(lines.centerlines)
    levels = alongside.LEVELS / sheet.metres
    between = axes.to_end > alongside.CROSSING / sheet.metres
    between &= alongside.away_from_crossings(axes, lines.centerlines, levels)
    steady = alongside.steadiness(axes, measured, count, between, reach)
    own = steady.own[axes.line]
    known_widths = own[np.isfinite(own)]
    given = lines.given_width[np.isfinite(lines.given_width)]
    typical = float(
        np.median(known_widths if len(known_widths) else given if len(given) else [2 * reach / 3])
    )
    return Streets(
        lines,
        edges,
        axes,
        steady,
        (label > 0) & (label != UNKNOWN),
        label != UNKNOWN,
        np.where(np.isfinite(own), own, typical),
        typical,
        np.minimum(measured, 2 * reach),
        between & (measured > 0),
    )


def _squares(grid: Grid, size: int) -> Iterator[tuple[int, int]]:
    for y in range(0, grid.height, size):
        for x in range(0, grid.width, size):
            yield x, y


def _chosen(places: Places, index: NDArray[np.int64]) -> Places:
    return Places(places.xy[index], places.normal[index], places.line[index], places.to_end[index])


def weigh(
    sheet: Sheet,
    tile: Tile,
    blocks: Blocks,
    looks: LooksScores,
    likeness: Likeness,
    streets: Streets | None,
    widest: float,
) -> Evidence:
    """Gather the evidence on one tile.

    Parameters
    ----------
    sheet
        The sheet.
    tile
        One of its tiles.
    blocks, looks, likeness, streets, widest
        What was found all over the sheet.
    """
    margin = math.ceil(AROUND_METRES / sheet.metres)
    around = tile.size + 2 * margin
    label = sheet.label(tile.x - margin, tile.y - margin, around, around)
    inner = np.s_[margin:-margin, margin:-margin]
    road = (label[inner] > 0) & (label[inner] != UNKNOWN)
    base = max(float(np.count_nonzero(road)), LEAST_ROAD * tile.size**2)
    outline = _outline(label)
    length = float(np.count_nonzero(outline[inner]))
    found = {"outline": length / base}
    found |= _of_edges(sheet, tile, blocks, looks)
    like = likeness.on(tile.x - margin, tile.y - margin, around, around)
    banks = _banks(label, max(1.0, BESIDE / sheet.metres))
    found |= _contrast(sheet, banks, like, margin)
    found["blind_share"] = _beside(_blind(sheet, tile, label, banks, like, margin), base)
    if likeness.values is not None:
        unmapped = (label[inner] == 0) & likeness.unmapped_on(tile.x, tile.y, tile.size)
        besides = base + BY_CHANCE * tile.size**2
        found["like_road_share"] = _beside(int(np.count_nonzero(unmapped)), besides)
        false, lost = contradicted(label[inner], like[inner])
        found["surely_other_share"] = _area(false, besides)
        found["surely_road_share"] = _beside(int(np.count_nonzero(lost)), besides)
        found["looks_loss"] = looks_loss(label, like, margin, sheet.metres)
    if streets is not None:
        found |= _of_streets(sheet, tile, streets, base)
        found |= _of_ground(sheet, tile, streets, road, base)
        # Labels of centerlines and widths alone follow no street lines.
        if len(streets.lines.street_lines):
            found |= _of_outline(sheet, tile, streets.lines, outline, margin, base)
    found["thick_share"] = _thick(sheet, tile, widest, base)
    found["sliver_share"] = _slivers(label, margin)
    return Evidence(**found)


def _of_edges(sheet: Sheet, tile: Tile, blocks: Blocks, looks: LooksScores) -> dict[str, float]:
    around = blocks.on(tile, AROUND)
    if around.outline == 0:
        return {}
    wide = tile.size + 2 * REACH
    label = sheet.label(tile.x - REACH, tile.y - REACH, wide, wide)
    where = misplaced(around, looks.on(tile, AROUND), label, sheet.metres)
    found = {"offset_m": where.offset * sheet.metres, "misplaced_chance": where.chance}
    found["sheet_loss"] = sheet_loss(blocks.offset, label)
    here = blocks.on(tile)
    if here.outline > 0:
        found["edge_agreement"] = here.agreement
        found["edge_loss"] = float(here.scores.max()) / here.outline - here.agreement
    return found


def _blind(
    sheet: Sheet, tile: Tile, label: Label, banks: Banks, like: NDArray[np.float32], margin: int
) -> float:
    """Return the pixels of ground beside outlines that neither an edge nor looks bear out."""
    here = _outline(label)
    if not here.any():
        return 0.0
    wide = tile.size + 2 * margin
    picture, valid = sheet.picture(tile.x - margin, tile.y - margin, wide, wide)
    outlines, edges = outline_edges(label), picture_edges(picture, valid)
    along = BLIND_METRES / sheet.metres
    coarse = max(1, wide // max(1, round(along / 3)))

    def near(values: NDArray[Any]) -> NDArray[np.float32]:
        small = cv2.resize(
            values.astype(np.float32), (coarse, coarse), interpolation=cv2.INTER_AREA
        )
        return np.asarray(cv2.GaussianBlur(small, (0, 0), along * coarse / wide))

    def share(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float32]:
        return np.asarray(near(part) / (near(whole) + 1e-4))

    agreement = share((outlines * edges).sum(axis=0), edge_length(outlines))
    within, beyond = banks.within & np.isfinite(like), banks.beyond & np.isfinite(like)
    known = np.nan_to_num(like, nan=0.5)
    contrast = share(known * within, within) - share(known * beyond, beyond)
    unseen = np.clip(1 - agreement / GOOD_EDGE, 0, 1) * np.clip(1 - contrast / GOOD_LOOKS, 0, 1)
    unseen = cv2.resize(unseen, (wide, wide), interpolation=cv2.INTER_LINEAR)
    inner = np.s_[margin:-margin, margin:-margin]
    return float(unseen[inner][(here & valid)[inner]].sum()) * AROUND_METRES / sheet.metres


def _outline(label: Label) -> NDArray[np.bool_]:
    """Return the outermost pixels of road that border on other ground."""
    road = (label > 0) & (label != UNKNOWN)
    beside = cv2.dilate((label == 0).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    return np.asarray(road & beside)


@dataclass(frozen=True)
class Banks:
    """The ground on both sides of a label's outlines, in a tile and around it.

    Attributes
    ----------
    within, beyond
        ``(h, w)`` bool: road near other ground, and other ground near road.
    """

    within: NDArray[np.bool_]
    beyond: NDArray[np.bool_]


def _banks(label: Label, reach: float) -> Banks:
    road, other = (label > 0) & (label != UNKNOWN), label == 0
    return Banks(road & _near(other, reach), other & _near(road, reach))


def _near(ground: NDArray[np.bool_], reach: float) -> NDArray[np.bool_]:
    """Tell which pixels lie within some pixels of a ground."""
    if not ground.any():
        return np.zeros(ground.shape, bool)
    away = cv2.distanceTransform((~ground).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
    return np.asarray(away <= reach)


def _contrast(
    sheet: Sheet, banks: Banks, like: NDArray[np.float32], margin: int
) -> dict[str, float]:
    inner = np.s_[margin:-margin, margin:-margin]
    seen = np.isfinite(like[inner])
    within, beyond = banks.within[inner] & seen, banks.beyond[inner] & seen
    if not (within.any() and beyond.any()):
        return {}
    smooth = cv2.GaussianBlur(
        np.nan_to_num(like, nan=0.5), (0, 0), max(1.0, BESIDE / 3 / sheet.metres)
    )[inner]
    return {"contrast": float(smooth[within].mean() - smooth[beyond].mean())}


def _of_streets(sheet: Sheet, tile: Tile, streets: Streets, base: float) -> dict[str, float]:
    """Weigh the places along lines; each stands for `SPACING` metres of its line."""
    step = alongside.SPACING / sheet.metres
    here = np.flatnonzero(streets.axes.inside(tile.x, tile.y, tile.size))
    off = streets.known[here] & ~streets.is_road[here]
    given = streets.lines.given_width[streets.axes.line[here]]
    apart = np.abs(streets.measured[here] - given) - WIDTH_SLACK * given
    apart = np.where(streets.between[here], np.maximum(apart, 0), 0)
    edges = _chosen(streets.edges, np.flatnonzero(streets.edges.inside(tile.x, tile.y, tile.size)))
    aside = max(alongside.ASIDE / sheet.metres, alongside.LEAST_ASIDE)
    margin = math.ceil(aside) + 1
    around = tile.size + 2 * margin
    window = LabelWindow(
        sheet.label(tile.x - margin, tile.y - margin, around, around),
        tile.x - margin,
        tile.y - margin,
    )
    counts, _ = alongside.sides(window, edges, aside)
    return {
        "off_road_share": _beside(float(streets.own[here][off].sum()) * step, base),
        "jump_share": _beside(float(streets.steady.jump[here].sum()) * step, base),
        "attribute_share": _beside(float(np.nansum(apart)) * step, base),
        "outer_line_share": _beside(float(counts[0]) * step * streets.typical / 2, base),
        "inner_line_share": _beside(float(counts[2]) * step * streets.typical / 2, base),
    }


def _of_ground(
    sheet: Sheet, tile: Tile, streets: Streets, road: NDArray[np.bool_], base: float
) -> dict[str, float]:
    """Find road that is too far from every centerline."""
    if not road.any():
        return {"far_share": 0.0}
    widest = float(streets.own.max(initial=streets.typical))
    slack = FAR_METRES / sheet.metres
    reach = math.ceil(FAR_SHARE * widest / 2 + slack) + 1
    around = tile.size + 2 * reach
    near = np.flatnonzero(
        streets.axes.inside(tile.x - reach, tile.y - reach, tile.size + 2 * reach)
    )
    if len(near) == 0:
        return {"far_share": _area(road, base)}
    free = np.ones((around, around), np.uint8)
    column, row = (np.floor(streets.axes.xy[near]).astype(np.int64) - (tile.x, tile.y) + reach).T
    free[row, column] = 0
    width_at = np.zeros(free.shape)
    width_at[row, column] = streets.own[near]
    distance, number = cv2.distanceTransformWithLabels(
        free, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    width_of = np.zeros(int(number.max()) + 1)
    width_of[number[row, column]] = width_at[row, column]
    inner = np.s_[reach:-reach, reach:-reach]
    limit = FAR_SHARE * width_of[number[inner]] / 2 + slack
    return {"far_share": _area(road & (distance[inner] > limit), base)}


def _of_outline(
    sheet: Sheet,
    tile: Tile,
    lines: MapLines,
    outline: NDArray[np.bool_],
    margin: int,
    base: float,
) -> dict[str, float]:
    """Tell how much of the outlines follows street lines, and how much around does not."""
    x, y = Grid.from_dataset(lines.raster).offset_of(sheet.grid)
    left, top, wide = tile.x - margin, tile.y - margin, tile.size + 2 * margin
    drawn = read_window(lines.raster, left + x, top + y, wide, wide, bands=[1])[0]
    size = 2 * ON_LINE + 1
    near = cv2.dilate((drawn != 0).astype(np.uint8), np.ones((size, size), np.uint8)) > 0
    inner = np.s_[margin:-margin, margin:-margin]
    count = int(np.count_nonzero(outline[inner]))
    away = outline & ~near
    inside = np.count_nonzero(away[inner])
    weighted = inside + OUTSIDE * (np.count_nonzero(away) - inside)
    found = {"open_share": _beside(float(weighted) * AROUND_METRES / sheet.metres, base)}
    if count:
        found["closed_outline_share"] = int(np.count_nonzero((outline & near)[inner])) / count
    return found


def _thick(sheet: Sheet, tile: Tile, widest: float, base: float) -> float:
    """Return the share of road that is part of a disc wider than any street of the sheet."""
    if not widest:
        return 0.0
    reach = math.ceil(THICK * widest / 2)
    # A disc that reaches into the tile has its middle, and all of itself, in this window.
    margin = 2 * reach + 2
    around = tile.size + 2 * margin
    label = sheet.label(tile.x - margin, tile.y - margin, around, around)
    # Not the class: past the sheet's edge, and where nothing is known, the road may go on.
    depth = cv2.distanceTransform((label != 0).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
    core = (depth > THICK * widest / 2) & (label > 0) & (label != UNKNOWN)
    if not core.any():
        return 0.0
    away = cv2.distanceTransform((~core).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
    inner = np.s_[margin:-margin, margin:-margin]
    road = (label[inner] > 0) & (label[inner] != UNKNOWN)
    return _area(road & (away[inner] <= THICK * widest / 2), base)


def _slivers(label: Label, margin: int) -> float:
    """Return the share of road, a pixel wider, that is lost where it is a pixel narrower."""
    road = ((label > 0) & (label != UNKNOWN)).astype(np.uint8)
    inner = np.s_[margin:-margin, margin:-margin]
    around = np.ones((3, 3), np.uint8)
    wider = int(np.count_nonzero(cv2.dilate(road, around)[inner]))
    narrower = int(np.count_nonzero(cv2.erode(road, around)[inner]))
    # Road that only borders on the tile, with none in it, is no sliver of it.
    return 1 - narrower / wider if road[inner].any() else 0.0


def _area(pixels: NDArray[np.bool_], base: float) -> float:
    return int(np.count_nonzero(pixels)) / base


def _beside(ground: float, base: float) -> float:
    """Return the share of some ground in itself and the road, from 0 to 1."""
    return ground / (ground + base)


def in_pixels(geometries: NDArray[np.object_], grid: Grid) -> NDArray[np.object_]:
    """Bring geometries from a grid's CRS to its columns and rows."""
    inverse = ~grid.transform
    matrix = np.array([[inverse.a, inverse.b], [inverse.d, inverse.e]])
    offset = np.array([inverse.c, inverse.f])
    moved: NDArray[np.object_] = np.asarray(
        shapely.transform(geometries, lambda xy: xy @ matrix.T + offset), dtype=object
    )
    return moved
