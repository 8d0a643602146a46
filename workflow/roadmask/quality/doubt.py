"""One number for the doubt about a tile's label, and what speaks against it most.

Each kind of evidence raises the logarithm of the odds that a label is bad (an IoU with the
truth under 0.9), up to its weight: logistic regression on signs that saturate, none of which
can lower the doubt. The weights were fitted on cities with planted faults
(`benchmarks/planted_faults.py`) by `benchmarks/fit_doubt.py`, which prints the table below.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from roadmask.quality.columns import LEAST_ROAD, Evidence, PieceSums, Shares

# Points below which a sign is not said to speak against a label.
WORTH_SAYING = 0.5


@dataclass(frozen=True)
class Sign:
    """One kind of evidence.

    Attributes
    ----------
    words
        What it says of a tile.
    weight
        The points that it can add to the logarithm of the odds.
    half
        The value at which it adds half of them.
    """

    words: str
    weight: float
    half: float

    def points(self, value: float) -> float:
        """Return what a value adds; nothing where it could not be measured."""
        return self.weight * saturated(value, self.half)


def saturated(value: float, half: float) -> float:
    """Return how far a value speaks against a label, from 0 to 1, half way at `half`."""
    if math.isnan(value) or value <= 0:
        return 0.0
    ratio = (value / half) ** 2
    return ratio / (1 + ratio)


@dataclass(frozen=True)
class Doubt:
    """How doubtful a label is.

    Attributes
    ----------
    number
        From 0 to 1.
    reason
        What speaks against it most; nothing where little does.
    """

    number: float
    reason: str


# Logarithm of the odds where nothing speaks against a label.
BASE = -6.44
SIGNS = {
    # Not fitted, as nothing planted moves a whole sheet: its offset is known to a pixel.
    "sheet_off": Sign("all labels of its sheet lie beside the picture", 8.0, 0.1),
    "blind": Sign("less bears its outlines out than elsewhere on the sheet", 1.23, 0.05),
    "agreement": Sign("its outlines follow edges less than elsewhere on the sheet", 3.05, 0.22),
    "like_road": Sign("ground looks like road where it has none", 2.97, 0.05),
    "looks": Sign("what looks like road lies elsewhere", 3.16, 0.08),
    "false": Sign("its road surely looks like other ground", 3.69, 0.06),
    "lost": Sign("ground surely looks like road where it has none", 1.95, 0.05),
    "unknown": Sign("much of it is not known", 3.95, 0.05),
    "thick": Sign("its road is wider than streets are here", 0.87, 0.78),
    "sliver": Sign("a pixel more or less makes much of its road", 4.89, 2),
    "far": Sign("its road lies far from any centerline", 0.72, 0.05),
    "attribute": Sign("its streets have another width than their attribute says", 0.62, 0.05),
    "outer_lines": Sign("street lines run where it has no road", 5.93, 0.05),
    "inner_lines": Sign("street lines run inside its road", 2.79, 0.05),
    "cut": Sign("ground was cut off its road at a gap", 2.79, 250),
    "beside": Sign("labels beside it are doubtful", 0.70, 0.3),
    "close_call": Sign("the rule that decided it was a close call", 0.58, 0.05),
}


def doubt(shares: Shares, evidence: Evidence, pieces: PieceSums) -> Doubt:
    """Weigh all that is known of a tile.

    Parameters
    ----------
    shares, evidence, pieces
        What was measured of it.
    """
    if shares.nodata_share == 1 or shares.unknown_share == 1:
        return Doubt(0.0, "")
    values = readings(shares, evidence, pieces)
    found = {name: sign.points(values[name]) for name, sign in SIGNS.items()}
    odds = BASE + math.fsum(found.values())
    worst = max(found, key=lambda name: found[name])
    reason = SIGNS[worst].words if found[worst] >= WORTH_SAYING else ""
    return Doubt(1 / (1 + math.exp(-odds)), reason)


def readings(shares: Shares, evidence: Evidence, pieces: PieceSums) -> dict[str, float]:
    """Return the value of every kind of evidence, the more the worse; NaN where it is missing."""
    return {
        "sheet_off": evidence.sheet_loss,
        "blind": evidence.blind_excess,
        "agreement": evidence.edge_shortfall,
        "like_road": evidence.like_road_share,
        "looks": evidence.looks_loss,
        "false": evidence.surely_other_share,
        "lost": evidence.surely_road_share,
        "unknown": shares.unknown_share,
        "thick": evidence.thick_share,
        # Of the road that stays: twice as much, and ten times, are far apart.
        "sliver": evidence.sliver_share / max(1 - evidence.sliver_share, LEAST_ROAD),
        "far": evidence.far_share,
        # Where the width jumps, levels or yards join the street: the attribute says nothing new.
        "attribute": evidence.attribute_share - evidence.jump_share,
        "outer_lines": evidence.outer_line_share,
        "inner_lines": evidence.inner_line_share,
        # Metres of throats weigh by the road that is left.
        "cut": pieces.cut_width_m / max(shares.road_share, LEAST_ROAD),
        "beside": evidence.doubt_beside,
        "close_call": pieces.doubtful_share,
    }
