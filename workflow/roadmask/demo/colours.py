"""The demo city's surfaces: red, green, blue and near infrared in full sun."""

from __future__ import annotations

from typing import Final

import numpy as np

Colour = tuple[int, int, int, int]
"""Red, green, blue, near infrared, 0 to 255."""

GRASS: Final[tuple[Colour, ...]] = (
    (102, 114, 74, 172),
    (116, 122, 84, 162),
    (92, 108, 68, 180),
)
SOIL: Final[Colour] = (138, 122, 100, 146)
CONCRETE: Final[Colour] = (174, 170, 161, 168)


def clipped(red: float, green: float, blue: float, near: float) -> Colour:
    """Round four values to a colour."""
    values = [max(0, min(255, round(value))) for value in (red, green, blue, near)]
    return values[0], values[1], values[2], values[3]


def shifted(colour: Colour, amount: float) -> Colour:
    """Lighten a colour by an amount, or darken it by a negative one."""
    return clipped(*(value + amount for value in colour))


def scaled(colour: Colour, factor: float) -> Colour:
    """Light a colour more or less."""
    return clipped(*(value * factor for value in colour))


def pick(rng: np.random.Generator, colours: tuple[Colour, ...], spread: float = 7.0) -> Colour:
    """Choose a colour and vary it a little."""
    return shifted(colours[int(rng.integers(len(colours)))], float(rng.normal(0, spread)))


def sidewalk(rng: np.random.Generator) -> Colour:
    """Draw the tone of a block's sidewalk, from new concrete to old and dirty."""
    return shifted(CONCRETE, float(rng.uniform(-12, 10)))


def asphalt(rng: np.random.Generator) -> Colour:
    """Draw the tone of a paved surface: a few years old, new, or concrete.

    Roads, parking lots, playgrounds and tarred roofs all draw from here, so that the tone
    alone tells nothing.
    """
    kind = int(rng.choice(3, p=[0.72, 0.16, 0.12]))
    low, high = ((92, 112), (70, 82), (122, 138))[kind]
    base = rng.uniform(low, high)
    warm = rng.uniform(0.0, 4.0) + (6.0 if kind == 2 else 0.0)
    return clipped(base + warm * 0.4, base, base - warm, base * rng.uniform(0.94, 1.02))
