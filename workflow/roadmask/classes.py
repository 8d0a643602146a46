"""The classes of a label, and how a label source writes them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from roadmask.errors import SettingError

OTHER_NAME = "other"
IGNORE_NAME = "ignore"
MOST_CLASSES = 254
KEY = "classes"

Colour = tuple[int, int, int]
Value = float | Colour


@dataclass(frozen=True)
class ClassTable:
    """Classes in their order, and their values in a label source.

    Attributes
    ----------
    names
        Names of the classes from 1 on; ``other``, which is 0, is not among them.
    values
        For each class, from 0 on, its values in the source: numbers or colours. Those of
        ``other`` may be empty.
    ignored
        Values that become 255, not known.
    """

    names: tuple[str, ...]
    values: tuple[tuple[Value, ...], ...]
    ignored: tuple[Value, ...] = ()

    @classmethod
    def parse(cls, mapping: Mapping[str, Any]) -> ClassTable:
        """Read the config's ``classes``.

        Parameters
        ----------
        mapping
            From name to a number, a colour ``[r, g, b]``, or a list of these. A list of
            three numbers is a colour; three numbers are written ``[[1], [2], [3]]``.
            ``other`` and ``ignore`` may be among the names.

        Raises
        ------
        SettingError
            If there is no class, a value is neither number nor colour, or one value
            belongs to two classes.
        """
        parsed = {name: _values(value, name) for name, value in mapping.items()}
        names = tuple(name for name in parsed if name not in {OTHER_NAME, IGNORE_NAME})
        if not names:
            raise SettingError(KEY, "there is no class but other", "Write one, such as road: 1")
        if len(names) > MOST_CLASSES:
            raise SettingError(KEY, f"{len(names)} classes; a mask holds {MOST_CLASSES} at most")
        owners: dict[Value, str] = {}
        for name, values in parsed.items():
            for value in values:
                if owners.setdefault(value, name) != name:
                    shown = list(value) if isinstance(value, tuple) else f"{value:g}"
                    raise SettingError(
                        KEY, f"the value {shown} belongs to {owners[value]} and to {name}"
                    )
        table = cls(
            names,
            tuple(parsed.get(name, ()) for name in (OTHER_NAME, *names)),
            parsed.get(IGNORE_NAME, ()),
        )
        if len({isinstance(value, tuple) for value in owners}) > 1:
            raise SettingError(
                KEY,
                "some values are numbers and some are colours",
                "Write all of them as the label raster has them",
            )
        return table

    @property
    def all_names(self) -> tuple[str, ...]:
        """Names by value in a mask: ``other`` and the classes."""
        return (OTHER_NAME, *self.names)

    @property
    def outputs(self) -> int:
        """Outputs of a network: one sigmoid, or a softmax over ``other`` and the classes."""
        return 1 if len(self.names) == 1 else len(self.names) + 1

    @property
    def in_colours(self) -> bool:
        """Whether the label source is colour-coded."""
        return isinstance(self.values[1][0], tuple)

    @property
    def by_threshold(self) -> bool:
        """Whether the label source is a picture of one class, cut at a threshold."""
        return len(self.names) == 1 and len(self.values[1]) == 1 and not self.in_colours


def _values(value: object, name: str) -> tuple[Value, ...]:
    """Return the number, the colour, or the several of them that `value` stands for."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        return (_number(value, name),)
    if len(value) == 3 and all(_is_number(x) for x in value):
        return (_colour(value, name),)
    if not value:
        raise SettingError(f"{KEY}.{name}", "no value", "Write a number or a colour [r, g, b]")
    values: list[Value] = []
    for item in value:
        if isinstance(item, Sequence) and not isinstance(item, str) and len(item) != 1:
            values.append(_colour(item, name))
        else:
            values.append(_number(item[0] if isinstance(item, Sequence) else item, name))
    return tuple(dict.fromkeys(values))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _number(value: Any, name: str) -> float:  # noqa: ANN401 (whatever the config holds)
    if not _is_number(value):
        raise SettingError(
            f"{KEY}.{name}",
            f"{value!r} is neither a number nor a colour",
            "Write the class's value in the label raster, or its colour [r, g, b]",
        )
    return float(value)


def _colour(value: Sequence[Any], name: str) -> Colour:
    if len(value) == 3 and all(_is_number(x) and x == int(x) and 0 <= x <= 255 for x in value):
        return (int(value[0]), int(value[1]), int(value[2]))
    raise SettingError(
        f"{KEY}.{name}",
        f"{list(value)} is no colour",
        "Write red, green and blue from 0 to 255; several values as [[1], [2]]",
    )
