"""Several models whose probabilities are averaged, as one.

Imports no TensorFlow.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from roadmask.errors import InputError
from roadmask.files import sha256
from roadmask.model.card import Card, read_card
from roadmask.probability import CERTAIN

log = logging.getLogger(__name__)

# By how much the pixels that a network sees may differ from those it was trained on.
PIXEL_SIZE_SLACK = 0.05
# What models must have in common, and what it is called.
SHARED = {
    "bands": "sees the bands",
    "scale": "takes its bands from the limits",
    "classes": "knows the classes",
}


def read_joint_card(paths: Sequence[Path]) -> Card:
    """Read the cards of one or more models as the card of their mean.

    Parameters
    ----------
    paths
        The ``.keras`` files.

    Returns
    -------
    Card
        That of the first, with what must hold for all: the common multiple of the strides,
        the farthest reach, and as threshold the mean of the thresholds, a whole number of
        254ths.

    Raises
    ------
    InputError
        If a file holds no card, or the models can't be averaged because they see or tell
        different things.
    """
    cards = [read_card(path) for path in paths]
    first = cards[0]
    for path, card in zip(paths[1:], cards[1:], strict=True):
        _require_same(paths[0], first, path, card)
    if len(cards) == 1:
        return first
    thresholds = [card.threshold for card in cards if card.threshold is not None]
    threshold = None
    if thresholds:
        threshold = max(1, round(sum(thresholds) / len(thresholds) * CERTAIN)) / CERTAIN
        if len(set(thresholds)) > 1:
            log.info(
                "the models' thresholds are %s; their mean, %.3f, is taken",
                ", ".join(f"{value:.3f}" for value in thresholds),
                threshold,
            )
    reaches = [card.reach for card in cards if card.reach is not None]
    return replace(
        first,
        threshold=threshold,
        input_stride=math.lcm(*(card.input_stride for card in cards)),
        reach=max(reaches) if len(reaches) == len(cards) else None,
    )


def _require_same(first_path: Path, first: Card, path: Path, card: Card) -> None:
    for name, words in SHARED.items():
        mine, theirs = getattr(card, name), getattr(first, name)
        if mine != theirs:
            raise InputError(
                path,
                f"it {words} {_listed(mine)}, and {first_path} {_listed(theirs)}, "
                "so the two can't be averaged",
                "Name models in prediction.model that were trained on the same bands and classes",
            )
    here, there = card.pixel_metres, first.pixel_metres
    if here and there and abs(here / there - 1) > PIXEL_SIZE_SLACK:
        raise InputError(
            path,
            f"it was trained on pixels of {here:.3g} m, and {first_path} on {there:.3g} m, "
            "so the two can't be averaged",
            "Name models in prediction.model that were trained on pixels of one size",
        )


def _listed(values: Sequence[object] | None) -> str:
    return "none" if values is None else ", ".join(map(str, values))


def joint_name(paths: Sequence[Path]) -> str:
    """Return the names of one or more models as the rasters' tags have them."""
    return ",".join(path.name for path in paths)


def joint_sha256(paths: Sequence[Path]) -> str:
    """Return the hashes of one or more models as the rasters' tags have them."""
    return ",".join(sha256(path) for path in paths)
