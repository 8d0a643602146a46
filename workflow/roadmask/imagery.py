"""What the network sees of a scene: chosen bands as bytes, and which pixels are a picture.

Tiles are cut and predictions are made through `read_network_input`, so the network gets
the same numbers in both.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.io import DatasetReader
from rasterio.windows import Window

from roadmask.errors import InputError, SettingError
from roadmask.raster import read_window

RGB = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)

# Low and high limit of each chosen band, which become 0 and 255.
Scale = tuple[tuple[float, float], ...]

BYTES = 255
SCALE_KEY = "imagery.scale"
BANDS_KEY = "imagery.bands"
# Values are looked at on about this many pixels along each side, for a message.
SAMPLE_SIDE = 512


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare which bands of a scene are seen, and which of their values become 0 and 255."""
    parser.add_argument(f"--{BANDS_KEY}", dest="bands", default="1,2,3", help="such as 1,2,3")
    parser.add_argument(
        f"--{SCALE_KEY}", dest="scale", help="limits that become 0 and 255: 0,3000 or 0,9;0,7"
    )


def chosen(arguments: argparse.Namespace) -> tuple[tuple[int, ...], Scale | None]:
    """Return the bands, and the limits that become 0 and 255.

    Raises
    ------
    SettingError
        If they are written in another way than `parse_bands` and `parse_scale` take.
    """
    bands = parse_bands(arguments.bands)
    return bands, parse_scale(arguments.scale, len(bands))


def parse_bands(text: str, key: str = BANDS_KEY, *, repeated: bool = False) -> tuple[int, ...]:
    """Read ``1,2,3``.

    Parameters
    ----------
    text
        The numbers.
    key
        What holds them.
    repeated
        Whether one band may stand there several times, as that of a grey picture which stands
        for all colours.

    Raises
    ------
    SettingError
        If it is no list of band numbers, each once unless they may be `repeated`.
    """
    try:
        bands = tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise SettingError(
            key, f"{text!r} is no list of band numbers", "Write one as [1, 2, 3]"
        ) from error
    once = "" if repeated else ", each once"
    if min(bands) < 1 or (once and len(set(bands)) < len(bands)):
        raise SettingError(key, f"{text!r}: bands count from 1{once}", "Write them as [1, 2, 3]")
    return bands


def parse_scale(text: str | None, bands: int) -> Scale | None:
    """Read ``0,3000``, or one such pair a band with semicolons between.

    Parameters
    ----------
    text
        The pairs, or None.
    bands
        How many bands are chosen.

    Returns
    -------
    tuple of pairs or None
        One pair a band; None for values taken as they are.

    Raises
    ------
    SettingError
        If it is something else, or the number of pairs fits neither one nor `bands`.
    """
    if text is None:
        return None
    remedy = "Write [low, high], or a list of these with one for each band"
    try:
        pairs = [tuple(float(part) for part in pair.split(",")) for pair in text.split(";")]
    except ValueError as error:
        raise SettingError(SCALE_KEY, f"{text!r} holds no numbers", remedy) from error
    if any(len(pair) != 2 or not pair[0] < pair[1] for pair in pairs):
        raise SettingError(SCALE_KEY, f"{text!r} is no low limit and a higher one", remedy)
    if len(pairs) not in (1, bands):
        raise SettingError(SCALE_KEY, f"{len(pairs)} pairs for {bands} bands", remedy)
    limits = pairs * bands if len(pairs) == 1 else pairs
    return tuple((pair[0], pair[1]) for pair in limits)


def check_network_bands(
    dataset: DatasetReader, bands: Sequence[int], model: str, *, are_stand_ins: bool = False
) -> None:
    """Refuse a scene without the bands that a ready network sees.

    Parameters
    ----------
    dataset
        An open scene.
    bands
        1-based numbers of the bands.
    model
        The network's name.
    are_stand_ins
        Whether ``prediction.bands`` names them, and not the network itself.

    Raises
    ------
    InputError
        Naming the scene and the network.
    """
    missing = [band for band in bands if band > dataset.count]
    if missing and are_stand_ins:
        raise InputError(
            dataset.name,
            f"it has {_bands(dataset.count)}, and prediction.bands names band "
            f"{' and '.join(map(str, missing))}",
            f"Name in prediction.bands, for each band that the network {model} sees, the one of "
            "this imagery that stands for it",
        )
    if missing:
        raise InputError(
            dataset.name,
            f"it has {_bands(dataset.count)}, and the network {model} sees its bands "
            f"{', '.join(map(str, bands))}",
            "Predict on imagery that has these bands, name those that stand for them in "
            "prediction.bands, or train a network with the imagery.bands that this imagery has",
        )


def _bands(count: int) -> str:
    return f"{count} band" if count == 1 else f"{count} bands"


def check_network_values(
    dataset: DatasetReader, bands: Sequence[int], scale: Scale | None, network: str
) -> None:
    """Refuse a scene whose values are of another kind than those that a network learned.

    Parameters
    ----------
    dataset
        An open scene, which has the bands.
    bands
        1-based numbers of the bands.
    scale
        Limits of each band that the network was trained with; None where it was on bytes.
    network
        What it is called.

    Raises
    ------
    InputError
        Naming the scene and the network.
    """
    types = sorted({dataset.dtypes[band - 1] for band in bands})
    limits = None if scale is None else max(high for _, high in scale)
    if limits is None and types != ["uint8"]:
        known = "bytes"
    elif limits is not None and limits > BYTES and types == ["uint8"]:
        known = f"values up to {limits:g}"
    else:
        return
    raise InputError(
        dataset.name,
        f"it holds {' and '.join(types)}, and {network} was trained on {known}",
        "Convert it first, by the same limits for all sheets (gdal_translate -scale), or predict "
        "with a network that was trained on such imagery",
    )


def in_colour_order(dataset: DatasetReader, bands: Sequence[int]) -> list[int]:
    """Return the chosen bands with red, green and blue first, as the file names them.

    Parameters
    ----------
    dataset
        An open scene, which has the bands.
    bands
        1-based numbers of the bands.

    Returns
    -------
    list of int
        The bands as they stand, where the file does not name all three colours among the
        first three of them.
    """
    colours = {dataset.colorinterp[band - 1]: band for band in bands[:3]}
    if set(colours) != set(RGB):
        return list(bands)
    return [*(colours[colour] for colour in RGB), *bands[3:]]


def check_imagery(
    dataset: DatasetReader, bands: Sequence[int], scale: Sequence[tuple[float, float]] | None
) -> None:
    """Make sure that the chosen bands of a scene can become what the network sees.

    Parameters
    ----------
    dataset
        An open scene.
    bands
        1-based numbers of the bands.
    scale
        Limits of each band, or None.

    Raises
    ------
    SettingError
        If a band is not there or holds no brightness (alpha, palette), or if values
        other than bytes come without limits.
    """
    for band in bands:
        if band > dataset.count:
            raise SettingError(
                BANDS_KEY,
                f"band {band} is not in {dataset.name}, which has {dataset.count}",
                f"Choose among {list(dataset.indexes)}",
            )
        kind = dataset.colorinterp[band - 1]
        if kind == ColorInterp.alpha:
            raise SettingError(
                BANDS_KEY,
                f"band {band} of {dataset.name} is alpha, which tells where a picture is",
                "Leave it out; it masks the tiles without being asked",
            )
        if kind == ColorInterp.palette:
            raise SettingError(
                BANDS_KEY,
                f"band {band} of {dataset.name} holds entries of a palette, no brightness",
                "Expand the source first: gdal_translate -expand rgb",
            )
    others = sorted({dataset.dtypes[band - 1] for band in bands} - {"uint8"})
    if others and scale is None:
        low, high, usual_low, usual_high = _sampled_range(dataset, bands)
        raise SettingError(
            SCALE_KEY,
            f"{dataset.name} holds {others[0]} with values from {low:g} to {high:g}, and the "
            "network sees bytes",
            f"Write the limits that become 0 and 255, the same for all scenes, such as "
            f"[{usual_low:g}, {usual_high:g}]",
        )


def _sampled_range(
    dataset: DatasetReader, bands: Sequence[int]
) -> tuple[float, float, float, float]:
    """Return lowest, highest, 2nd and 98th percentile of a reduced picture."""
    step = max(1, max(dataset.shape) // SAMPLE_SIDE)
    shape = (len(bands), max(1, dataset.height // step), max(1, dataset.width // step))
    values = dataset.read(list(bands), out_shape=shape, masked=True).compressed()
    values = values[np.isfinite(values)]
    if not values.size:
        return 0.0, 0.0, 0.0, 1.0
    low, high = (float(value) for value in np.percentile(values, (2, 98)))
    return float(values.min()), float(values.max()), low, high if high > low else low + 1


def scale_to_uint8(
    array: NDArray[np.generic], scale: Sequence[tuple[float, float]] | None
) -> NDArray[np.uint8]:
    """Turn values into bytes, linearly between fixed limits.

    Parameters
    ----------
    array
        ``(bands, height, width)`` of any type.
    scale
        For each band the value that becomes 0 and the one that becomes 255; what lies
        beyond is clipped. None leaves bytes as they are.

    Returns
    -------
    numpy.ndarray
        ``(bands, height, width)`` uint8, rounded to the nearest.
    """
    if scale is None:
        if array.dtype != np.uint8:
            raise ValueError(f"{array.dtype} needs a scale")
        return array.astype(np.uint8, copy=False)
    scaled = np.empty(array.shape, dtype=np.uint8)
    for band, (low, high) in enumerate(scale):
        values = (array[band].astype(np.float64) - low) * 255 / (high - low)
        scaled[band] = np.rint(np.nan_to_num(np.clip(values, 0, 255), nan=0))
    return scaled


def read_network_input(
    dataset: DatasetReader,
    window: Window,
    bands: Sequence[int],
    scale: Sequence[tuple[float, float]] | None,
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Read what the network sees of a window.

    Parameters
    ----------
    dataset
        An open scene that passed `check_imagery`.
    window
        Whole pixels; it may stick out of the scene on any side.
    bands
        1-based numbers of the bands.
    scale
        Limits of each band, or None.

    Returns
    -------
    picture : numpy.ndarray
        ``(height, width, bands)`` uint8; 0 where there is no picture.
    valid : numpy.ndarray
        ``(height, width)`` bool: where there is a picture. False outside the scene,
        where all chosen bands are nodata or one is not a number, where the scene's alpha
        is 0, and where its mask says so.
    """
    x, y = int(window.col_off), int(window.row_off)
    width, height = int(window.width), int(window.height)
    values = read_window(dataset, x, y, width, height, bands=bands)
    valid = _inside(dataset, x, y, width, height)
    if dataset.nodata is not None:
        valid &= _differs(values, dataset.nodata).any(axis=0)
    if values.dtype.kind == "f":
        valid &= ~np.isnan(values).any(axis=0)
    alpha = [
        band
        for band, kind in zip(dataset.indexes, dataset.colorinterp, strict=True)
        if kind == ColorInterp.alpha
    ]
    if alpha:
        valid &= (read_window(dataset, x, y, width, height, bands=alpha) != 0).all(axis=0)
    elif MaskFlags.per_dataset in dataset.mask_flag_enums[0]:
        valid &= _own_mask(dataset, x, y, width, height)
    picture = scale_to_uint8(values, scale)
    picture = np.where(valid, picture, np.uint8(0))
    return np.ascontiguousarray(np.moveaxis(picture, 0, -1)), valid


def _inside(dataset: DatasetReader, x: int, y: int, width: int, height: int) -> NDArray[np.bool_]:
    columns, rows = np.arange(x, x + width), np.arange(y, y + height)
    across = (columns >= 0) & (columns < dataset.width)
    down = (rows >= 0) & (rows < dataset.height)
    inside: NDArray[np.bool_] = down[:, np.newaxis] & across
    return inside


def _differs(values: NDArray[np.generic], nodata: float) -> NDArray[np.bool_]:
    if np.isnan(nodata):
        return np.asarray(~np.isnan(values))
    # In the raster's own type: float32 has no exact -3.4e38 as float64 has it.
    return np.asarray(values != np.array(nodata).astype(values.dtype))


def _own_mask(dataset: DatasetReader, x: int, y: int, width: int, height: int) -> NDArray[np.bool_]:
    mask = np.zeros((height, width), dtype=np.bool_)
    left, top = max(x, 0), max(y, 0)
    right, bottom = min(x + width, dataset.width), min(y + height, dataset.height)
    if left < right and top < bottom:
        inside = Window(left, top, right - left, bottom - top)
        mask[top - y : bottom - y, left - x : right - x] = dataset.read_masks(1, window=inside) != 0
    return mask
