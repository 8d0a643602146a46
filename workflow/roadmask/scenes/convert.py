"""From any readable picture to a cloud-optimized GeoTIFF with the same pixels.

What can't be kept as it is:

=====================================  ============================================
source                                 what happens
=====================================  ============================================
bands of different bit depths          widened to one type, with a warning
(13 + 1 bit in a JP2)
a type of fewer than 8 bits            widened to uint8, values unchanged, with a
(1-bit mask)                           warning
1-bit alpha beside 8-bit bands         GDAL widens 0, 1 to 0, 255, with a warning
components of which GDAL would lose    refused
bits (a 23-bit one beside 8 bits)
components of mixed signedness         refused
bands of different types               refused
complex numbers                        refused
different nodata values by band        refused
a nodata value that the type can't     dropped, with a warning
hold (-9999 in bytes)
subsampled components (YCbCr 4:2:0)    widened by GDAL, with a warning
"alpha" that holds a picture (a near-  kept as an ordinary band, with a warning
infrared band marked by mistake)
a palette                              kept; stage `tiles` refuses it
further pages of a TIFF                dropped, with a warning
statistics, RPC, other metadata        dropped
=====================================  ============================================
"""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader, DatasetWriter
from rasterio.windows import Window

from roadmask import __version__
from roadmask.binary import open_bytes
from roadmask.errors import InputError, SettingError
from roadmask.files import replacing
from roadmask.grid import Grid
from roadmask.png import check_whole
from roadmask.raster import cog_writer, environment
from roadmask.scenes.boxes import DECODING_BUDGET, GIB, Jpeg2000, inspect, is_jpeg2000
from roadmask.scenes.georeference import PIXELS, Georeference, crs_name, find_georeference

log = logging.getLogger(__name__)

# What one window may hold, all bands together.
WINDOW_BYTES = 64 * 2**20
# Windows in which a band said to be alpha is looked at, and the share of values well
# between clear and opaque above which it is a picture. Feathered edges stay below.
ALPHA_SAMPLES = 9
PICTURE_SHARE = 0.5


@dataclass(frozen=True)
class Conversion:
    """What was done.

    Attributes
    ----------
    grid
        The scene's grid.
    georeference
        Where its place on the ground comes from.
    warnings
        What was widened, dropped or taken otherwise than the source says.
    """

    grid: Grid
    georeference: Georeference
    warnings: tuple[str, ...] = ()


@dataclass
class _Profile:
    """What the scene will be like, found before a pixel is written."""

    dtype: str
    nodata: float | None
    colours: list[ColorInterp]
    warnings: list[str] = field(default_factory=list)


def convert(
    source: str,
    output: Path,
    *,
    pixel_mode: bool = False,
    crs: CRS | None = None,
    nodata: float | None = None,
) -> Conversion:
    """Write a picture as a COG and compare the two, pixel for pixel.

    Parameters
    ----------
    source
        A file on disk, or one of GDAL's paths (``/vsizip/…``). Never written to.
    output
        The COG, which appears only when it is whole and equal.
    pixel_mode
        Ignore any georeference: identity transform, no CRS.
    crs
        Used where the source carries none.
    nodata
        Used where the source carries none.

    Returns
    -------
    Conversion
        The scene's grid, and what happened.

    Raises
    ------
    InputError
        If the source is damaged, of a kind that can't be kept, or lies nowhere.
    """
    header = inspect_source(source)
    with environment(), _open(source) as dataset:
        profile = _plan(source, dataset, header, nodata)
        georeference = PIXELS if pixel_mode else find_georeference(source, dataset, crs)
        log.info(
            "%s: %s, %d x %d, %d bands of %s, CRS %s, georeference: %s",
            source,
            dataset.driver,
            dataset.width,
            dataset.height,
            dataset.count,
            profile.dtype,
            crs_name(georeference.crs) if georeference.crs else "none",
            georeference,
        )
        for warning in profile.warnings:
            log.warning("%s: %s", source, warning)
        grid = Grid(dataset.width, dataset.height, georeference.transform, georeference.crs)
        tags = {
            "ROADMASK_SOURCE": source.rsplit("/", 1)[-1],
            "ROADMASK_GEOREFERENCE": str(georeference),
            "ROADMASK_VERSION": __version__,
            "ROADMASK_SETTINGS": json.dumps(
                {
                    "imagery.georeference": "pixel" if pixel_mode else "required",
                    "imagery.crs": crs.to_string() if crs else None,
                    "imagery.nodata": None if nodata is None else str(nodata),
                }
            ),
        }
        with replacing(output) as unchecked:
            digests = _write(source, dataset, unchecked, grid, profile, tags)
            _compare(source, unchecked, grid, profile, digests)
    return Conversion(grid, georeference, tuple(profile.warnings))


def inspect_source(source: str) -> Jpeg2000 | None:
    """Look at a file's first bytes, at all headers of a JPEG 2000 file and at a PNG's chunks.

    Parameters
    ----------
    source
        A file on disk, or one of GDAL's paths.

    Returns
    -------
    Jpeg2000 or None
        None for another format, whatever the file's name says.

    Raises
    ------
    InputError
        If it is missing, empty, truncated or damaged, claims an impossible size, or is
        of a format that GDAL's free part does not read.
    """
    with environment(), open_bytes(source) as data:
        head = data.read(0, 16)
        if not head.strip(b"\0"):
            raise InputError(source, "the file is empty", "Fetch it again")
        if head.startswith(b"msid"):
            raise InputError(
                source,
                "MrSID is read by its owner's software only",
                "Convert it first with mrsidgeodecode to GeoTIFF",
            )
        if not is_jpeg2000(head):
            check_whole(source, data)
            return None
        header = inspect(source, data)
    log.info("%s: %s", source, header)
    return header


def _open(source: str) -> DatasetReader:
    try:
        return rasterio.open(source)
    except RasterioError as error:
        raise InputError(
            source,
            f"GDAL can't open it ({error})",
            "Give JPEG 2000, GeoTIFF, or PNG with imagery.georeference: pixel",
        ) from error


def _plan(
    source: str, dataset: DatasetReader, header: Jpeg2000 | None, nodata: float | None
) -> _Profile:
    """Decide what the scene is like, and refuse what can't be kept."""
    if not dataset.count:
        raise InputError(
            source,
            "it holds no band of its own, only subdatasets",
            f"Name one of them: {', '.join(dataset.subdatasets[:3])}",
        )
    kinds = sorted(set(dataset.dtypes))
    if len(kinds) > 1:
        raise InputError(
            source,
            f"its bands have different types ({', '.join(kinds)})",
            "Convert them to one with gdal_translate -ot",
        )
    if np.dtype(kinds[0]).kind == "c":
        raise InputError(
            source, "it holds complex numbers, not a picture", "Take their magnitude first"
        )
    profile = _Profile(kinds[0], None, list(dataset.colorinterp))
    if dataset.subdatasets:
        profile.warnings.append(
            f"it holds {len(dataset.subdatasets)} pictures, of which the first is taken"
        )
    if header is not None:
        _check_components(source, dataset, header, profile)
    else:
        _note_narrow_bands(dataset, profile)
    block_bytes = max(math.prod(shape) for shape in dataset.block_shapes) * dataset.count
    if block_bytes * np.dtype(kinds[0]).itemsize > DECODING_BUDGET:
        raise InputError(
            source,
            f"one block of it ({dataset.block_shapes[0][1]} x {dataset.block_shapes[0][0]}) takes "
            f"more than {DECODING_BUDGET / GIB:.0f} GiB, so it can't be read by windows",
            f"Write it anew in tiles: gdal_translate -co TILED=YES {source} tiled.tif",
        )
    _choose_nodata(source, dataset, nodata, profile)
    _check_alpha(source, dataset, profile)
    return profile


def _check_components(
    source: str, dataset: DatasetReader, header: Jpeg2000, profile: _Profile
) -> None:
    """Compare a JPEG 2000 file's components with the type that GDAL gives them."""
    depths = [component.bits for component in header.components]
    room = np.dtype(profile.dtype).itemsize * 8
    written = ", ".join(map(str, depths))
    if max(depths) > room:
        raise InputError(
            source,
            f"its components have {written} bits and GDAL would cut them to {room}",
            "Convert it with the software that made it to one depth of 8 or 16 bits",
        )
    if len({component.signed for component in header.components}) > 1:
        raise InputError(
            source,
            "some of its components are signed and some are not, and GDAL gives all one type",
            "Convert it with the software that made it to one type",
        )
    if len(set(depths)) > 1:
        profile.warnings.append(f"its components have {written} bits; all become {profile.dtype}")
    elif depths[0] not in (8, 16, 32):
        log.info("%s: %d bits are stored as %s", source, depths[0], profile.dtype)
    if any(component.step != (1, 1) for component in header.components):
        profile.warnings.append("some components are subsampled; GDAL widens them")
    if dataset.count != len(header.components) and not header.palette:
        raise InputError(
            source,
            f"it has {len(header.components)} components, of which GDAL reads {dataset.count}",
            "Convert it with the software that made it",
        )


def _note_narrow_bands(dataset: DatasetReader, profile: _Profile) -> None:
    bits = [dataset.tags(band, ns="IMAGE_STRUCTURE").get("NBITS") for band in dataset.indexes]
    narrow = sorted({int(value) for value in bits if value is not None and int(value) < 8})
    if narrow:
        profile.warnings.append(
            f"values of {' and '.join(map(str, narrow))} bit become {profile.dtype}, unchanged"
        )


def _choose_nodata(
    source: str, dataset: DatasetReader, setting: float | None, profile: _Profile
) -> None:
    own = set(map(str, dataset.nodatavals))
    if len(own) > 1:
        raise InputError(
            source,
            f"its bands have different nodata values ({', '.join(sorted(own))}), and a GeoTIFF "
            "has one",
            "Give them one with gdalwarp -dstnodata",
        )
    value = dataset.nodata
    if value is not None:
        if not fits(value, profile.dtype):
            profile.warnings.append(
                f"its nodata value {value:g} is none that {profile.dtype} can hold; dropped"
            )
            value = None
        elif setting is not None and str(float(setting)) != str(float(value)):
            log.info("%s: its own nodata value %g is used, not imagery.nodata", source, value)
    elif setting is not None:
        if not fits(setting, profile.dtype):
            raise SettingError(
                "imagery.nodata",
                f"{setting:g} is no value of {source}, which is {profile.dtype}",
                "Write one that occurs in it, or null",
            )
        value = setting
    profile.nodata = value


def fits(value: float, dtype: str) -> bool:
    """Tell whether a band of `dtype` can hold `value`."""
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return True
    limits = np.iinfo(kind)
    return math.isfinite(value) and float(value).is_integer() and limits.min <= value <= limits.max


def _check_alpha(source: str, dataset: DatasetReader, profile: _Profile) -> None:
    """Take alpha for an ordinary band where it holds a picture.

    GDAL and rasterio mark the fourth band of a GeoTIFF as alpha unless told otherwise,
    so near infrared often comes so marked.
    """
    for band, colour in enumerate(profile.colours, start=1):
        if colour != ColorInterp.alpha:
            continue
        share = _middle_share(source, dataset, band)
        if share > PICTURE_SHARE:
            profile.colours[band - 1] = ColorInterp.undefined
            profile.warnings.append(
                f"band {band} is marked as alpha, but {share:.0%} of its values are neither clear "
                "nor opaque: taken for a band of the picture, such as near infrared"
            )


def _middle_share(source: str, dataset: DatasetReader, band: int) -> float:
    """Return the share of a band's values in the middle half of their range, in samples."""
    windows = list(windows_of(dataset))
    step = max(1, len(windows) // ALPHA_SAMPLES)
    values = np.concatenate(
        [_read(source, dataset, window, [band]).ravel() for window in windows[::step]]
    ).astype("float64")
    highest = values.max()
    low, high = highest / 8, highest * 7 / 8
    return float(((values > low) & (values < high)).mean())


def windows_of(dataset: DatasetReader) -> Iterator[Window]:
    """Walk a raster in windows made of whole blocks, so that none is decoded twice.

    Each holds at most `WINDOW_BYTES`, or one block.
    """
    block_height, block_width = dataset.block_shapes[0]
    pixel = sum(np.dtype(dtype).itemsize for dtype in dataset.dtypes)
    blocks = max(1, WINDOW_BYTES // (block_height * block_width * pixel))
    across = min(blocks, math.ceil(dataset.width / block_width))
    width = across * block_width
    height = max(1, blocks // across) * block_height
    for y, x in itertools.product(range(0, dataset.height, height), range(0, dataset.width, width)):
        yield Window(x, y, min(width, dataset.width - x), min(height, dataset.height - y))


def _read(
    source: str, dataset: DatasetReader, window: Window, bands: Sequence[int] | None = None
) -> np.ndarray:
    try:
        pixels: np.ndarray = dataset.read(bands, window=window)
    except RasterioError as error:
        raise InputError(
            source,
            f"its pixels can't be decoded ({error.__cause__ or error})",
            "It is damaged, or of a kind that GDAL does not decode: fetch it again or convert it",
        ) from error
    return pixels


def _has_own_mask(dataset: DatasetReader) -> bool:
    flags = dataset.mask_flag_enums[0]
    return MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags


def _write(
    source: str,
    dataset: DatasetReader,
    output: Path,
    grid: Grid,
    profile: _Profile,
    tags: dict[str, str],
) -> list[tuple[Window, bytes]]:
    """Write the COG; return what each window of the source held, as a digest."""
    palette = profile.colours[0] == ColorInterp.palette and dataset.count == 1
    own_mask = _has_own_mask(dataset)
    digests = []
    with cog_writer(
        output,
        grid,
        count=dataset.count,
        dtype=profile.dtype,
        nodata=profile.nodata,
        colormap=dataset.colormap(1) if palette else None,
        tags=tags,
        overview_resampling="nearest" if palette else "average",
    ) as scene:
        if not palette:
            # Before the first pixel: later GDAL no longer changes which band is alpha.
            scene.colorinterp = profile.colours
        _keep_band_metadata(dataset, scene)
        for window in windows_of(dataset):
            pixels = _read(source, dataset, window)
            scene.write(pixels, window=window)
            mask = dataset.read_masks(1, window=window) if own_mask else None
            if mask is not None:
                scene.write_mask(mask, window=window)
            digests.append((window, _digest(pixels, mask)))
    return digests


def _keep_band_metadata(dataset: DatasetReader, scene: DatasetWriter) -> None:
    for band, description in enumerate(dataset.descriptions, start=1):
        if description:
            scene.set_band_description(band, description)
    if set(dataset.scales) != {1.0} or set(dataset.offsets) != {0.0}:
        scene.scales, scene.offsets = dataset.scales, dataset.offsets
    if any(dataset.units):
        scene.units = [unit or "" for unit in dataset.units]


def _digest(pixels: np.ndarray, mask: np.ndarray | None) -> bytes:
    digest = hashlib.blake2b(np.ascontiguousarray(pixels).data, digest_size=16)
    if mask is not None:
        digest.update(np.ascontiguousarray(mask).data)
    return digest.digest()


def _compare(
    source: str,
    scene_path: Path,
    grid: Grid,
    profile: _Profile,
    digests: Sequence[tuple[Window, bytes]],
) -> None:
    """Read the COG again and make sure that nothing of the source was lost."""
    with rasterio.open(scene_path) as scene:
        own_mask = _has_own_mask(scene)
        differing = [
            window
            for window, digest in digests
            if _digest(
                scene.read(window=window),
                scene.read_masks(1, window=window) if own_mask else None,
            )
            != digest
        ]
        found: dict[str, Any] = {
            "width": scene.width,
            "height": scene.height,
            "transform": scene.transform,
            "CRS": scene.crs,
            "type": set(scene.dtypes),
            "nodata": str(scene.nodata),
        }
    wanted = {
        "width": grid.width,
        "height": grid.height,
        "transform": grid.transform,
        "CRS": grid.crs,
        "type": {profile.dtype},
        "nodata": str(None if profile.nodata is None else float(profile.nodata)),
    }
    problems = [
        f"{name} {found[name]} instead of {value}"
        for name, value in wanted.items()
        if found[name] != value
    ]
    if differing:
        problems.append(f"other pixels in {len(differing)} windows, first {differing[0]}")
    if problems:
        raise InputError(
            source,
            f"as GeoTIFF it would not be the same: {'; '.join(problems)}",
            "Please report this file; converting it with gdal_translate may help",
        )
