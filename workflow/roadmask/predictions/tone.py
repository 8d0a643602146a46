"""Bringing pictures from elsewhere to the tone that a network was trained on.

A network that saw one flight reads brightness and contrast as that flight had them. Another
camera, another light or haze shift the means and deviations of the bands, and its answers
collapse. Moving both back, band by band and linearly, cures most of it (Reinhard et al.,
Color Transfer between Images, 2001, who do it in another colour space).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from roadmask.errors import InputError
from roadmask.model.card import Card
from roadmask.tone.flight import Flight

log = logging.getLogger("roadmask.predictions")

# Means that differ by less than this share of the deviation trained on, and deviations by less
# than this factor, are left alone: other ground of one flight differs as much, and by default
# training changes the light as much at random.
TOLERANCE = 0.1
# A flight is stretched by no more than this factor: little ground may be all alike.
MOST_GAIN = 4.0
LEVELS = 256


@dataclass(frozen=True)
class Match:
    """How a flight's pictures are changed.

    Attributes
    ----------
    table
        For each band, the level that stands in for each of the 256: uint8 ``(bands, 256)``.
    description
        Means and deviations of the bands, before and after.
    """

    table: np.ndarray
    description: str

    def applied(self, picture: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """Return a picture in its new levels; what is no picture stays.

        Parameters
        ----------
        picture
            uint8 ``(height, width, bands)``.
        valid
            bool ``(height, width)``.
        """
        moved = self.table[np.arange(len(self.table)), picture]
        matched: np.ndarray = np.where(valid[:, :, np.newaxis], moved, picture)
        return matched


def matches_of(flights: Sequence[Flight], card: Card, model: str) -> dict[str, Match]:
    """Return how each scene is changed, by its name.

    Parameters
    ----------
    flights
        Those of the scenes.
    card
        Of the network.
    model
        Its name, for messages.

    Returns
    -------
    dict
        Without the scenes that stay as they are.

    Raises
    ------
    InputError
        If a flight was measured on other bands.
    """
    if not flights:
        return {}
    if card.band_mean is None or card.band_deviation is None:
        log.warning(
            "%s does not say how bright the pictures were that it was trained on, so "
            "prediction.tone: match changes nothing; train it again where pictures from "
            "elsewhere are not recognized",
            model,
        )
        return {}
    trained = tuple(zip(card.band_mean, card.band_deviation, strict=True))
    matches: dict[str, Match] = {}
    for flight in flights:
        if len(flight.moments) != len(trained):
            raise InputError(
                flight.name,
                f"it was measured on {len(flight.moments)} bands, and the network sees "
                f"{len(trained)}",
                "Remove the folder tone from the results and run again",
            )
        if not flight.pixels or is_alike(flight.moments, trained):
            log.info("%s: as bright as what the network was trained on", _described(flight))
            continue
        match = match_of(flight.moments, trained)
        log.info("%s: brought to the tone trained on: %s", _described(flight), match.description)
        matches |= dict.fromkeys(flight.scenes, match)
    return matches


def _described(flight: Flight) -> str:
    others = len(flight.scenes) - 1
    return flight.scenes[0] if not others else f"{flight.scenes[0]} and {others} more scenes"


def is_alike(
    moments: Sequence[tuple[float, float]], trained: Sequence[tuple[float, float]]
) -> bool:
    """Tell whether all bands' means and deviations agree within `TOLERANCE`."""
    return all(
        abs(mean - wanted) <= TOLERANCE * wanted_deviation
        and abs(deviation - wanted_deviation) <= TOLERANCE * wanted_deviation
        for (mean, deviation), (wanted, wanted_deviation) in zip(moments, trained, strict=True)
    )


def match_of(
    moments: Sequence[tuple[float, float]], trained: Sequence[tuple[float, float]]
) -> Match:
    """Move each band's mean and deviation to those trained on.

    Parameters
    ----------
    moments, trained
        Mean and deviation of each band, in levels.

    Returns
    -------
    Match
        With the nearest levels; 0 and 255 where they lie beyond.
    """
    levels = np.arange(LEVELS, dtype=np.float64)
    table = np.empty((len(moments), LEVELS), dtype=np.uint8)
    changes = []
    for band, ((mean, deviation), (wanted, wanted_deviation)) in enumerate(
        zip(moments, trained, strict=True)
    ):
        gain = gain_of(deviation, wanted_deviation)
        moved = (levels - mean) * gain + wanted
        table[band] = np.rint(np.clip(moved, 0, LEVELS - 1))
        changes.append(f"{mean:.1f} ± {deviation:.1f} to {wanted:.1f} ± {gain * deviation:.1f}")
    return Match(table, ", ".join(changes))


def gain_of(deviation: float, wanted: float) -> float:
    """Return the factor between two deviations, within `MOST_GAIN` either way.

    Where one of them is 0, all was one level there, which says nothing: the factor is 1.
    """
    if not deviation or not wanted:
        return 1.0
    return min(max(wanted / deviation, 1 / MOST_GAIN), MOST_GAIN)
