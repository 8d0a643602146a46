"""What speaks for and against the label of each tile of a sheet."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.io import DatasetReader
from rasterio.windows import Window

from roadmask.grid import Grid, Tile
from roadmask.imagery import read_network_input
from roadmask.quality import alongside
from roadmask.quality.alongside import LabelWindow, Places, Steadiness
from roadmask.quality.appearance import cell_pixels, cell_values, log_odds, road_likeness
from roadmask.quality.columns import LEAST_ROAD, Evidence
from roadmask.quality.edges import length as edge_length
from roadmask.quality.edges import outline_edges, picture_edges
from roadmask.quality.misplaced import (
    looks_scores,
    misplaced,
    offset_chances,
    overlaps,
    sheet_loss,
)
from roadmask.quality.offset import LAGS, REACH, Correlation, Offset, correlate, estimate
from roadmask.quality.unmapped import THICK, along_outlines, continued, disc, lone_streets
from roadmask.raster import read_window
from roadmask.style import UNKNOWN
from roadmask.tilesets import TileManifest

Label = NDArray[np.uint8]

# Pixels of a block that the label is laid over the picture by, and how many blocks a sheet
# has at most.
BLOCK = 128
MOST_BLOCKS = 4096
# Metres: the narrowest place in road that looks unlike road and is no car or shadow of a tree.
UNLIKE_WIDTH = 4.8
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
# What the blocks around a tile weigh where an offset is looked for there: what is wrong with
# its label goes on in theirs.
AROUND = 0.5


@dataclass(frozen=True)
class MapLines:
    """The map on a sheet, in the scene's pixels.

    Attributes
    ----------
    street_lines, centerlines
        Lines.
    given_width
        ``(centerlines,)`` paved width by attribute, in pixels; NaN where unknown.
    raster
        The lines' raster, band 1 street lines.
    """

    street_lines: NDArray[np.object_]
    centerlines: NDArray[np.object_]
    given_width: NDArray[np.float64]
    raster: DatasetReader


@dataclass(frozen=True)
class Sheet:
    """All that is known of one sheet.

    Attributes
    ----------
    manifest
        Of its tiles.
    scene, mask
        The picture and the label, on one grid.
    lines
        The map; None where labels are not made from lines.
    """

    manifest: TileManifest
    scene: DatasetReader
    mask: DatasetReader
    lines: MapLines | None

    @property
    def grid(self) -> Grid:
        """The scene's pixels."""
        return self.manifest.grid

    @cached_property
    def metres(self) -> float:
        """Ground size of a pixel."""
        return self.grid.ground_sample_distance

    def picture(
        self, x: int, y: int, width: int, height: int
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Return what the network sees of a window, and where there is a picture."""
        return read_network_input(
            self.scene, Window(x, y, width, height), self.manifest.bands, self.manifest.scale
        )

    def label(self, x: int, y: int, width: int, height: int) -> Label:
        """Return the label of a window, not known beyond the scene."""
        found: Label = read_window(self.mask, x, y, width, height, bands=[1], fill=UNKNOWN)[0]
        return found


# --- the picture's edges ---------------------------------------------------------------------


@dataclass(frozen=True)
class Blocks:
    """A sheet's correlations, block by block.

    Attributes
    ----------
    size
        Edge of a block in pixels.
    rows
        The blocks, row by row.
    """

    size: int
    rows: list[list[Correlation]]

    @cached_property
    def offset(self) -> Offset | None:
        """Where the sheet's picture lies, seen from its label."""
        return estimate(self.rows)

    def weights(self, tile: Tile, margin: float = 0.0) -> Iterator[tuple[int, int, float]]:
        """Return row, column and weight of the blocks that tell of a tile.

        Parameters
        ----------
        tile
            The tile.
        margin
            Weight of the blocks around, beside the share of those on it.
        """
        first = [start // self.size for start in (tile.y, tile.x)]
        last = [(start + tile.size - 1) // self.size for start in (tile.y, tile.x)]
        for row in range(max(first[0] - 1, 0), min(last[0] + 2, len(self.rows))):
            for column in range(max(first[1] - 1, 0), min(last[1] + 2, len(self.rows[0]))):
                inside = _overlap(tile.y, tile.size, row, self.size)
                inside *= _overlap(tile.x, tile.size, column, self.size)
                if (weight := max(inside, margin)) > 0:
                    yield row, column, weight

    def on(self, tile: Tile, margin: float = 0.0) -> Correlation:
        """Add up the blocks that tell of a tile."""
        total = Correlation(np.zeros_like(self.rows[0][0].scores), 0.0)
        for row, column, weight in self.weights(tile, margin):
            block = self.rows[row][column]
            total = Correlation(
                total.scores + np.float32(weight) * block.scores,
                total.outline + weight * block.outline,
            )
        return total


def _overlap(start: int, size: int, block: int, block_size: int) -> float:
    """Return the share of a block along one axis that a tile covers."""
    low, high = block * block_size, (block + 1) * block_size
    return max(0, min(high, start + size) - max(low, start)) / block_size


def correlate_blocks(sheet: Sheet) -> Blocks:
    """Lay the label over the picture, block by block."""
    width, height = sheet.grid.width, sheet.grid.height
    size = max(BLOCK, math.ceil(math.sqrt(width * height / MOST_BLOCKS)))
    wide = size + 2 * REACH

    def block(x: int, y: int) -> Correlation:
        label = sheet.label(x - REACH, y - REACH, wide, wide)
        outlines = outline_edges(label)[:, REACH:-REACH, REACH:-REACH]
        if not outlines.any():
            return correlate(np.zeros((2, wide, wide), np.float32), outlines)
        return correlate(picture_edges(*sheet.picture(x - REACH, y - REACH, wide, wide)), outlines)

    return Blocks(
        size, [[block(x, y) for x in range(0, width, size)] for y in range(0, height, size)]
    )


# --- the picture's looks ---------------------------------------------------------------------


@dataclass(frozen=True)
class Likeness:
    """How much like road a sheet's ground looks.

    Attributes
    ----------
    values
        ``(rows, columns)`` float32, 0 to 1, by cells; NaN without a picture. None where
        nothing could be learned.
    unmapped
        ``(rows, columns)`` bool: other ground that looks like road and goes on from road,
        lies in a strip along it, or is a street that no road leads to.
    unlike
        ``(rows, columns)`` bool: wide places in road that look like other ground.
    pixels
        Edge of a cell.
    """

    values: NDArray[np.float32] | None
    unmapped: NDArray[np.bool_]
    unlike: NDArray[np.bool_]
    pixels: int

    def on(self, x: int, y: int, width: int, height: int) -> NDArray[np.float32]:
        """Return each pixel's value in a window, NaN beyond the scene."""
        like = np.full((height, width), np.nan, np.float32)
        return like if self.values is None else self._spread(self.values, like, x, y)

    def contradicted(self, x: int, y: int, size: int) -> tuple[NDArray[np.bool_], ...]:
        """Return in a square window what looks like road, and road that looks unlike road."""
        nothing = np.zeros((size, size), bool)
        grounds = (self.unmapped, self.unlike)
        return tuple(self._spread(ground, nothing.copy(), x, y) for ground in grounds)

    def _spread(self, cells: NDArray[Any], window: NDArray[Any], x: int, y: int) -> NDArray[Any]:
        """Write into a window what the cells in it hold."""
        rows = np.arange(y, y + window.shape[0]) // self.pixels
        columns = np.arange(x, x + window.shape[1]) // self.pixels
        down = (rows >= 0) & (rows < cells.shape[0])
        across = (columns >= 0) & (columns < cells.shape[1])
        window[np.ix_(down, across)] = cells[np.ix_(rows[down], columns[across])]
        return window


def learn_likeness(sheet: Sheet, widest: float) -> Likeness:
    """Learn from a sheet's own label what road looks like, and apply it everywhere on it.

    Parameters
    ----------
    sheet
        The sheet.
    widest
        Pixels: the width of its widest streets.
    """
    pixels = cell_pixels(sheet.grid.height, sheet.grid.width, sheet.metres)
    rows, columns = (math.ceil(side / pixels) for side in sheet.grid.shape)
    strip = max(1, 1024 // pixels)
    cells, label, seen = [], [], []
    for row in range(0, rows, strip):
        count = min(strip, rows - row)
        window = (0, row * pixels, columns * pixels, count * pixels)
        picture, valid = sheet.picture(*window)
        middle = pixels // 2
        cells.append(cell_values(picture, pixels))
        seen.append(valid[middle::pixels, middle::pixels])
        label.append(sheet.label(*window)[middle::pixels, middle::pixels])
    is_seen = np.concatenate(seen)
    known = np.where(is_seen, np.concatenate(label), np.uint8(UNKNOWN))
    values = road_likeness(np.concatenate(cells), known)
    if values is None:
        nothing = np.zeros(known.shape, bool)
        return Likeness(None, nothing, nothing, pixels)
    metres = pixels * sheet.metres
    # Mean over a few metres: one car does not make a roof of a street.
    smooth = cv2.GaussianBlur(log_odds(values), (0, 0), max(0.5, BESIDE / 3 / metres))
    return Likeness(
        np.where(is_seen, values, np.nan),
        continued(smooth, known, metres)
        | along_outlines(smooth, known, metres)
        | lone_streets(smooth, known, metres, widest * sheet.metres),
        _unlike(smooth, known, metres),
        pixels,
    )


def _unlike(odds: NDArray[np.float32], known: Label, metres: float) -> NDArray[np.bool_]:
    """Find wide places in road that look like other ground."""
    road = (known > 0) & (known != UNKNOWN) & (odds < 0)
    width = disc(UNLIKE_WIDTH / 2, metres)
    return np.asarray(cv2.morphologyEx(road.astype(np.uint8), cv2.MORPH_OPEN, width) > 0)


@dataclass(frozen=True)
class LooksScores:
    """How a sheet's label lies on what looks like road, block by block.

    Attributes
    ----------
    blocks
        The blocks.
    rows
        Their scores, row by row; None where nothing could be learned.
    """

    blocks: Blocks
    rows: list[list[NDArray[np.float32]]] | None

    def on(self, tile: Tile, margin: float) -> NDArray[np.float32]:
        """Add up the blocks that tell of a tile."""
        total = np.zeros((LAGS, LAGS), np.float32)
        if self.rows is not None:
            for row, column, weight in self.blocks.weights(tile, margin):
                total += np.float32(weight) * self.rows[row][column]
        return total


def correlate_looks(sheet: Sheet, blocks: Blocks, likeness: Likeness) -> LooksScores:
    """Lay the label over what looks like road, block by block."""
    if likeness.values is None:
        return LooksScores(blocks, None)
    size = blocks.size
    wide = size + 2 * REACH

    def scores(x: int, y: int, block: Correlation) -> NDArray[np.float32]:
        # Without outlines, moving the label changes nothing.
        if block.outline == 0:
            return np.zeros((LAGS, LAGS), np.float32)
        like = likeness.on(x - REACH, y - REACH, wide, wide)
        return looks_scores(like, sheet.label(x, y, size, size))

    return LooksScores(
        blocks,
        [
            [scores(column * size, row * size, block) for column, block in enumerate(line)]
            for row, line in enumerate(blocks.rows)
        ],
    )


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
        unmapped, unlike = likeness.contradicted(tile.x, tile.y, tile.size)
        found["unlike_road_share"] = _area(road & unlike, base)
        found["like_road_share"] = _beside(
            int(np.count_nonzero((label[inner] == 0) & unmapped)), base
        )
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
    found["misplaced_share"] = _misplaced_share(sheet, tile, blocks, looks)
    here = blocks.on(tile)
    if here.outline > 0:
        found["edge_agreement"] = here.agreement
        found["edge_loss"] = float(here.scores.max()) / here.outline - here.agreement
    return found


def _misplaced_share(sheet: Sheet, tile: Tile, blocks: Blocks, looks: LooksScores) -> float:
    """Return what a tile must be expected to lose where each part of it may lie off by itself."""
    both = either = 0.0
    size = blocks.size
    for y in range(tile.y, min(tile.y + tile.size, sheet.grid.height), size):
        for x in range(tile.x, min(tile.x + tile.size, sheet.grid.width), size):
            part = Tile(tile.name, 0, 0, x, y, size)
            around = blocks.on(part, AROUND)
            label = sheet.label(x - REACH, y - REACH, size + 2 * REACH, size + 2 * REACH)
            chances = offset_chances(around, looks.on(part, AROUND), sheet.metres)
            common, union = overlaps(label)
            both += float((chances * common).sum())
            either += float((chances * union).sum())
    return (either - both) / max(either, LEAST_ROAD * tile.size**2)


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
