"""Where a picture lies on the ground, and which of its files or boxes says so.

GDAL takes the transform and the CRS each from the first place that has one, in the order
of `SOURCES`. Here every place is asked by itself, so that the choice can be named and
contradictions be reported.
"""

from __future__ import annotations

import itertools
import logging
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import rasterio
from affine import Affine
from rasterio.crs import CRS
from rasterio.errors import CRSError, NotGeoreferencedWarning
from rasterio.io import DatasetReader

from roadmask.errors import InputError, SettingError

log = logging.getLogger(__name__)

# By driver: GDAL's name of each place in its own order, and ours.
SOURCES: dict[str, tuple[tuple[str, str], ...]] = {
    "JP2OpenJPEG": (
        ("PAM", ".aux.xml"),
        ("GEOJP2", "GeoJP2"),
        ("GMLJP2", "GMLJP2"),
        ("MSIG", "MapInfo box"),
        ("WORLDFILE", "world file"),
    ),
    "GTiff": (
        ("PAM", ".aux.xml"),
        ("INTERNAL", "GeoTIFF tags"),
        ("TABFILE", ".tab file"),
        ("WORLDFILE", "world file"),
        ("XML", "ESRI .xml file"),
    ),
}
OTHER_PLACE = "file or world file"
SETTING = "imagery.crs"
PIXEL_MODE = "none (pixel mode)"

# ECW files carry whole paragraphs as the name of their CRS.
LONGEST_NAME = 60

# Transforms that put a corner less than this many pixels apart say the same.
SAME_PLACE_PIXELS = 0.1
# A turn that moves no corner by more than this many pixels is rounding.
NO_TURN_PIXELS = 1e-3


@dataclass(frozen=True)
class Candidate:
    """What one place says.

    Attributes
    ----------
    name
        The place, as users know it.
    transform
        None where it gives none.
    crs
        None where it gives none.
    """

    name: str
    transform: Affine | None
    crs: CRS | None


@dataclass(frozen=True)
class Georeference:
    """The choice that was made.

    Attributes
    ----------
    transform
        The identity in pixel mode.
    crs
        None in pixel mode.
    transform_source, crs_source
        The places they come from.
    """

    transform: Affine
    crs: CRS | None
    transform_source: str
    crs_source: str

    def __str__(self) -> str:
        if self.transform_source == self.crs_source:
            return self.transform_source
        return f"{self.transform_source}, CRS from {self.crs_source}"


PIXELS = Georeference(Affine.identity(), None, PIXEL_MODE, PIXEL_MODE)


def find_georeference(path: str, dataset: DatasetReader, crs_setting: CRS | None) -> Georeference:
    """Find a picture's place on the ground as GDAL does, and say where it comes from.

    Parameters
    ----------
    path
        The file's name.
    dataset
        The same file, open.
    crs_setting
        The value of ``imagery.crs``, used where the file carries no CRS of the earth.

    Returns
    -------
    Georeference
        Its transform runs north up, and its CRS is projected or geographic.

    Raises
    ------
    InputError
        If there is no transform (ground control points and rational polynomials are
        none), if it is turned or mirrored, or if there is no usable CRS.
    """
    candidates = ask_each_place(path, dataset.driver)
    clauses = contradictions(candidates, dataset.width, dataset.height)
    if clauses:
        order = ", ".join(candidate.name for candidate in candidates)
        log.warning("%s: %s. The first of these is used: %s", path, "; ".join(clauses), order)
    transform = dataset.transform
    if transform.is_identity:
        raise _no_transform(path, dataset)
    _check_north_up(path, transform, dataset.width, dataset.height)
    crs, crs_source = _choose_crs(path, dataset.crs, candidates, crs_setting)
    return Georeference(
        transform=transform,
        crs=crs,
        transform_source=next(
            (item.name for item in candidates if item.transform == transform), OTHER_PLACE
        ),
        crs_source=crs_source,
    )


def ask_each_place(path: str, driver: str) -> list[Candidate]:
    """Open the file once for each place that may give its georeference, in GDAL's order.

    Parameters
    ----------
    path
        The file's name.
    driver
        GDAL's name of its format. Where GDAL cannot be told which place to take, the
        list holds two candidates, ``.aux.xml`` and all else.

    Returns
    -------
    list of Candidate
        Those places that give anything.
    """
    if driver not in SOURCES:
        # No option restricts these drivers; without PAM the rest is what remains.
        with rasterio.Env(GDAL_PAM_ENABLED=False):
            return [candidate for candidate in [_ask(path, OTHER_PLACE)] if candidate is not None]
    found = []
    for keyword, name in SOURCES[driver]:
        if keyword == "PAM":
            options = {"GDAL_GEOREF_SOURCES": "PAM"}
        else:
            # GDAL leaves the transform uninitialised where no allowed place has one,
            # unless PAM is allowed; so PAM is allowed but empty.
            options = {"GDAL_GEOREF_SOURCES": f"{keyword},PAM", "GDAL_PAM_ENABLED": "NO"}
        with rasterio.Env(**options):
            candidate = _ask(path, name)
        if candidate is not None:
            found.append(candidate)
    return found


def _ask(path: str, name: str) -> Candidate | None:
    with warnings.catch_warnings():
        # Most places say nothing, which is what is asked here.
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        dataset = rasterio.open(path)
    with dataset:
        transform = None if dataset.transform.is_identity else dataset.transform
        crs = dataset.crs or None
    return None if transform is None and crs is None else Candidate(name, transform, crs)


def contradictions(candidates: Sequence[Candidate], width: int, height: int) -> list[str]:
    """List the pairs of places that say different things.

    Parameters
    ----------
    candidates
        What each place says.
    width, height
        Size of the picture in pixels.

    Returns
    -------
    list of str
        One clause for each contradiction, which names both places.
    """
    clauses = []
    for first, second in itertools.combinations(candidates, 2):
        differences = []
        if first.transform is not None and second.transform is not None:
            apart = pixels_apart(first.transform, second.transform, width, height)
            if apart > SAME_PLACE_PIXELS:
                differences.append(f"they put the picture {apart:,.4g} pixels apart")
        if first.crs is not None and second.crs is not None and first.crs != second.crs:
            differences.append(
                f"the CRS is {crs_name(first.crs)} by one and {crs_name(second.crs)} by the other"
            )
        if differences:
            clauses.append(
                f"{first.name} and {second.name} contradict each other: "
                + ", and ".join(differences)
            )
    return clauses


def pixels_apart(first: Affine, second: Affine, width: int, height: int) -> float:
    """Return how far apart two transforms put a picture's corners, in pixels of the first.

    Infinite where the first can't be inverted.
    """
    if first.is_degenerate:
        return float("inf")
    between = ~first @ second
    corners = [(column, row) for column in (0, width) for row in (0, height)]
    return float(max(math.dist(corner, between @ corner) for corner in corners))


def crs_name(crs: CRS) -> str:
    """Return a short name of a CRS: its EPSG code, or its own name."""
    epsg = crs.to_epsg()
    if epsg is not None:
        return f"EPSG:{epsg}"
    own_name: str = crs.to_wkt().split('"')[1].splitlines()[0]
    return own_name if len(own_name) <= LONGEST_NAME else own_name[:LONGEST_NAME] + "…"


def lies_on_earth(crs: CRS | None) -> bool:
    """Tell whether a CRS is projected or geographic; engineering and local ones are not."""
    return crs is not None and bool(crs.is_projected or crs.is_geographic)


def parse_crs(text: str) -> CRS:
    """Read the value of ``imagery.crs``.

    Raises
    ------
    SettingError
        If it names no projected or geographic CRS.
    """
    try:
        crs = CRS.from_user_input(text)
    except CRSError as error:
        raise SettingError(SETTING, f"{text!r} names no CRS", 'Write one as "EPSG:2263"') from error
    if not lies_on_earth(crs):
        raise SettingError(
            SETTING, f"{text!r} is neither projected nor geographic", 'Write one as "EPSG:2263"'
        )
    return crs


def _choose_crs(
    path: str, crs: CRS | None, candidates: Sequence[Candidate], crs_setting: CRS | None
) -> tuple[CRS, str]:
    if crs is not None and lies_on_earth(crs):
        source = next((item.name for item in candidates if item.crs == crs), OTHER_PLACE)
        if crs_setting is not None and crs_setting != crs:
            log.warning(
                "%s: its own CRS, %s from %s, is used, not imagery.crs (%s)",
                path,
                crs_name(crs),
                source,
                crs_name(crs_setting),
            )
        return crs, source
    if crs_setting is not None:
        return crs_setting, SETTING
    raise InputError(
        path,
        f"its CRS, {crs_name(crs)!r}, is a local one that lies nowhere on the earth"
        if crs
        else "it has no coordinate reference system (CRS)",
        "Set imagery.crs to the CRS of its coordinates, such as EPSG:2263",
    )


def _no_transform(path: str, dataset: DatasetReader) -> InputError:
    pixel_mode = (
        "or set imagery.georeference: pixel if it is to lie nowhere on the ground"  # the remedy
    )
    if dataset.gcps[0]:
        return InputError(
            path,
            f"it has {len(dataset.gcps[0])} ground control points and no transform, so its pixels "
            "have no exact place",
            f"Warp it first (gdalwarp -tps {path} warped.tif), {pixel_mode}",
        )
    if dataset.rpcs is not None:
        return InputError(
            path,
            "it has rational polynomial coefficients (RPC) and no transform: it is not "
            "orthorectified",
            f"Warp it first (gdalwarp -rpc {path} warped.tif), {pixel_mode}",
        )
    return InputError(
        path,
        "nothing says where it lies: no georeference inside, no world file beside it",
        f"Put its world file (.j2w, .tfw, .pgw or .wld) beside it, {pixel_mode}",
    )


def _check_north_up(path: str, transform: Affine, width: int, height: int) -> None:
    """Refuse turned and mirrored pictures: tiles, lines and masks are made row by row."""
    remedy = (
        f"Resample it to a north-up grid first: gdalwarp -r cubic {path} north_up.tif. If the "
        "georeference itself is wrong, put a right one beside it as .aux.xml"
    )
    if transform.is_degenerate:
        raise InputError(path, f"its transform {tuple(transform)[:6]} gives pixels no area", remedy)
    if not transform.a or not transform.e:
        raise InputError(path, "it is turned by a quarter: rows run from west to east", remedy)
    turn = max(abs(transform.b / transform.a) * height, abs(transform.d / transform.e) * width)
    if turn > NO_TURN_PIXELS:
        raise InputError(path, "its transform is rotated or sheared", remedy)
    if transform.e > 0:
        raise InputError(path, "its first row is the southern one (south up)", remedy)
    if transform.a < 0:
        raise InputError(path, "its first column is the eastern one (mirrored)", remedy)
