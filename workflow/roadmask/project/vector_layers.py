"""The project's vector layers, each with the look that suits it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import pyogrio
from rasterio.coords import BoundingBox
from rasterio.crs import CRS

from roadmask.errors import InputError
from roadmask.project import styles
from roadmask.project.document import Layer, relative
from roadmask.project.styles import Rgba, Symbol

REMEDY = "Remove it and run again"
# From this scale on features that only a close look tells apart are drawn, and from the second
# on what is written beside them.
CLOSE = 25_000
LEGIBLE = 4_000

ROAD: Rgba = (240, 110, 30, 255)
OTHER: Rgba = (70, 90, 110, 255)
UNKNOWN: Rgba = (200, 40, 160, 255)
INK: Rgba = (20, 20, 20, 255)
WHITE: Rgba = (255, 255, 255, 255)
BLUE: Rgba = (25, 95, 200, 255)
# How sure a prediction is from which probability on: from red over yellow to blue.
SURE: tuple[tuple[float, Rgba], ...] = (
    (0.0, (200, 30, 45, 255)),
    (0.6, (245, 150, 30, 255)),
    (0.8, (115, 180, 215, 255)),
    (0.95, BLUE),
)
BESIDE = {"Polygon": styles.OUTSIDE, "Line": styles.PARALLEL, "Point": styles.BESIDE_POINT}
# What decides on most pieces, and is seen from their colour: it is not written over them.
USUAL_RULES = ("street", "intersection", "no_centerline")
CHANGE_KINDS: Mapping[str, tuple[str, Rgba]] = {
    "demolished": ("demolished road: on the map, not in the picture", (215, 25, 60, 255)),
    "paper": ("paper street: on the map alone, never built", (150, 60, 190, 255)),
    "new": ("new road: in the picture, not on the map", (0, 140, 200, 255)),
}
THROATS: Mapping[str, tuple[str, Rgba]] = {
    "gap": ("a piece of a line is missing", (245, 205, 40, 255)),
    "end": ("open end of a street or a line", (40, 190, 210, 255)),
    "cut": ("ground parted from road", (215, 25, 60, 255)),
    "doubt": ("parted, and not known", UNKNOWN),
}


@dataclass(frozen=True)
class Source:
    """A layer of a GeoPackage, as far as its look depends on it.

    Attributes
    ----------
    path, layer
        The file and the layer in it.
    geometry
        ``Polygon``, ``Line`` or ``Point``.
    fields
        Names of its attributes.
    """

    path: Path
    layer: str
    geometry: str
    fields: tuple[str, ...]


Style = tuple[Element, ...] | Callable[[Source], tuple[Element, ...]]


@dataclass(frozen=True)
class Look:
    """How a layer is shown.

    Attributes
    ----------
    style
        What its element holds, or what gives it.
    title
        What people read; the layer's own name where there is none.
    is_shown
        Whether it is seen when the project opens.
    below_scale
        The scale's denominator from which on it is drawn.
    """

    style: Style
    title: str = ""
    is_shown: bool = False
    below_scale: int | None = None


def vector_layers(path: Path | None, folder: Path, looks: Mapping[str, Look]) -> list[Layer]:
    """Describe the layers of a GeoPackage, or of those that a list names.

    Parameters
    ----------
    path
        The GeoPackage, or a JSON list of such beside it (``{"files": [{"file": …, "group": …}]}``,
        one a CRS and pixel size); None where the run made none.
    folder
        Where the project will stand.
    looks
        By the layer's name, from the uppermost down. Where a file has one layer a CRS, their
        names end in it (``pieces_epsg2263``). Layers with other names lie below, drawn plainly.

    Raises
    ------
    InputError
        If a file can't be read.
    """
    order = list(looks)
    found: list[tuple[int, str, Layer]] = []
    for file, group in [] if path is None else geopackages(path):
        try:
            names = [name for name, kind in pyogrio.list_layers(file) if kind is not None]
            for name in names:  # tables without geometry, such as styles, are none of them
                plain, place = _parted(name)
                look = looks.get(plain, Look(_plain))
                rank = order.index(plain) if plain in looks else len(order)
                place = (place or group).replace("_", " ")
                named = look.title or plain
                title = f"{named} ({place})" if place else named
                found.append((rank, title, _layer(file, name, title, folder, look)))
        except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
            raise InputError(file, f"it can't be read ({error})", REMEDY) from error
    return [layer for _, _, layer in sorted(found, key=lambda entry: entry[:2])]


def geopackages(path: Path) -> list[tuple[Path, str]]:
    """Return GeoPackages and what tells each from the others; nothing where there is one.

    Parameters
    ----------
    path
        As `vector_layers` takes it.

    Raises
    ------
    InputError
        If a list can't be read.
    """
    if path.suffix != ".json":
        return [(path, "")]
    try:
        files = json.loads(path.read_text(encoding="utf-8"))["files"]
        named = [(path.parent / entry["file"], str(entry["group"])) for entry in files]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(path, f"it can't be read ({error!r})", REMEDY) from error
    return [(file, "") for file, _ in named] if len(named) == 1 else named


def _parted(name: str) -> tuple[str, str]:
    """Part a layer's name from the CRS at its end."""
    found = re.fullmatch(r"(.+?)_(epsg\d+|crs[0-9a-f]{8})", name)
    return (found[1], found[2]) if found else (name, "")


def _layer(path: Path, name: str, title: str, folder: Path, look: Look) -> Layer:
    info = pyogrio.read_info(path, layer=name, force_total_bounds=True)
    geometry = _geometry(path, name, str(info["geometry_type"]))
    source = Source(path, name, geometry, tuple(info["fields"]))
    bounds = info["total_bounds"]
    is_empty = info["features"] == 0 or bounds is None
    return Layer(
        name=title,
        source=f"{relative(path, folder)}|layername={name}",
        provider="ogr",
        crs=CRS.from_user_input(info["crs"]) if info["crs"] else None,
        bounds=None if is_empty else BoundingBox(*map(float, bounds)),
        style=look.style(source) if callable(look.style) else look.style,
        geometry=geometry,
        is_shown=look.is_shown,
        below_scale=look.below_scale,
    )


def _geometry(path: Path, name: str, kind: str) -> str:
    for geometry, text in (("Polygon", "Polygon"), ("Line", "LineString"), ("Point", "Point")):
        if text in kind:
            return geometry
    raise InputError(
        path,
        f"layer {name} is of geometry {kind}, which can't be drawn as one",
        REMEDY,
    )


def _plain(source: Source) -> tuple[Element, ...]:
    return (styles.single(_symbol(source.geometry, INK)),)


def _symbol(geometry: str, colour: Rgba) -> Symbol:
    """Return a symbol of one colour for any geometry."""
    if geometry == "Polygon":
        return styles.fill((*colour[:3], 60), colour, 0.5)
    if geometry == "Line":
        return styles.line(colour, 0.8, casing=WHITE)
    return styles.marker(colour, WHITE, 3)


def _pieces() -> tuple[Element, ...]:
    categories = [
        ("road", "road", styles.fill((*ROAD[:3], 110), ROAD, 0.26)),
        ("other", "other", styles.fill((*OTHER[:3], 35), OTHER, 0.26)),
        ("unknown", "unknown", styles.fill((*UNKNOWN[:3], 190), UNKNOWN, 0.4, "b_diagonal")),
    ]
    usual = ", ".join(f"'{rule}'" for rule in USUAL_RULES)
    text = f"if(\"rule\" in ({usual}), '', replace(\"rule\", '_', ' '))"
    return (
        styles.categorized("verdict", categories),
        styles.labels(text, size=8, below_scale=LEGIBLE),
    )


def _throats() -> tuple[Element, ...]:
    categories = [
        (kind, label, styles.line(colour, 0.7, casing=INK))
        for kind, (label, colour) in THROATS.items()
    ]
    return (styles.categorized("kind", categories),)


def _own(source: Source) -> tuple[Element, ...]:
    """Return the style that the GeoPackage itself has for a layer."""
    try:
        table = pyogrio.read_dataframe(source.path, layer="layer_styles", read_geometry=False)
        text = table.set_index("f_table_name")["styleQML"][source.layer]
        renderer = ElementTree.fromstring(text).find("renderer-v2")
    except (pyogrio.errors.DataLayerError, KeyError):
        return _plain(source)
    return _plain(source) if renderer is None else (renderer,)


def _road_style(colours: Mapping[str, Rgba]) -> Callable[[Source], tuple[Element, ...]]:
    """Return the look of road polygons: the colours that the rasters' classes have."""

    def looks(source: Source) -> tuple[Element, ...]:
        kinds = _values(source, "class")
        categories = [
            (kind, kind, styles.fill((*colours.get(kind, ROAD)[:3], 70), colours.get(kind, ROAD)))
            for kind in kinds
        ]
        return (styles.categorized("class", categories),)

    return looks


def _edges(source: Source) -> tuple[Element, ...]:
    """Return the look of a network: by how sure the prediction is, where that is known."""
    column = "mean_probability"
    known = [] if column not in source.fields else _column(source, column)
    if not known or any(math.isnan(value) for value in known):
        return (styles.single(styles.line(BLUE, 0.7, casing=WHITE)),)
    ranges = [
        (low, high, f"{100 * low:g} to {100 * high:g} %", styles.line(colour, 0.7, casing=WHITE))
        for (low, colour), high in zip(SURE, [low for low, _ in SURE[1:]] + [1.0], strict=True)
    ]
    return (styles.graduated(column, ranges),)


def _nodes() -> tuple[Element, ...]:
    categories = [
        ("crossing", "crossing", styles.marker(WHITE, BLUE, 2)),
        ("end", "end", styles.marker(BLUE, WHITE, 2.4, "square")),
        ("ring", "where a ring closes", styles.marker(WHITE, BLUE, 2, "diamond")),
    ]
    return (styles.categorized("kind", categories),)


def _column(source: Source, name: str) -> list[Any]:
    table = pyogrio.read_dataframe(
        source.path, layer=source.layer, columns=[name], read_geometry=False
    )
    return list(table[name])


def _values(source: Source, name: str) -> list[str]:
    """Return the values of a field of text, sorted."""
    return sorted({value for value in _column(source, name) if value is not None})


def _changes(source: Source) -> tuple[Element, ...]:
    """Return the look of changes: a colour a kind, the most certain on top, labelled and first."""
    kinds = dict(CHANGE_KINDS)
    for kind in _values(source, "kind"):
        kinds.setdefault(kind, (kind, INK))
    categories = [
        (kind, label, _symbol(source.geometry, colour)) for kind, (label, colour) in kinds.items()
    ]
    # Flights over the same ground have places of their own, one on the other.
    flights = _values(source, "flight") if "flight" in source.fields else []
    flight = " || ', ' || \"flight\"" if len(flights) > 1 else ""
    return (
        styles.categorized("kind", categories, order_by="confidence"),
        styles.labels(
            f"'#' || \"place\" || ' ' || {_said('kind', kinds)}"
            f" || ' ' || round(100 * \"confidence\") || ' %'{flight}",
            size=10,
            priority='10 * "confidence"',
            placement=BESIDE[source.geometry],
        ),
        styles.table_order("confidence"),
    )


def _said(attribute: str, kinds: Mapping[str, tuple[str, Rgba]]) -> str:
    """Return an expression: what the legend calls a feature's kind, up to the colon."""
    cases = (
        f"WHEN \"{attribute}\" = '{kind}' THEN '{label.partition(':')[0]}'"
        for kind, (label, _) in kinds.items()
    )
    return f"CASE {' '.join(cases)} END"


PIECES = {
    "throats": Look(_throats(), "Throats", below_scale=CLOSE),
    "pieces": Look(_pieces(), "Pieces of ground", below_scale=CLOSE),
}
SPLIT = {
    "tiles": Look(_own, "Tiles by split", below_scale=CLOSE),
    "blocks": Look(_own, "Blocks by split"),
}
CHANGES = {"changes": Look(_changes, "Changes", is_shown=True)}


def network(colours: Mapping[str, Rgba]) -> dict[str, Look]:
    """Return the looks of road polygons and network, polygons in the colours of their classes."""
    return {
        "nodes": Look(_nodes(), "Crossings and ends", below_scale=CLOSE),
        "edges": Look(_edges, "Centerlines"),
        "roads": Look(_road_style(colours), "Road polygons"),
    }
