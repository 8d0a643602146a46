"""Checks of the ``where`` of a vector layer, before GDAL sees it.

GDAL reads an attribute filter as OGR SQL, or as SQLite's for a GeoPackage, and the two
answer a mistake differently: where OGR SQL refuses, SQLite may take an unknown name in
double quotes for a text, or compare numbers as texts, and quietly return nothing. Here a
filter means the same in every format, or is refused with what to write instead.

A number in quotes against a field of numbers is fine in both, so ``STATUS = '2'`` works
whether a download has its codes as text or as number.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from roadmask.errors import SettingError

FieldKind = Literal["text", "number", "other"]

_TOKEN = re.compile(
    r"""
    (?P<space>\s+)
  | (?P<text>'(?:[^']|'')*')
  | (?P<name>"(?:[^"]|"")*"|`[^`]*`|\[[^\]]*\])
  | (?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
  | (?P<word>[^\W\d]\w*)
  | (?P<operator><=|>=|<>|!=|==|=|<|>)
  | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_NUMBER = re.compile(r"\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*\Z")
_OPERATORS_OF_ORDER = {"<", ">", "<=", ">="}
# Words that can't be a field without quotes.
_KEYWORDS = {
    "and",
    "or",
    "not",
    "in",
    "like",
    "ilike",
    "is",
    "null",
    "between",
    "escape",
    "cast",
    "as",
    "case",
    "when",
    "then",
    "else",
    "end",
}
# Words that are a field only where the layer has one of that name.
_SOFT_KEYWORDS = {"true", "false", "collate", "nocase", "glob", "regexp", "isnull", "notnull"}
# Names that OGR SQL or SQLite knows in every layer.
_BUILT_IN = {"fid", "rowid", "oid", "ogr_geometry", "ogr_style", "ogr_geom_wkt", "ogr_geom_area"}


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    start: int
    end: int

    @property
    def lower(self) -> str:
        return self.text.lower() if self.kind == "word" else self.text


@dataclass(frozen=True)
class _Comparison:
    """A field beside an operator and what it is compared with."""

    field: _Token
    operator: str
    literals: tuple[_Token, ...]


def check_filter(
    where: str,
    fields: Mapping[str, FieldKind],
    key: str,
    built_in: Sequence[str] = (),
    layer: str = "the layer",
) -> None:
    """Refuse a filter that names no field of the layer or compares unlike things.

    Parameters
    ----------
    where
        The filter.
    fields
        The layer's fields and what they hold.
    key
        The config key of the filter, for the message.
    built_in
        Further names that the layer's format knows, such as its column of ids.
    layer
        What the message calls the layer.

    Raises
    ------
    SettingError
        If a quote is not closed; a name is no field; a field of text is compared with a
        number, or ordered by one; a field of numbers is compared with a text that is none
        or by LIKE; anything is compared with NULL by an operator.
    """
    tokens = _tokens(where, key)
    if any(token.lower == "select" for token in tokens):
        return  # a subquery has tables and names of its own; SQLite checks it
    kinds = {name.lower(): kind for name, kind in fields.items()}
    known = _BUILT_IN | {name.lower() for name in built_in}
    names = [
        index
        for index in range(len(tokens))
        if _is_field(tokens, index, kinds)
        and _bare(tokens[index]).lower() not in known - set(kinds)
    ]
    for index in names:
        if _bare(tokens[index]).lower() not in kinds:
            _refuse_unknown(tokens[index], list(fields), key, layer)
    comparisons = [comparison for index in names for comparison in _comparisons(tokens, index)]
    _check_null(where, comparisons, key)
    _check_texts(where, comparisons, kinds, key)
    _check_numbers(where, comparisons, kinds, key)


def fields_of(where: str, fields: Sequence[str]) -> list[str]:
    """Return those of a layer's `fields` that the filter names, in the layer's order."""
    words = {_bare(token).lower() for token in _tokens(where, "where")}
    return [field for field in fields if field.lower() in words]


def _tokens(where: str, key: str) -> list[_Token]:
    tokens = [
        _Token(str(match.lastgroup), match.group(), match.start(), match.end())
        for match in _TOKEN.finditer(where)
        if match.lastgroup != "space"
    ]
    for token in tokens:
        if token.text in {"'", '"'}:
            raise SettingError(
                key,
                f"the quote at character {token.start + 1} of {where!r} is not closed",
                "Put a text in single quotes; a single quote inside it is written twice",
            )
    return tokens


def _bare(token: _Token) -> str:
    """Return the name without its quotes."""
    return token.text[1:-1].replace('""', '"') if token.kind == "name" else token.text


def _is_field(tokens: Sequence[_Token], index: int, kinds: Mapping[str, FieldKind]) -> bool:
    """Tell whether a token stands where only a field can."""
    token = tokens[index]
    if token.kind == "name":
        return True
    if token.kind != "word" or token.lower in _KEYWORDS:
        return False
    if index and tokens[index - 1].lower in {"as", "collate"}:  # a type or a collation
        return False
    if index + 1 < len(tokens) and tokens[index + 1].text == "(":  # a function
        return False
    return token.lower in kinds or token.lower not in _SOFT_KEYWORDS


def _literal(tokens: Sequence[_Token], index: int) -> tuple[_Token | None, int]:
    """Read a literal, with its sign, at `index`; return it and the index after it."""
    if index >= len(tokens):
        return None, index
    token = tokens[index]
    if token.text in {"-", "+"} and index + 1 < len(tokens) and tokens[index + 1].kind == "number":
        number = tokens[index + 1]
        return _Token("number", token.text + number.text, token.start, number.end), index + 2
    if token.kind in {"number", "text"} or token.lower == "null":
        return token, index + 1
    return None, index


def _comparisons(tokens: Sequence[_Token], index: int) -> list[_Comparison]:
    """Return what the field at `index` is compared with, on either side."""
    field = tokens[index]
    found = []
    if index >= 2 and tokens[index - 1].kind == "operator":
        literal, _ = _literal(tokens, index - 2)
        if literal is not None:
            found.append(_Comparison(field, tokens[index - 1].text, (literal,)))
    after = index + 1
    if after < len(tokens) and tokens[after].lower == "not":
        after += 1
    operator = tokens[after].lower if after < len(tokens) else ""
    if after < len(tokens) and tokens[after].kind == "operator":
        literal, _ = _literal(tokens, after + 1)
        if literal is not None:
            found.append(_Comparison(field, operator, (literal,)))
    elif operator in {"like", "ilike"}:
        literal, _ = _literal(tokens, after + 1)
        found.append(_Comparison(field, operator, (literal,) if literal else ()))
    elif operator == "between":
        first, after = _literal(tokens, after + 1)
        second, _ = _literal(tokens, after + 1)
        found.append(_Comparison(field, operator, tuple(x for x in (first, second) if x)))
    elif operator == "in":
        literals = []
        after += 2
        literal, after = _literal(tokens, after)
        while literal is not None:
            literals.append(literal)
            literal, after = _literal(tokens, after + 1)
        found.append(_Comparison(field, operator, tuple(literals)))
    return found


def _refuse_unknown(token: _Token, fields: list[str], key: str, layer: str) -> None:
    name = _bare(token)
    listed = listed_fields(name, fields)
    if token.text.startswith('"'):
        listed += f". If the text is meant, use single quotes: '{name}'"
    raise SettingError(key, f"{layer} has no field {name}", listed)


def listed_fields(name: str, fields: Sequence[str]) -> str:
    """Say which fields there are, and which of them may be meant by a name that is none."""
    if not fields:
        return "It has no fields at all: is its .dbf missing?"
    by_lower = {field.lower(): field for field in fields}
    # A shapefile cuts names at 10 characters; its user may know the whole name.
    near = [by_lower[name[:10].lower()]] if name[:10].lower() in by_lower else []
    near += [by_lower[x] for x in difflib.get_close_matches(name.lower(), by_lower, n=1)]
    question = f"Did you mean {near[0]}? " if near else ""
    return f"{question}Its fields are {', '.join(fields)}"


def _check_null(where: str, comparisons: Sequence[_Comparison], key: str) -> None:
    for comparison in comparisons:
        if any(literal.lower == "null" for literal in comparison.literals):
            name = comparison.field.text
            raise SettingError(
                key,
                f"in {where!r} {name} is compared with NULL, which is never true",
                f"Write {name} IS NULL or {name} IS NOT NULL",
            )


def _check_texts(
    where: str, comparisons: Sequence[_Comparison], kinds: Mapping[str, FieldKind], key: str
) -> None:
    changes: list[tuple[_Token, str]] = []
    fields = []
    for comparison in comparisons:
        if kinds.get(_bare(comparison.field).lower()) != "text":
            continue
        name = comparison.field.text
        if comparison.operator in _OPERATORS_OF_ORDER | {"between"}:
            # As texts, '100' comes before '30'.
            numbers = [x for x in comparison.literals if _NUMBER.match(_unquoted(x))]
            wanted = [(x, _unquoted(x).strip()) for x in numbers]
            if numbers:
                wanted.append((comparison.field, f"CAST({name} AS float)"))
        else:
            numbers = [x for x in comparison.literals if x.kind == "number"]
            wanted = [(x, f"'{x.text}'") for x in numbers]
        if wanted:
            fields.append(name)
            changes += wanted
    if changes:
        unique = list(dict.fromkeys(fields))
        raise SettingError(
            key,
            f"in {where!r} a number is compared with {', '.join(unique)}, which "
            f"{'holds' if len(unique) == 1 else 'hold'} text in this file",
            f"Write {_replaced(where, changes)}",
        )


def _check_numbers(
    where: str, comparisons: Sequence[_Comparison], kinds: Mapping[str, FieldKind], key: str
) -> None:
    for comparison in comparisons:
        if kinds.get(_bare(comparison.field).lower()) != "number":
            continue
        name = comparison.field.text
        if comparison.operator in {"like", "ilike"}:
            raise SettingError(
                key,
                f"in {where!r} {name}, which holds numbers in this file, is compared by "
                f"{comparison.operator.upper()}, which is for text",
                f"Write {_replaced(where, [(comparison.field, f'CAST({name} AS character)')])}, "
                f"or compare the number",
            )
        for literal in comparison.literals:
            if literal.kind == "text" and not _NUMBER.match(_unquoted(literal)):
                raise SettingError(
                    key,
                    f"in {where!r} {name}, which holds numbers in this file, is compared with "
                    f"the text {literal.text}",
                    f"Compare {name} with a number, such as {name} = 2",
                )


def _unquoted(token: _Token) -> str:
    return token.text[1:-1].replace("''", "'") if token.kind == "text" else token.text


def _replaced(where: str, changes: Sequence[tuple[_Token, str]]) -> str:
    for token, text in sorted(set(changes), key=lambda change: -change[0].start):
        where = where[: token.start] + text + where[token.end :]
    return where
