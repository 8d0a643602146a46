"""From ground on single sheets to places, each with how certain it is.

A place is certain when everything that makes a street speaks for it; each piece of evidence is
a factor from 0 to 1, and the confidence is their product, so that one that fails is enough:

- the picture: how far below even odds it shows a road where the map has one, or how much more
  of a road it shows than beside it where the map has none;
- the length: a street is longer than it is wide, and in full confidence half as long again as
  the least length;
- across (``demolished``): all of the carriageway is gone, not a side of it;
- the shape (``new``): as wide everywhere, and longer than wide, as a parking lot is not;
- the connection (``new``): it begins at a road of the map, and runs beside none;
- the label (``paper``): it is known there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import shapely
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from shapely.geometry.base import BaseGeometry

from roadmask.changes.finding import Candidate, Kind

SURE_LENGTH = 1.5
"""Of the least length: from here on the length takes no confidence."""
ACROSS = (0.5, 0.8)
EVENNESS = (0.4, 0.7)
ELONGATION = (1.5, 3.0)
BESIDE = (0.25, 0.5)
UNCONNECTED = 0.5
"""What is left of the confidence of a new street that begins at no road."""


@dataclass(frozen=True)
class Limits:
    """What counts as a change: metres, metres, and a share."""

    min_length: float
    min_width: float
    min_confidence: float


@dataclass(frozen=True)
class Place:
    """A place where map and picture disagree, joined across sheets.

    Attributes
    ----------
    kind
        ``demolished``, ``paper`` or ``new``.
    ground
        MultiPolygon, in the CRS of all places.
    scenes
        The sheets that it lies on, sorted.
    area, length, width
        Square metres and metres.
    shown, around
        How much of a road the picture shows there, and beside it.
    confidence
        0 to 1.
    features
        Metres of each centerline inside, by its ``source_fid``.
    flight
        The pictures that show it, or the lack of it.
    """

    kind: Kind
    ground: BaseGeometry
    scenes: tuple[str, ...]
    area: float
    length: float
    width: float
    shown: float
    around: float
    confidence: float
    features: dict[int, float] = field(default_factory=dict)
    flight: str = ""


def find_places(candidates: Sequence[Candidate], tolerance: float, limits: Limits) -> list[Place]:
    """Join candidates across sheets and keep what is long and certain enough.

    Parameters
    ----------
    candidates
        Of all sheets, in one CRS.
    tolerance
        How far apart two parts of one street may be, in the CRS's unit.
    limits
        What counts.

    Returns
    -------
    list of Place
        Most certain first; the order is the same in every run.
    """
    places = [_judged(group, limits) for group in _joined(candidates, tolerance)]
    kept = [
        place
        for place in places
        if place.length >= limits.min_length
        and place.width >= limits.min_width
        and place.confidence >= limits.min_confidence
    ]
    return sorted(
        kept,
        key=lambda place: (
            -round(place.confidence, 6),
            -place.length,
            place.kind,
            place.flight,
            place.ground.wkt,
        ),
    )


def _joined(candidates: Sequence[Candidate], tolerance: float) -> list[list[Candidate]]:
    """Group candidates of one kind and flight that touch."""
    if not candidates:
        return []
    ground = np.array([candidate.ground for candidate in candidates], dtype=object)
    kinds = np.array([(candidate.kind, candidate.flight) for candidate in candidates])
    one, other = shapely.STRtree(ground).query(ground, predicate="dwithin", distance=tolerance)
    alike = (kinds[one] == kinds[other]).all(axis=1)
    links = coo_array(
        (np.ones(int(alike.sum()), bool), (one[alike], other[alike])), shape=(len(ground),) * 2
    )
    count, group = connected_components(links, directed=False)
    return [
        [candidates[k] for k in np.flatnonzero(group == number).tolist()] for number in range(count)
    ]


def _judged(parts: list[Candidate], limits: Limits) -> Place:
    """Put parts together and weigh what is known of them."""
    whole = _merged(parts)
    length = whole.area / whole.width
    return Place(
        kind=whole.kind,
        ground=whole.ground,
        scenes=tuple(sorted({part.scene for part in parts})),
        area=whole.area,
        length=length,
        width=whole.width,
        shown=whole.shown,
        around=whole.around,
        confidence=confidence(whole, length, limits.min_length),
        features=whole.features,
        flight=whole.flight,
    )


def _merged(parts: list[Candidate]) -> Candidate:
    """Return parts as one; what is a mean of each becomes a mean weighted by area."""
    total = sum(part.area for part in parts)

    def mean(values: Iterable[float]) -> float:
        pairs = zip(values, parts, strict=True)
        return sum(value * part.area for value, part in pairs) / total

    ground = shapely.union_all([part.ground for part in parts])
    # Sheets may overlap: their ground counts once.
    once = float(ground.area) / sum(float(part.ground.area) for part in parts)
    features: dict[int, float] = {}
    for part in parts:
        for fid, metres in part.features.items():
            features[fid] = features.get(fid, 0.0) + once * metres
    return replace(
        parts[0],
        ground=ground,
        area=once * total,
        width=mean(part.width for part in parts),
        shown=mean(part.shown for part in parts),
        around=mean(part.around for part in parts),
        evenness=mean(part.evenness for part in parts),
        across=mean(part.across for part in parts),
        contact=mean(part.contact for part in parts),
        doubt=mean(part.doubt for part in parts),
        features=features,
    )


def confidence(found: Candidate, length: float, min_length: float) -> float:
    """Return how certain a disagreement is, 0 to 1.

    Parameters
    ----------
    found
        What was measured.
    length, min_length
        Its length and the least one, in metres.
    """
    long_enough = _ramp(length, 0, SURE_LENGTH * min_length)
    if found.kind == "new":
        contrast = max(found.shown - found.around, 0.0)
        shape = _ramp(found.evenness, *EVENNESS) * _ramp(length / found.width, *ELONGATION)
        beside = 1 - _ramp(found.contact, *BESIDE)
        connected = UNCONNECTED if found.contact == 0 else 1.0
        return contrast * long_enough * shape * beside * connected
    # Even odds are no evidence.
    missing = max(1 - 2 * found.shown, 0.0) * long_enough
    if found.kind == "demolished":
        return missing * _ramp(found.across, *ACROSS)
    return missing * (1 - found.doubt / 2)


def _ramp(value: float, low: float, high: float) -> float:
    """Return 0 up to `low`, 1 from `high` on, and what lies between in between."""
    return float(np.clip((value - low) / (high - low), 0.0, 1.0))
