"""Rooms between street lines, and the throats through which road would leak into them.

Where a line is missing, a street and the block behind it are one connected region. A
watershed on the distance to the lines parts it again: both floods meet at the throat, the
straight chord across the gap. What lies beyond a throat is a room of its own, and is judged
by its thickness and by how narrow its throat is.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.spatial import cKDTree
from skimage.segmentation import watershed

# A room this much thicker than the streets beside it is no street.
THICK_SHARE, THICK_METRES = 1.3, 1.0
# Rooms thinner than this share of the streets beside them are their own corners.
CORNER_SHARE = 0.4
# A mouth this wide, as a share of the room's thickness, is no throat: both are one.
OPEN_MOUTH = 0.75
# Open to road along this share of its outline, a room is the middle of a crossing.
OPEN_OUTLINE = 0.3
# Between this and an open mouth, nothing tells whether the room is road.
DOUBTFUL_MOUTH = 0.5
# Stations beside a room that say how wide its streets are.
NEIGHBOURS = 20

STREET = 1


@dataclass(frozen=True)
class Rooms:
    """Ground of road regions out of the streets' reach, in connected pieces.

    Attributes
    ----------
    markers
        ``(h, w)`` int32: the core of each room, numbered from 2; 0 elsewhere.
    thickness
        ``(n,)`` float32 metres from a room's innermost pixel to the nearest line, by
        number; the first two are unused.
    thick
        ``(n,)`` bool: too thick to be street.
    """

    markers: np.ndarray
    thickness: np.ndarray
    thick: np.ndarray


def find_rooms(
    ground: np.ndarray,
    depth: np.ndarray,
    pixel: tuple[float, float],
    station_xy: np.ndarray,
    station_half_width: np.ndarray,
) -> Rooms:
    """Find the rooms and mark the core of each.

    Parameters
    ----------
    ground
        ``(h, w)`` uint8, 1 on ground of road regions that no street reaches.
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
    count, pieces = cv2.connectedComponents(ground, connectivity=4, ltype=cv2.CV_32S)
    filled = np.flatnonzero(pieces)
    piece, deep = pieces.ravel()[filled], depth.ravel()[filled]
    thickness = np.zeros(count, np.float32)
    np.maximum.at(thickness, piece, deep)
    at_peak = deep == thickness[piece]
    peak = np.zeros(count, np.int64)
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
    number = np.zeros(count, np.int32)
    number[room] = np.arange(2, room.sum() + 2)
    # The core keeps out of the throat, so that the floods meet there and not behind it.
    level = np.where(room, np.minimum(0.5 * thickness, street), np.inf).astype(np.float32)
    markers = np.where(depth >= level[pieces], number[pieces], 0)
    thick = thickness > THICK_SHARE * street + THICK_METRES
    return Rooms(
        markers,
        np.concatenate([np.zeros(2, np.float32), thickness[room]]),
        np.concatenate([[False, False], thick[room]]),
    )


def flood(depth: np.ndarray, markers: np.ndarray, domain: np.ndarray) -> np.ndarray:
    """Part a domain among markers, at the narrow places between them.

    Parameters
    ----------
    depth
        ``(h, w)`` float32 metres to the nearest line.
    markers
        ``(h, w)`` int32, positive where it is known whose ground it is.
    domain
        ``(h, w)`` bool: what to part. It is entered by its sides, not by its corners.

    Returns
    -------
    numpy.ndarray
        ``(h, w)`` int32: the marker each pixel of the domain fell to, 0 outside it and
        where no marker reaches.
    """
    undecided = domain & (markers == 0)
    # Markers count only where they touch what is undecided: the rest would wait in the queue.
    near = cv2.dilate(undecided.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    near &= domain
    flooded = watershed(-depth, np.where(near, markers, 0), mask=near)
    return np.where(undecided, flooded, np.where(domain, markers, 0))


@dataclass(frozen=True)
class Throat:
    """The opening between two basins.

    Attributes
    ----------
    half_width
        Metres from its middle to the nearest line: half of its width.
    border
        Pixel sides along which the two touch.
    """

    half_width: float
    border: int


def find_throats(basins: np.ndarray, depth: np.ndarray) -> dict[tuple[int, int], Throat]:
    """Measure the opening between each two basins that touch.

    Parameters
    ----------
    basins
        ``(h, w)`` int32 as `flood` returns them.
    depth
        ``(h, w)`` float32 metres to the nearest line.

    Returns
    -------
    dict
        From the lower and the higher number to the throat. The number 0 stands for lines
        and other regions.
    """
    throats: dict[tuple[int, int], Throat] = {}
    for after, before in (np.s_[:, 1:], np.s_[:, :-1]), (np.s_[1:], np.s_[:-1]):
        border = basins[after] != basins[before]
        here, there = basins[after][border], basins[before][border]
        low = np.minimum(here, there).astype(np.int64)
        high = np.maximum(here, there).astype(np.int64)
        height = np.minimum(depth[after][border], depth[before][border])
        keys, pair, sides = np.unique(low << 32 | high, return_inverse=True, return_counts=True)
        widest = np.zeros(len(keys), np.float32)
        np.maximum.at(widest, pair, height)
        for key, half, count in zip(keys.tolist(), widest.tolist(), sides.tolist(), strict=True):
            names = (key >> 32, key & 0xFFFFFFFF)
            known = throats.get(names, Throat(0.0, 0))
            throats[names] = Throat(max(known.half_width, half), known.border + count)
    return throats


def judge(rooms: Rooms, throats: dict[tuple[int, int], Throat]) -> tuple[np.ndarray, np.ndarray]:
    """Tell which rooms belong to the street, and of which nothing can be told.

    A room no thicker than a street is road if its mouth to road is as wide as itself, or if
    it is open to road along much of its outline, as the middle of a large crossing is.

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
    road = np.zeros(len(rooms.thick), bool)
    road[STREET] = True
    doubtful = np.zeros(len(rooms.thick), bool)
    outline = np.zeros(len(rooms.thick))
    for (one, two), throat in throats.items():
        outline[one] += throat.border
        outline[two] += throat.border
    directed = [(a, b, throat) for (a, b), throat in throats.items() if a > 0]
    directed += [(b, a, throat) for a, b, throat in directed]
    settled = False
    while not settled:
        settled = True
        for known, room, throat in directed:
            if not road[known] or road[room] or rooms.thick[room]:
                continue
            mouth = throat.half_width / rooms.thickness[room]
            if mouth >= OPEN_MOUTH or throat.border >= OPEN_OUTLINE * outline[room]:
                road[room], settled = True, False
            elif mouth >= DOUBTFUL_MOUTH:
                doubtful[room] = True
    return road, doubtful & ~road
