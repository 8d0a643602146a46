"""The classes of a label, and how a label source writes them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, TypeGuard

from roadmask.errors import SettingError

OTHER_NAME = "other"
IGNORE_NAME = "ignore"
# In tables and legends these mean 255.
RESERVED_NAMES = frozenset({"", "unknown", "not known"})
MOST_CLASSES = 254
KEY = "classes"

Colour = tuple[int, int, int]
Value = float | str | Colour

HEX_COLOUR = re.compile(r"#([0-9a-fA-F]{2})([0-9a-fA-F]{2})([0-9a-fA-F]{2})")
# Not with leading zeros: 007 is a code.
NUMBER = re.compile(r"[-+]?(0|[1-9]\d*)(\.\d*)?")


@dataclass(frozen=True)
class ClassTable:
    """Classes in their order, and their values in a label source.

    Attributes
    ----------
    names
        Names of the classes from 1 on; ``other``, which is 0, is not among them.
    values
        For each class, from 0 on, its values in the source: colours, or numbers and texts.
        Those of ``other`` may be empty.
    ignored
        Values that become 255, not known.
    listed
        All names in the order in which the config has them, ``other`` and ``ignore``
        included where they stand there.
    """

    names: tuple[str, ...]
    values: tuple[tuple[Value, ...], ...]
    ignored: tuple[Value, ...] = ()
    listed: tuple[str, ...] = ()

    @classmethod
    def parse(cls, mapping: Mapping[str, Any]) -> ClassTable:
        """Read the config's ``classes``.

        Parameters
        ----------
        mapping
            From name to a number, a text, a colour (``[r, g, b]`` or ``"#rrggbb"``), or a
            list of these. A list of three numbers is a colour; three numbers are written
            ``[[1], [2], [3]]``. ``other`` and ``ignore`` may be among the names.

        Raises
        ------
        SettingError
            If there is no class, a value is neither number, text nor colour, or one value
            belongs to two classes.
        """
        parsed = {name: _values(value, name) for name, value in mapping.items()}
        names = tuple(name for name in parsed if name not in {OTHER_NAME, IGNORE_NAME})
        if not names:
            raise SettingError(KEY, "there is no class but other", "Write one, such as road: 1")
        reserved = [name for name in names if name.strip().lower() in RESERVED_NAMES]
        if reserved:
            raise SettingError(
                KEY,
                f"a class can't be called {reserved[0]!r}, which stands for what is not known",
                f"Write its values under {IGNORE_NAME}, or give it another name",
            )
        if len(names) > MOST_CLASSES:
            raise SettingError(KEY, f"{len(names)} classes; a mask holds {MOST_CLASSES} at most")
        owners: dict[Value, str] = {}
        for name, values in parsed.items():
            for value in values:
                if owners.setdefault(value, name) != name:
                    raise SettingError(
                        KEY, f"the value {shown(value)} belongs to {owners[value]} and to {name}"
                    )
        table = cls(
            names,
            tuple(parsed.get(name, ()) for name in (OTHER_NAME, *names)),
            parsed.get(IGNORE_NAME, ()),
            tuple(parsed),
        )
        if len({isinstance(value, tuple) for value in owners}) > 1:
            raise SettingError(
                KEY,
                "some values are colours and some are not",
                "Write all of them as the label source has them",
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

    @property
    def texts(self) -> tuple[str, ...]:
        """The values that are texts, which only a field of polygons can hold."""
        everything = (*self.values, self.ignored)
        return tuple(x for values in everything for x in values if isinstance(x, str))

    @property
    def colours(self) -> tuple[Colour | None, ...]:
        """The first colour of each class from 1 on, None where the source has no colours."""
        firsts = (values[0] for values in self.values[1:])
        return tuple(value if isinstance(value, tuple) else None for value in firsts)

    def in_order(self, unknown: int) -> list[tuple[Value, int]]:
        """Return pairs of a value and its label, in the order in which the config has them.

        Parameters
        ----------
        unknown
            The label of values to be ignored.
        """
        labels = {name: label for label, name in enumerate(self.all_names)}
        pairs = []
        for name in self.listed:
            values = self.ignored if name == IGNORE_NAME else self.values[labels[name]]
            pairs += [(value, labels.get(name, unknown)) for value in values]
        return pairs


def shown(value: Value) -> str:
    """Return a value as it is written in the config."""
    if isinstance(value, tuple):
        return str(list(value))
    return value if isinstance(value, str) else f"{value:.12g}"


def field_value(value: object) -> float | str | None:
    """Return what an attribute of a feature, or a text in the config, is compared by.

    Numbers and texts that are such numbers are the same, since codes arrive as either,
    depending on the download. Texts with leading zeros stay texts.

    Returns
    -------
    float or str or None
        None where there is no value: null, NaN, or a blank text.
    """
    if _is_number(value):
        return float(value)
    if value is None or (isinstance(value, Real) and math.isnan(value)):
        return None
    text = str(value).strip()
    if NUMBER.fullmatch(text):
        return float(text)
    return text or None


def _values(value: object, name: str) -> tuple[Value, ...]:
    """Return the number, text or colour, or the several of them, that `value` stands for."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        return (_single(value, name),)
    if len(value) == 3 and all(_is_number(x) for x in value):
        return (_colour(value, name),)
    if not value:
        raise SettingError(f"{KEY}.{name}", "no value", "Write a number or a colour [r, g, b]")
    values: list[Value] = []
    for item in value:
        if isinstance(item, Sequence) and not isinstance(item, str):
            values.append(_single(item[0], name) if len(item) == 1 else _colour(item, name))
        else:
            values.append(_single(item, name))
    return tuple(dict.fromkeys(values))


def _is_number(value: object) -> TypeGuard[float]:
    # NumPy's numbers are real ones too.
    is_real = not isinstance(value, bool) and isinstance(value, Real)
    return is_real and math.isfinite(value)  # type: ignore[arg-type]


def _single(value: object, name: str) -> Value:
    if isinstance(value, str):
        in_hex = HEX_COLOUR.fullmatch(value.strip())
        if in_hex:
            red, green, blue = (int(part, 16) for part in in_hex.groups())
            return red, green, blue
    found = field_value(value) if isinstance(value, str) or _is_number(value) else None
    if found is None:
        raise SettingError(
            f"{KEY}.{name}",
            f"{value!r} is neither a number, a text nor a colour",
            "Write the class's value in the label source, or its colour [r, g, b]; what YAML "
            'takes for something else, such as yes, in quotes: "yes"',
        )
    return found


def _colour(value: Sequence[Any], name: str) -> Colour:
    if len(value) == 3 and all(_is_number(x) and x == int(x) and 0 <= x <= 255 for x in value):
        return (int(value[0]), int(value[1]), int(value[2]))
    raise SettingError(
        f"{KEY}.{name}",
        f"{list(value)} is no colour",
        "Write red, green and blue from 0 to 255; several values as [[1], [2]]",
    )
