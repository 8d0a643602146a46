"""Rooms between street lines, and the throats through which road would leak into them.

Where a line is missing, a street and the block behind it are one connected region. A
watershed on the distance to the lines parts it again: both floods meet at the throat, the
straight chord across the gap. What lies beyond a throat is a room of its own, and is judged
by its thickness and by how narrow its throat is.

All of it runs on pixels of about a metre, and only where a room is near.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree
from skimage.segmentation import watershed

from roadmask.masks.connected import Connected
from roadmask.masks.streets import NARROWEST

# A room this much thicker than the streets beside it is no street.
THICK_SHARE, THICK_METRES = 1.3, 1.0
# Rooms thinner than this share of the streets beside them are their own corners.
CORNER_SHARE = 0.4
# A mouth this wide, as a share of the room's thickness, is no throat: both are one.
OPEN_MOUTH = 0.75
# Open to road along this share of its outline, a room is the middle of a crossing.
OPEN_OUTLINE = 0.3
# However thick, what is open to road along this share of it lies within road: a block keeps more
# of its lines.
AMID_ROAD = 0.7
# Between this and an open mouth, nothing tells whether the room is road.
DOUBTFUL_MOUTH = 0.5
# Stations beside a room that say how wide its streets are.
NEIGHBOURS = 20

STREET = 1
# Numbers of rooms count from here.
FIRST = 2


@dataclass(frozen=True)
class Rooms:
    """Ground of road regions out of the streets' reach, in connected pieces.

    Attributes
    ----------
    cores
        ``(c,)`` int64 flat indices of pixels, the cores of the rooms.
    number
        ``(c,)`` int32: the room that a core's pixel is of, from 2.
    thickness
        ``(n,)`` float32 metres from a room's innermost pixel to the nearest line, by
        number; the first two are unused.
    thick
        ``(n,)`` bool: too thick to be street.
    stray
        ``(s,)`` int64 flat indices of pixels in pieces that are neither a room nor touch a street:
        ends of ground that are joined to the rest by less than a pixel.
    """

    cores: np.ndarray
    number: np.ndarray
    thickness: np.ndarray
    thick: np.ndarray
    stray: np.ndarray

    def __len__(self) -> int:
        return len(self.thick)


def find_rooms(
    ground: np.ndarray,
    domain: np.ndarray,
    depth: np.ndarray,
    pixel: tuple[float, float],
    station_xy: np.ndarray,
    station_half_width: np.ndarray,
) -> Rooms:
    """Find the rooms and mark the core of each.

    Parameters
    ----------
    ground
        ``(h, w)`` bool: ground of road regions that no street reaches.
    domain
        ``(h, w)`` bool: all ground of road regions.
    depth
        ``(h, w)`` float32 metres to the nearest line.
    pixel
        Ground size of a pixel in metres, along columns and rows.
    station_xy, station_half_width
        ``(n, 2)`` metres in the frame and ``(n,)`` metres: the streets' half width there.

    Returns
    -------
    Rooms
        Corners of the streets themselves are left out.
    """
    pieces = Connected.of(ground)
    filled, piece = pieces.pixels()
    deep = depth.ravel()[filled]
    thickness = np.zeros(pieces.count, np.float32)
    np.maximum.at(thickness, piece, deep)
    at_peak = deep == thickness[piece]
    peak = np.zeros(pieces.count, np.int64)
    peak[piece[at_peak]] = filled[at_peak]
    rows, columns = np.divmod(peak, ground.shape[1])
    places = (np.stack([columns, rows], axis=1) + 0.5) * pixel
    neighbours = min(NEIGHBOURS, len(station_xy))
    nearest = cKDTree(station_xy).query(places, k=np.arange(1, neighbours + 1))[1]
    # The median of all keeps a narrow lane from making its neighbours look thick.
    street = np.maximum(
        station_half_width[nearest].max(axis=1), np.median(station_half_width)
    ).astype(np.float32)
    room = thickness > CORNER_SHARE * street
    room[0] = False
    number = np.zeros(pieces.count, np.int32)
    number[room] = np.arange(FIRST, room.sum() + FIRST)
    # The core keeps out of the throat, so that the floods meet there and not behind it.
    level = np.where(room, np.minimum(0.5 * thickness, street), np.inf).astype(np.float32)
    core = deep >= level[piece]
    thick = thickness > THICK_SHARE * street + THICK_METRES
    return Rooms(
        filled[core],
        number[piece[core]],
        np.concatenate([np.zeros(FIRST, np.float32), thickness[room]]),
        np.concatenate([np.zeros(FIRST, bool), thick[room]]),
        _stray(filled, piece, room, ground, domain),
    )


def _stray(
    filled: np.ndarray, piece: np.ndarray, room: np.ndarray, ground: np.ndarray, domain: np.ndarray
) -> np.ndarray:
    """Return the flat indices of pixels in pieces that are no rooms and touch no street."""
    thin = ~room[piece]
    filled, piece = filled[thin], piece[thin]
    row, column = np.divmod(filled, ground.shape[1])
    touches = np.zeros(len(room), bool)
    for down, right in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        beside = (
            np.clip(row + down, 0, ground.shape[0] - 1),
            np.clip(column + right, 0, ground.shape[1] - 1),
        )
        touches[piece[domain[beside] & ~ground[beside]]] = True
    return np.asarray(filled[~touches[piece]])


def flood(depth: np.ndarray, street: np.ndarray, rooms: Rooms, domain: np.ndarray) -> np.ndarray:
    """Part a domain among street and rooms, at the narrow places between them.

    Parameters
    ----------
    depth
        ``(h, w)`` float32 metres to the nearest line.
    street
        ``(h, w)`` bool: surely street.
    rooms
        The rooms.
    domain
        ``(h, w)`` bool: what to part. It is entered by its sides, not by its corners.

    Returns
    -------
    numpy.ndarray
        ``(h, w)`` unsigned integers, as wide as the numbers need: the number each pixel of the
        domain fell to, 0 outside it. What no room can reach is street.
    """
    # What no room reaches stays street; the rest is parted below.
    basins = domain.astype(np.min_scalar_type(len(rooms)))
    undecided = domain & ~street
    off_street = undecided.reshape(-1)[rooms.cores]
    cores = rooms.cores[off_street]
    basins.reshape(-1)[cores] = rooms.number[off_street]
    undecided.reshape(-1)[cores] = False
    parts = Connected.of(undecided)
    beside = np.zeros(domain.shape, np.uint8)
    beside.reshape(-1)[cores] = 1
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    beside = cv2.dilate(beside, cross) & undecided.view(np.uint8)
    reached = np.unique(parts.numbers_at(np.flatnonzero(beside.view(bool))))
    for number in reached.tolist():
        window, here = parts.cut_out(number, 1)
        near = cv2.dilate(here.view(np.uint8), cross).view(bool) & domain[window]
        # Markers count only where they touch what is undecided: the rest would wait in the queue.
        seeds = basins[window] * (near & ~here)
        parted = watershed(-depth[window], seeds, mask=near)
        basins[window][here] = np.maximum(parted[here], STREET)
    return basins


@dataclass(frozen=True)
class Throats:
    """The openings between rooms and all that they touch.

    Attributes
    ----------
    pairs
        ``(n, 2)`` int64: the lower and the higher number. 0 stands for lines and other regions.
    half_width
        ``(n,)`` metres from an opening's middle to the nearest line: half of its width.
    border
        ``(n,)`` pixel sides along which the two touch.
    """

    pairs: np.ndarray
    half_width: np.ndarray
    border: np.ndarray


def find_throats(basins: np.ndarray, depth: np.ndarray) -> Throats:
    """Measure the openings between rooms and all that they touch.

    Parameters
    ----------
    basins
        ``(h, w)`` numbers as `flood` returns them.
    depth
        ``(h, w)`` float32 metres to the nearest line.
    """
    width = basins.shape[1]
    numbers, metres = basins.reshape(-1), depth.reshape(-1)
    inner = _pixels_of_rooms(basins)
    column = inner % width
    low, high, height = [], [], []
    for step, inside in (
        (1, column < width - 1),
        (-1, column > 0),
        (width, inner < basins.size - width),
        (-width, inner >= width),
    ):
        here = inner[inside]
        there = here + step
        one, two = numbers[here], numbers[there]
        # Two rooms see the side between them twice: it counts from the left and from above.
        border = (one != two) & ((step > 0) | (two < FIRST))
        low.append(np.minimum(one, two)[border])
        high.append(np.maximum(one, two)[border])
        height.append(np.minimum(metres[here], metres[there])[border])
    keys = np.concatenate(low).astype(np.int64) << 32 | np.concatenate(high)
    names, pair, sides = np.unique(keys, return_inverse=True, return_counts=True)
    widest = np.zeros(len(names), np.float32)
    np.maximum.at(widest, pair, np.concatenate(height))
    return Throats(np.stack([names >> 32, names & 0xFFFFFFFF], axis=1), widest, sides)


def _pixels_of_rooms(basins: np.ndarray) -> np.ndarray:
    """Return the flat indices of the rooms' pixels: few of all, so worth a look of their own."""
    return np.flatnonzero(basins >= FIRST)


def judge(rooms: Rooms, throats: Throats) -> tuple[np.ndarray, np.ndarray]:
    """Tell which rooms belong to the street, and of which nothing can be told.

    A room no thicker than a street is road if its mouth to road is as wide as itself, or if
    it is open to road along much of its outline, as the middle of a large crossing is. So are
    rooms that are together open to it nearly all around, however thick.

    Parameters
    ----------
    rooms
        The rooms.
    throats
        As `find_throats` returns them.

    Returns
    -------
    road, doubtful
        ``(n,)`` bool each, by number.
    """
    road = np.zeros(len(rooms), bool)
    road[STREET] = True
    doubtful = np.zeros(len(rooms), bool)
    outline = np.zeros(len(rooms))
    for side in (0, 1):
        np.add.at(outline, throats.pairs[:, side], throats.border)
    inner = throats.pairs[:, 0] > 0
    pairs, half, border = throats.pairs[inner], throats.half_width[inner], throats.border[inner]
    known = np.concatenate([pairs[:, 0], pairs[:, 1]])
    room = np.concatenate([pairs[:, 1], pairs[:, 0]])
    thickness = np.maximum(rooms.thickness[room], 1e-3)
    mouth = np.tile(half, 2) / thickness
    share = np.tile(border, 2) / np.maximum(outline[room], 1)
    opened = (mouth >= OPEN_MOUTH) | (share >= OPEN_OUTLINE)
    joins = (room >= FIRST) & ~rooms.thick[room]
    while True:
        new = room[joins & opened & road[known] & ~road[room]]
        if len(new) == 0:
            break
        road[new] = True
    doubtful[room[joins & (mouth >= DOUBTFUL_MOUTH) & road[known]]] = True
    road |= _amid_road(throats, road)
    return road, doubtful & ~road


def _amid_road(throats: Throats, road: np.ndarray) -> np.ndarray:
    """Tell which rooms, with those they open to, have hardly anything but road around them.

    Parameters
    ----------
    throats
        As `find_throats` returns them.
    road
        ``(n,)`` bool, by number: what is road so far.
    """
    one, two = throats.pairs.T
    rooms = ~road
    rooms[:FIRST] = False
    joined = rooms[one] & rooms[two]
    links = coo_array((np.ones(joined.sum()), (one[joined], two[joined])), shape=(len(road),) * 2)
    group = connected_components(links, directed=False)[1]
    outline, of_road = np.zeros((2, len(road)))
    for inner, outer in ((one, two), (two, one)):
        edge = rooms[inner] & ~rooms[outer]
        np.add.at(outline, group[inner[edge]], throats.border[edge])
        np.add.at(of_road, group[inner[edge]], throats.border[edge] * road[outer[edge]])
    return np.asarray(rooms & (of_road >= AMID_ROAD * outline)[group])


def passed_through(
    rooms: Rooms, basins: np.ndarray, depth: np.ndarray, road: np.ndarray, doubtful: np.ndarray
) -> np.ndarray:
    """Tell which doubtful rooms open to road in two places, as a carriageway does.

    It may be much wider in its middle than where it begins and ends.

    Parameters
    ----------
    rooms, basins, depth
        The rooms, ``(h, w)`` numbers as `flood` returns it, ``(h, w)`` float32 metres to the
        nearest line.
    road, doubtful
        As `judge` returns them.

    Returns
    -------
    numpy.ndarray
        ``(n,)`` bool, by number.
    """
    found = np.zeros(len(rooms), bool)
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    pixels = _pixels_of_rooms(basins)
    numbers = basins.reshape(-1)[pixels]
    for number in np.flatnonzero(doubtful):
        rows, columns = np.divmod(pixels[numbers == number], basins.shape[1])
        window = tuple(slice(max(axis.min() - 1, 0), axis.max() + 2) for axis in (rows, columns))
        here = (basins[window] == number).view(np.uint8)
        beside = (cv2.dilate(here, cross) > 0) & road[basins[window]]
        count, mouths = cv2.connectedComponents(beside.view(np.uint8), connectivity=8)
        half = np.zeros(count, np.float32)
        np.maximum.at(half, mouths, depth[window])
        least = max(DOUBTFUL_MOUTH * float(rooms.thickness[number]), NARROWEST / 2)
        found[number] = (half[1:] >= least).sum() >= 2
    return found
