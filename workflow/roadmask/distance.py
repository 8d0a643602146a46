"""Ground distances that carry their unit."""

from __future__ import annotations

import re
from dataclasses import dataclass

from roadmask.errors import SettingError

METRES_PER_UNIT = {
    "m": 1.0,
    "cm": 0.01,
    "km": 1000.0,
    "ft": 0.3048,
    "us-ft": 1200 / 3937,
    "in": 0.0254,
    "yd": 0.9144,
    "mi": 1609.344,
}
UNITS = (*METRES_PER_UNIT, "px")
PATTERN = r"^\s*(\d+(?:\.\d*)?|\.\d+)\s*(" + "|".join(UNITS) + r")\s*$"


@dataclass(frozen=True)
class Distance:
    """A length on the ground, or in pixels.

    Attributes
    ----------
    value
        The number as written.
    unit
        One of `UNITS`. ``ft`` is the international foot, ``us-ft`` the US survey foot;
        they differ by 2 parts in a million.
    """

    value: float
    unit: str

    @property
    def metres(self) -> float:
        """The length in metres.

        Raises
        ------
        ValueError
            If the unit is the pixel, which has no length without a grid.
        """
        if self.unit == "px":
            raise ValueError(f"{self} has no length in metres without a grid")
        return self.value * METRES_PER_UNIT[self.unit]

    def on_ground(self, pixel_metres: float) -> float:
        """Return the length in metres on a grid whose pixel measures `pixel_metres`."""
        return self.value * pixel_metres if self.unit == "px" else self.metres

    def pixels(self, pixel_metres: float) -> float:
        """Return the length in pixels of `pixel_metres` metres each."""
        return self.value if self.unit == "px" else self.metres / pixel_metres

    def __str__(self) -> str:
        return f"{self.value:g} {self.unit}"


def parse_distance(text: str, key: str = "distance") -> Distance:
    """Read a distance such as ``"60 ft"``, ``"18 m"`` or ``"40 px"``.

    Parameters
    ----------
    text
        A number and a unit of `UNITS`.
    key
        The config key it comes from, for the error message.

    Raises
    ------
    SettingError
        If it is no such text.
    """
    match = re.match(PATTERN, text)
    if match is None:
        raise SettingError(
            key,
            f"{text!r} is no distance with a unit",
            f'Write a number and one of {", ".join(UNITS)}, such as "60 ft"',
        )
    return Distance(float(match.group(1)), match.group(2))
