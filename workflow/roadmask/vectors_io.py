"""Reading vector layers: what lies on a sheet, in the sheet's CRS, in two dimensions."""

from __future__ import annotations

import argparse
import difflib
import logging
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import shapely
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError
from shapely import GeometryType, LineString, MultiLineString, Polygon
from shapely.geometry.base import BaseGeometry

from roadmask.attribute_filter import FieldKind, check_filter, fields_of, listed_fields
from roadmask.errors import InputError, SettingError
from roadmask.grid import Grid

log = logging.getLogger("roadmask.vectors")

Bounds = tuple[float, float, float, float]
Kind = Literal["outlines", "lines", "polygons"]
NOUNS: dict[Kind, str] = {"outlines": "lines", "lines": "lines", "polygons": "polygons"}

# Up to this many features, those without a geometry are counted in the whole layer
# (0.1 s); a spatial filter never returns them.
COUNTED_FEATURES = 100_000
# Widens the spatial filter by this share of the sheet, against the curve that a straight
# border becomes in another CRS and the metres between datums.
FILTER_MARGIN = 0.01
# Edges of the sheet are cut into this many pieces before they are projected.
DENSIFIED = 21
# The curve that an edge becomes in another CRS rises by 5 mm over this length, a few
# centimetres at high latitudes.
LONGEST_EDGE_METRES = 500.0
METRES_PER_RADIAN = 6_371_000.0

_TEXT_TYPES = {"OFTString", "OFTWideString"}
_NUMBER_TYPES = {"OFTInteger", "OFTInteger64", "OFTReal"}
# Formats whose header tells layers and fields. Up to how many bytes others are read for that, in
# half a second.
_WITH_HEADER = {".shp", ".shz", ".gpkg", ".fgb", ".gdb", ".gdbtable"}
QUICKLY_READ = 2_000_000
_VECTOR_SUFFIXES = (".shp", ".gpkg", ".geojson", ".json", ".fgb", ".gml", ".kml")


class HasWkt(Protocol):
    """A CRS of rasterio or pyproj."""

    def to_wkt(self) -> str:
        """Return its well-known text."""


@dataclass(frozen=True)
class VectorSource:
    """A layer of a file, and which of its features.

    Attributes
    ----------
    path
        Shapefile, zipped shapefile, GeoPackage, GeoJSON, or whatever else GDAL reads;
        also a path of GDAL's virtual file systems.
    layer
        May be None where the file has a single layer.
    where
        Attribute filter in OGR SQL, or None for all features.
    """

    path: str
    layer: str | None = None
    where: str | None = None

    @property
    def name(self) -> str:
        """The file's name without its folders, for files that must not depend on them."""
        return Path(self.path).name


@dataclass
class LayerCounts:
    """What became of a layer's features.

    Attributes
    ----------
    read
        Features that the spatial and the attribute filter let through.
    kept
        Features with a usable geometry.
    empty
        Features without a geometry or with an empty one. They lie nowhere, so they are
        counted in the whole layer, or None where it is too large to be counted quickly.
    broken
        Features whose geometry GEOS can't read or whose coordinates are not finite.
    other_type
        Features of another type of geometry, such as points among lines.
    outlined
        Polygons given as lines, whose outline was taken.
    repaired
        Polygons that were not valid and were made so.
    """

    read: int = 0
    kept: int = 0
    empty: int | None = 0
    broken: int = 0
    other_type: int = 0
    outlined: int = 0
    repaired: int = 0

    def as_dict(self) -> dict[str, int | None]:
        """Return the counts by name."""
        return asdict(self)


@dataclass
class LayerRead:
    """Features of a layer on a sheet.

    Attributes
    ----------
    frame
        Columns ``source_fid`` (the feature's id in its file), those asked for, and
        ``geometry``, in two dimensions in the sheet's CRS; ordered by ``source_fid``.
    counts
        What became of the features.
    date
        When the layer was last changed, as far as the file says, such as 2024-05-01.
    """

    frame: gpd.GeoDataFrame
    counts: LayerCounts = field(default_factory=LayerCounts)
    date: str | None = None


@dataclass(frozen=True)
class _Layer:
    """An opened layer's description."""

    path: str
    name: str
    crs: CRS
    fields: dict[str, FieldKind]
    features: int
    geometry_type: str
    built_in: tuple[str, ...]
    date: str | None
    words: str


def add_source_arguments(
    parser: argparse.ArgumentParser, key: str, *, required: bool = False
) -> None:
    """Add the options ``--{key}.path``, ``.layer`` and ``.where``.

    Parameters
    ----------
    parser
        The stage's parser.
    key
        The config key of the source, such as ``street_lines`` or ``labels.islands``.
    required
        Whether the path must be given.
    """
    dest = key.replace(".", "_")
    parser.add_argument(f"--{key}.path", dest=f"{dest}_path", required=required)
    parser.add_argument(f"--{key}.layer", dest=f"{dest}_layer")
    parser.add_argument(f"--{key}.where", dest=f"{dest}_where")


def source_from(arguments: argparse.Namespace, key: str) -> VectorSource | None:
    """Return the source that `add_source_arguments` took from the command line, or None."""
    dest = key.replace(".", "_")
    path = getattr(arguments, f"{dest}_path")
    if path is None:
        return None
    return VectorSource(
        path, getattr(arguments, f"{dest}_layer"), getattr(arguments, f"{dest}_where")
    )


def read_layer(
    source: VectorSource,
    area: Grid | Bounds,
    crs: HasWkt | None,
    *,
    key: str = "street_lines",
    kind: Kind = "outlines",
    columns: Sequence[str] = (),
    columns_key: str | None = None,
    must_reach: bool = True,
) -> LayerRead:
    """Read the features of a layer that lie on a sheet.

    Parameters
    ----------
    source
        The layer.
    area
        The sheet, with its halo: a grid, or left, bottom, right and top in `crs`.
    crs
        The sheet's CRS, in which the features are returned; None where it lies nowhere.
    key
        The config key of the source, for messages.
    kind
        ``outlines`` (lines, and of polygons the outline), ``lines`` or ``polygons``.
    columns
        Fields to read.
    columns_key
        The config key that names them, for messages; `key` by default.
    must_reach
        Whether the layer's extent must touch the sheet. A sheet without any feature
        inside that extent is fine either way.

    Returns
    -------
    LayerRead

    Raises
    ------
    InputError
        If the file is missing or unreadable, has no CRS, holds another type of geometry,
        or lies elsewhere.
    SettingError
        If the layer, a column or the filter does not fit the file, the filter leaves
        nothing of the layer, or the sheet has no CRS.
    """
    if crs is None:
        raise SettingError(
            f"{key}.path",
            f"{source.path} lies on the ground, but the picture has no CRS",
            "Vector layers need georeferenced imagery; a picture that lies nowhere "
            "(imagery.georeference: pixel) takes its labels from labels.raster",
        )
    target = CRS.from_user_input(crs.to_wkt())
    layer, where, names = _opened(source, key, kind, columns, columns_key or key)
    bounds = area.bounds if isinstance(area, Grid) else area
    box = _filter_box(bounds, target, layer, source)
    fids, wkb, values = _read(layer, where, box, names, key)
    counts = LayerCounts(read=len(fids))
    if len(fids) == 0:
        _explain_nothing(source, layer, where, bounds, target, key, must_reach=must_reach)
    counts.empty = _count_empty(layer, where)
    frame = _frame(fids, wkb, dict(zip(columns, values, strict=True)), layer, kind, counts)
    if counts.read and counts.other_type == counts.read:
        raise _wrong_type(source, layer, kind)
    if not _same_crs(layer.crs, target):
        frame.geometry = _with_short_edges(frame.geometry.to_numpy(), layer.crs)
        frame = frame.to_crs(target)
        frame = frame[_finite(frame.geometry.to_numpy(), counts)].reset_index(drop=True)
    else:
        frame = frame.set_crs(target, allow_override=True)
    counts.kept = len(frame)
    _report(source, counts, key)
    return LayerRead(frame, counts, layer.date)


def check_layer(
    source: VectorSource,
    *,
    key: str,
    kind: Kind,
    columns: Sequence[str] = (),
    columns_key: str | None = None,
) -> None:
    """Refuse a layer that `read_layer` would refuse on any sheet, without reading a feature.

    Parameters
    ----------
    source, key, kind, columns, columns_key
        As for `read_layer`.

    Raises
    ------
    InputError, SettingError
        As `read_layer` does, as far as the file's header tells.
    """
    _opened(source, key, kind, columns, columns_key or key)


def is_quick_to_open(source: VectorSource) -> bool:
    """Tell whether a local file's layers and fields are known without reading all of it."""
    path = Path(source.path)
    names = [source.path]
    if path.suffix.lower() == ".zip" and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    if any(Path(name).suffix.lower() in _WITH_HEADER for name in names):
        return True
    return path.is_file() and path.stat().st_size <= QUICKLY_READ


def mapped_ground(
    sources: Sequence[tuple[VectorSource, str]], area: Grid | Bounds, crs: HasWkt
) -> BaseGeometry:
    """Return the ground of a sheet that lies within the extent of all of some layers.

    A layer says nothing of the ground beyond its outermost features. Within them it is taken
    to be complete.

    Parameters
    ----------
    sources
        Layers, each with its config key.
    area
        The sheet: a grid, or left, bottom, right and top in `crs`.
    crs
        The sheet's CRS.

    Returns
    -------
    shapely.Geometry
        In `crs`: polygons that may reach a little beyond the sheet, empty where a layer ends
        before it.
    """
    target = CRS.from_user_input(crs.to_wkt())
    bounds = area.bounds if isinstance(area, Grid) else area
    ground: BaseGeometry = shapely.box(*bounds)
    for source, key in sources:
        layer = _open(source, key, "outlines")
        extent = _extent(_extents(layer, (source.where or "").strip() or None))
        if extent is None:
            return shapely.Polygon()
        # What is far off might be nowhere in the sheet's CRS.
        here = shapely.box(*extent) & shapely.box(*_filter_box(bounds, target, layer, source))
        edges = _with_short_edges(np.array([here], dtype=object), layer.crs)
        ground &= gpd.GeoSeries(edges, crs=layer.crs).to_crs(target).iloc[0]
    return ground


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep GDAL's and GEOS's warnings about single features out: those are counted."""
    with warnings.catch_warnings(), np.errstate(invalid="ignore"):
        warnings.simplefilter("ignore")
        yield


def _opened(
    source: VectorSource, key: str, kind: Kind, columns: Sequence[str], columns_key: str
) -> tuple[_Layer, str | None, list[str]]:
    """Open a layer; return it, the filter, and the columns' names as the file writes them."""
    layer = _open(source, key, kind)
    where = (source.where or "").strip() or None
    if where is not None:
        check_filter(where, layer.fields, f"{key}.where", layer.built_in, layer.words)
    return layer, where, [_column(layer, column, columns_key) for column in columns]


def _open(source: VectorSource, key: str, kind: Kind) -> _Layer:
    path = _located(source.path, key)
    name = _layer_name(path, source, key)
    with _quiet():
        info = pyogrio.read_info(path, layer=name, force_feature_count=True)
    if info["crs"] is None:
        raise InputError(
            source.path,
            f"the layer {name} has no CRS",
            "Put the .prj of the same download beside it, or write the CRS into it, such as "
            "with QGIS's Define Projection; roadmask never guesses where lines lie",
        )
    try:
        crs = CRS.from_user_input(info["crs"])
    except CRSError as error:
        raise InputError(source.path, f"its CRS can't be read ({error})") from error
    geometry = str(info["geometry_type"])
    plain = geometry.removesuffix(" Z").removeprefix("Multi").removeprefix("2.5D ")
    unfit = {"outlines": (), "lines": ("Polygon",), "polygons": ("LineString",)}
    if plain == "Point" or plain in unfit[kind]:
        raise _wrong_type_of(source, name, geometry, kind)
    metadata = info.get("layer_metadata") or {}
    return _Layer(
        path=path,
        name=name,
        crs=crs,
        fields=_field_kinds(info),
        features=int(info["features"]),
        geometry_type=geometry,
        built_in=tuple(x for x in (info["fid_column"], info["geometry_name"]) if x),
        date=metadata.get("DBF_DATE_LAST_UPDATE"),
        words=source.path if Path(path).stem == name else f"the layer {name} of {source.path}",
    )


def _field_kinds(info: dict[str, Any]) -> dict[str, FieldKind]:
    kinds: dict[str, FieldKind] = {}
    for name, kind in zip(info["fields"], info["ogr_types"], strict=True):
        if kind in _TEXT_TYPES:
            kinds[str(name)] = "text"
        else:
            kinds[str(name)] = "number" if kind in _NUMBER_TYPES else "other"
    return kinds


def _located(path: str, key: str) -> str:
    """Return the path that GDAL opens; inside a zip file, that of the one vector file."""
    if not path.startswith("/vsi") and "://" not in path and "!" not in path:
        _check_exists(Path(path), key)
        if path.lower().endswith(".zip"):
            path = f"/vsizip/{path}"
    try:
        with _quiet():
            pyogrio.list_layers(path)
    except pyogrio.errors.DataSourceError as error:
        if path.startswith("/vsizip/") and path.lower().endswith(".zip"):
            return _only_vector_in_zip(path, key, error)
        raise _unreadable(path, error) from error
    return path


def _check_exists(path: Path, key: str) -> None:
    if path.exists():
        return
    folder = path.parent
    if not folder.is_dir():
        raise InputError(path, "no such file", f"Its folder is missing too; see {key}.path")
    names = sorted(x.name for x in folder.iterdir() if not x.name.startswith("."))
    near = difflib.get_close_matches(path.name, names, n=3, cutoff=0.5)
    hint = f"; beside it lie {', '.join(near)}" if near else ""
    raise InputError(path, f"no such file{hint}", f"Correct {key}.path")


def _only_vector_in_zip(path: str, key: str, error: Exception) -> str:
    members = [x for x in pyogrio.vsi_listtree(path) if x.lower().endswith(_VECTOR_SUFFIXES)]
    folders = [x.rstrip("/") for x in pyogrio.vsi_listtree(path) if x.rstrip("/").endswith(".gdb")]
    members += folders
    if not members:
        raise _unreadable(path, error) from error
    if len(members) > 1:
        raise SettingError(
            f"{key}.path",
            f"{path.removeprefix('/vsizip/')} holds several files: {', '.join(members)}",
            f"Write the one that is meant, such as {key}.path: {members[0]}",
        )
    return str(members[0])


def _unreadable(path: str, error: Exception) -> InputError:
    reason = str(error)
    if ".shx" in reason:
        return InputError(
            path,
            "its .shx, the index of the shapefile, is missing or damaged",
            "Copy the .shx of the same download beside it, or run once with the environment "
            "variable SHAPE_RESTORE_SHX=YES, which makes one",
        )
    return InputError(
        path,
        f"no vector file that GDAL can read ({reason.partition(';')[0].rstrip('.')})",
        "Give a shapefile, zipped shapefile, GeoPackage, GeoJSON or file geodatabase; "
        "an incomplete download is a usual cause",
    )


def _layer_name(path: str, source: VectorSource, key: str) -> str:
    with _quiet():
        layers = [(str(name), kind) for name, kind in pyogrio.list_layers(path)]
    spatial = [name for name, kind in layers if kind is not None]
    if source.layer is not None:
        if source.layer in (name for name, _ in layers):
            return source.layer
        names = {name.lower(): name for name, _ in layers}
        near = difflib.get_close_matches(source.layer.lower(), names, n=1)
        question = f"Did you mean {names[near[0]]}? " if near else ""
        raise SettingError(
            f"{key}.layer",
            f"{source.path} has no layer {source.layer}",
            f"{question}It has {', '.join(names.values()) or 'none'}",
        )
    if not spatial:
        raise InputError(source.path, "it has no layer with geometries")
    if len(spatial) > 1:
        raise SettingError(
            f"{key}.layer",
            f"{source.path} has several layers: {', '.join(spatial)}",
            f"Write the one that is meant, such as {key}.layer: {spatial[0]}",
        )
    return spatial[0]


def _column(layer: _Layer, column: str, key: str) -> str:
    """Return the field's name as the file writes it."""
    for name in layer.fields:
        if name.lower() == column.lower():
            return name
    raise SettingError(
        key,
        f"{layer.words} has no field {column}",
        listed_fields(column, list(layer.fields)),
    )


def _filter_box(bounds: Bounds, crs: CRS, layer: _Layer, source: VectorSource) -> Bounds:
    """Return the sheet's bounds in the layer's CRS, a little widened."""
    # Not with `errcheck`: that also minds the poles, which a conic projection has not.
    box = Transformer.from_crs(crs, layer.crs, always_xy=True).transform_bounds(
        *bounds, densify_pts=DENSIFIED
    )
    if not np.isfinite(box).all():
        raise InputError(
            source.path,
            f"the sheet can't be projected from its CRS ({crs.name}) to that of the layer "
            f"({layer.crs.name})",
            "One of the two is probably wrong",
        )
    left, bottom, right, top = box
    margin = FILTER_MARGIN * max(right - left, top - bottom)
    return left - margin, bottom - margin, right + margin, top + margin


def _read(
    layer: _Layer, where: str | None, box: Bounds, columns: Sequence[str], key: str
) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Return ids, geometries as WKB, and the columns, ordered by id.

    All fields are read: GDAL's filter sees nothing in a field that was not asked for.
    """
    try:
        with _quiet():
            meta, fids, wkb, data = _read_raw(layer, where=where, bbox=box)
    except (ValueError, pyogrio.errors.DataSourceError, pyogrio.errors.FeatureError) as error:
        if where is None:
            raise InputError(
                layer.path,
                f"GDAL can't read the layer {layer.name}: {error}",
                "It may be cut off or damaged: get it again, all its files from one download",
            ) from error
        raise SettingError(
            f"{key}.where",
            f"GDAL can't read the filter {where!r} ({_reason(error)})",
            "Write it in OGR SQL: texts in single quotes, fields bare or in double quotes, and "
            "= <> < > IN LIKE BETWEEN IS NULL AND OR NOT. The fields are "
            f"{', '.join(f'{name} ({kind})' for name, kind in layer.fields.items())}",
        ) from error
    order = np.argsort(fids, kind="stable")
    # The reader keeps the file's order of fields, not the one asked for.
    by_name = {str(name).lower(): values for name, values in zip(meta["fields"], data, strict=True)}
    return fids[order], wkb[order], [by_name[name.lower()][order] for name in columns]


def _read_raw(layer: _Layer, **options: Any) -> Any:  # noqa: ANN401 (pyogrio is untyped)
    """Read with the file's declared encoding, or byte by byte where that is wrong."""
    try:
        return pyogrio.raw.read(
            layer.path, layer=layer.name, force_2d=True, return_fids=True, **options
        )
    except UnicodeDecodeError:
        log.warning("%s: its texts are not in the encoding it declares", layer.path)
        return pyogrio.raw.read(
            layer.path,
            layer=layer.name,
            force_2d=True,
            return_fids=True,
            encoding="ISO-8859-1",
            **options,
        )


def _reason(error: Exception) -> str:
    text = str(error)
    return text.rpartition(": ")[2] if "prepare SQL" in text else "it is no valid SQL"


def _extents(layer: _Layer, where: str | None) -> np.ndarray:
    """Return ``(4, features)`` bounds, NaN for features without a geometry."""
    with _quiet():
        _, bounds = pyogrio.read_bounds(layer.path, layer=layer.name, where=where)
    # A GeoPackage gives zeros for an empty geometry.
    bounds = np.where((bounds == 0).all(axis=0), np.nan, bounds)
    return np.asarray(bounds, dtype=float)


def _extent(extents: np.ndarray) -> Bounds | None:
    """Return the bounds of all features from those of each; None where none has a geometry."""
    usable = extents[:, np.isfinite(extents).all(axis=0)]
    if usable.shape[1] == 0:
        return None
    left, bottom = usable[:2].min(axis=1)
    right, top = usable[2:].max(axis=1)
    return float(left), float(bottom), float(right), float(top)


def _count_empty(layer: _Layer, where: str | None) -> int | None:
    if layer.features > COUNTED_FEATURES:
        return None
    return int(np.isnan(_extents(layer, where)[0]).sum())


def _explain_nothing(
    source: VectorSource,
    layer: _Layer,
    where: str | None,
    bounds: Bounds,
    crs: CRS,
    key: str,
    *,
    must_reach: bool,
) -> None:
    """Raise or warn, by why no feature of the layer lies on the sheet."""
    extents = _extents(layer, where)
    if layer.features == 0:
        if must_reach:
            raise InputError(source.path, f"the layer {layer.name} has no features")
        log.warning("%s: the layer %s has no features", source.path, layer.name)
        return
    if extents.shape[1] == 0:
        raise SettingError(
            f"{key}.where",
            f"the filter {where!r} leaves none of the {layer.features} features of {source.path}",
            _values_found(layer, str(where)),
        )
    extent = _extent(extents)
    if extent is None:
        raise InputError(source.path, f"no feature of the layer {layer.name} has a geometry")
    box = _filter_box(bounds, crs, layer, source)
    apart = extent[0] > box[2] or extent[2] < box[0] or extent[1] > box[3] or extent[3] < box[1]
    if not apart:
        log.warning("%s: no feature on this sheet", key)
        return
    message = (
        f"the layer {layer.name} does not reach this sheet. It spans "
        f"{_extent_text(extent, layer.crs)}; the sheet with its halo spans "
        f"{_extent_text(bounds, crs)}"
    )
    if not must_reach:
        log.warning("%s: %s", source.path, message)
        return
    degrees = not layer.crs.is_geographic and max(abs(x) for x in extent) <= 360
    raise InputError(
        source.path,
        message,
        "Its coordinates look like degrees, which its CRS has not: correct its .prj"
        if degrees
        else f"Give a layer of the sheet's place in {key}.path, correct the CRS of either, or "
        "leave the sheet out of imagery.paths",
    )


def _values_found(layer: _Layer, where: str) -> str:
    """Say which values the fields of a filter have in the file."""
    names = fields_of(where, list(layer.fields))
    if not names:
        return "Correct the filter"
    with _quiet():
        data = pyogrio.read_dataframe(
            layer.path, layer=layer.name, columns=names, read_geometry=False
        )
    found = []
    for name in names:
        common = [repr(x) for x in data[name].value_counts().index[:8]]
        found.append(f"{name} is {', '.join(common) or 'never set'}")
    return f"In the file {'; '.join(found)}"


def _extent_text(extent: Bounds, crs: CRS) -> str:
    digits = 5 if crs.is_geographic else 0
    numbers = ", ".join(f"{x:.{digits}f}" for x in extent)
    code = crs.to_authority()
    name = ":".join(code) if code else crs.name
    text = f"({numbers}) in {name}"
    if crs.is_geographic:
        return text
    degrees = Transformer.from_crs(crs, "EPSG:4326", always_xy=True).transform_bounds(*extent)
    if not np.isfinite(degrees).all():
        return f"{text}, which is no place on Earth"
    return f"{text}, which is ({', '.join(f'{x:.4f}' for x in degrees)}) in degrees"


def _frame(
    fids: np.ndarray,
    wkb: np.ndarray,
    columns: dict[str, np.ndarray],
    layer: _Layer,
    kind: Kind,
    counts: LayerCounts,
) -> gpd.GeoDataFrame:
    """Make the usable features of the wanted kind a frame in the layer's CRS."""
    geometries = _parsed(wkb)
    missing = np.array([x is None for x in wkb], dtype=bool)
    unread = shapely.is_missing(geometries) & ~missing
    counts.broken += int(unread.sum())
    keep = ~shapely.is_missing(geometries) & ~shapely.is_empty(geometries)
    keep &= _finite(geometries, counts)
    geometries = geometries.copy()
    # Nearly all features are what was asked for; only the others are taken apart.
    odd = keep & ~_is_plain(geometries, kind)
    geometries[odd] = [_of_kind(x, kind, counts) for x in geometries[odd]]
    other = keep & shapely.is_missing(geometries)
    counts.other_type += int(other.sum())
    keep &= ~other
    data: dict[str, Any] = {"source_fid": fids[keep].astype(np.int64)}
    data |= {name: values[keep] for name, values in columns.items()}
    return gpd.GeoDataFrame(pd.DataFrame(data), geometry=geometries[keep], crs=layer.crs)


def _parsed(wkb: np.ndarray) -> np.ndarray:
    """Return geometries, None where GEOS knows no such type or can't read it."""
    with _quiet():
        geometries = np.array(shapely.from_wkb(wkb, on_invalid="fix"), dtype=object)
    # GDAL makes curves straight, but not those inside a collection, and GEOS can't use them.
    for index in np.flatnonzero(shapely.get_type_id(geometries) == GeometryType.GEOMETRYCOLLECTION):
        try:
            shapely.get_coordinates(geometries[index])
        except shapely.errors.GEOSException:
            geometries[index] = None
    return geometries


def _finite(geometries: np.ndarray, counts: LayerCounts) -> np.ndarray:
    """Tell which geometries have finite coordinates alone, and count the others as broken.

    Missing and empty geometries pass.
    """
    coordinates, index = shapely.get_coordinates(geometries, return_index=True)
    finite = np.ones(len(geometries), dtype=bool)
    finite[index[~np.isfinite(coordinates).all(axis=1)]] = False
    counts.broken += int((~finite).sum())
    return finite


def _is_plain(geometries: np.ndarray, kind: Kind) -> np.ndarray:
    """Tell which geometries can be used as they are."""
    types = shapely.get_type_id(geometries)
    if kind != "polygons":
        return np.isin(types, (GeometryType.LINESTRING, GeometryType.MULTILINESTRING))
    wanted = np.isin(types, (GeometryType.POLYGON, GeometryType.MULTIPOLYGON))
    return wanted & np.asarray(shapely.is_valid(geometries))


def _of_kind(geometry: BaseGeometry, kind: Kind, counts: LayerCounts) -> BaseGeometry | None:
    """Return the geometry's parts of a kind, or None where it has none."""
    parts = list(_simple_parts(geometry))
    if kind != "polygons":
        lines = [LineString(x.coords) for x in parts if isinstance(x, LineString)]
        polygons = [x for x in parts if isinstance(x, Polygon) and kind == "outlines"]
        counts.outlined += bool(polygons)
        rings = [ring for x in polygons for ring in (x.exterior, *x.interiors)]
        lines += [LineString(ring.coords) for ring in rings]
        if len(lines) > 1:
            return MultiLineString(lines)
        return lines[0] if lines else None
    polygons = [x for x in parts if isinstance(x, Polygon)]
    if not all(x.is_valid for x in polygons):
        counts.repaired += 1
        made = [shapely.make_valid(x) for x in polygons]
        polygons = [p for x in made for p in _simple_parts(x) if isinstance(p, Polygon)]
    if len(polygons) > 1:
        return shapely.union_all(polygons)
    return polygons[0] if polygons else None


def _simple_parts(geometry: BaseGeometry) -> Iterator[BaseGeometry]:
    """Yield the parts that are no collections and not empty."""
    if hasattr(geometry, "geoms"):
        for part in geometry.geoms:
            yield from _simple_parts(part)
    elif not geometry.is_empty:
        yield geometry


def _wrong_type(source: VectorSource, layer: _Layer, kind: Kind) -> InputError:
    return _wrong_type_of(source, layer.name, layer.geometry_type, kind)


def _wrong_type_of(source: VectorSource, layer: str, geometry: str, kind: Kind) -> InputError:
    return InputError(
        source.path,
        f"the layer {layer} holds no {NOUNS[kind]} ({geometry})",
        f"Give a layer of {NOUNS[kind]}",
    )


def _with_short_edges(geometries: np.ndarray, crs: CRS) -> np.ndarray:
    """Cut long edges, since what is straight in one CRS is a curve in another."""
    unit = crs.axis_info[0].unit_conversion_factor if crs.axis_info else 1.0
    metres = METRES_PER_RADIAN * unit if crs.is_geographic else unit
    return np.asarray(shapely.segmentize(geometries, LONGEST_EDGE_METRES / metres))


def _same_crs(first: CRS, second: CRS) -> bool:
    return bool(first.equals(second, ignore_axis_order=True))


def _report(source: VectorSource, counts: LayerCounts, key: str) -> None:
    log.info("%s: %d features of %s on this sheet", key, counts.kept, source.name)
    if counts.outlined:
        log.info("%s: of %d polygons the outline is taken as lines", key, counts.outlined)
    skipped = {
        "have no geometry (in the whole layer)": counts.empty,
        "have broken coordinates or an unknown type": counts.broken,
        "are of another type": counts.other_type,
    }
    for why, count in skipped.items():
        if count:
            log.warning("%s: %d features left out: they %s", key, count, why)
    if counts.repaired:
        log.info("%s: %d polygons crossed themselves and were repaired", key, counts.repaired)
