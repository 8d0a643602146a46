"""The settings: every key of ``config.yaml`` with its type, default and meaning.

The models here are the one source of truth. ``config.yaml`` and its JSON schema are written from
them (`planning.documents`), and the rules' ``params`` are made from their leaves (`leaves`,
`argument`).
"""

from __future__ import annotations

import json
import math
import re
import types
import typing
from collections.abc import Iterator
from dataclasses import fields
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)
from pydantic_core import PydanticCustomError

from roadmask.classes import ClassTable, field_value
from roadmask.distance import PATTERN, UNITS, parse_distance
from roadmask.errors import SettingError
from roadmask.model.network_settings import NetworkSettings

DEMO = "demo"
DEFAULT_CLASSES = {"road": 1}


NULLS = ("", "null", "~")
# What others write to.
NOT_FOR_RESULTS = (".snakemake", ".venv", "data/demo")


def _accepts_text(annotation: object) -> bool:
    """Return whether a value of this type may be text, at any depth."""
    if annotation is str:
        return True
    if typing.get_origin(annotation) is Literal:
        return any(isinstance(value, str) for value in typing.get_args(annotation))
    if typing.get_origin(annotation) is Annotated:
        return _accepts_text(typing.get_args(annotation)[0])
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return True
    return any(_accepts_text(part) for part in typing.get_args(annotation) if part is not str)


def _accepts_null(annotation: object) -> bool:
    """Return whether None is one of the values of this type."""
    origin = typing.get_origin(annotation)
    return origin in (typing.Union, types.UnionType) and type(None) in typing.get_args(annotation)


def _unquoted(value: object) -> object:
    """Read text as the YAML scalar that it looks like, lists element by element.

    ``--config 'tiles={size: 300}'`` hands over ``"300"``, and YAML 1.1 takes ``1e-3`` for text.
    """
    if isinstance(value, list):
        return [_unquoted(part) for part in value]
    if not isinstance(value, str):
        return value
    if re.fullmatch(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+", value):
        return float(value)
    try:
        return yaml.safe_load(value)
    except yaml.YAMLError:
        return value


# No picture is as wide; what is above is a slip of the unit.
MOST_METRES, MOST_PIXELS = 1_000_000, 1_000_000


def _distance(
    least: float, *, pixels: bool = True, most_metres: float = MOST_METRES
) -> AfterValidator:
    """Return a check that text is a distance with a unit, not below `least`, nor beyond reason."""

    def check(text: str) -> str:
        try:
            distance = parse_distance(text)
        except SettingError as error:
            raise PydanticCustomError(
                "distance",
                "{problem}. {remedy}",
                {"problem": error.problem, "remedy": error.remedy},
            ) from None
        if distance.value < least or (least > 0 and distance.value == 0):
            raise PydanticCustomError("distance", "must be more than 0, not {text}", {"text": text})
        if distance.unit == "px" and not pixels:
            raise PydanticCustomError(
                "distance", "{text} is in pixels: a length on the ground is needed", {"text": text}
            )
        is_long = (
            distance.value > MOST_PIXELS if distance.unit == "px" else distance.metres > most_metres
        )
        if is_long:
            raise PydanticCustomError(
                "distance",
                "{text} is too long: at most {most} km, or {pixels} px",
                {"text": text, "most": f"{most_metres / 1000:g}", "pixels": MOST_PIXELS},
            )
        return _spelled(text)

    return AfterValidator(check)


def _spelled(text: str) -> str:
    """Write a distance in one way, so that another spelling of it runs nothing again."""
    number, unit = re.fullmatch(PATTERN, text).groups()  # type: ignore[union-attr]
    return f"{Decimal(number).normalize():f} {unit}"


def _no_bare_number(value: object) -> object:
    """Refuse a distance without unit in words of its own."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise PydanticCustomError(
            "distance",
            '{number} has no unit. Write "{number} ft" or another of {units}',
            {"number": f"{value:g}", "units": ", ".join(UNITS)},
        )
    return value


_DISTANCE_SCHEMA = WithJsonSchema({"type": "string", "pattern": PATTERN})
Halo = Annotated[
    str, BeforeValidator(_no_bare_number), _distance(0, most_metres=10_000), _DISTANCE_SCHEMA
]
PositiveDistance = Annotated[
    str, BeforeValidator(_no_bare_number), _distance(1e-12), _DISTANCE_SCHEMA
]
GroundDistance = Annotated[
    str, BeforeValidator(_no_bare_number), _distance(1e-12, pixels=False), _DISTANCE_SCHEMA
]
MOVE = r"^\s*[-+]?\s*" + PATTERN.removeprefix(r"^\s*")


def _move(text: str) -> str:
    """Check a distance that may be negative."""
    if not re.fullmatch(MOVE, text):
        raise PydanticCustomError(
            "distance",
            "{text} is no distance with a unit, such as -3 ft",
            {"text": json.dumps(text)},
        )
    bare = text.strip()
    sign = "-" if bare.startswith("-") else ""
    return sign + _spelled(bare.lstrip("+-"))


Move = Annotated[
    str,
    BeforeValidator(_no_bare_number),
    AfterValidator(_move),
    WithJsonSchema({"type": "string", "pattern": MOVE}),
]
WidthUnit = GroundDistance
Share = Annotated[float, Field(ge=0, le=1)]
PartShare = Annotated[float, Field(gt=0, lt=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]


def _check_text(text: str) -> str:
    """Refuse what can't be an argument of a command."""
    try:
        is_passable = "\0" not in text and bool(text.encode())
    except UnicodeEncodeError:
        is_passable = False
    if not is_passable:
        raise PydanticCustomError("text", "{text} holds no text", {"text": ascii(text)})
    return text


Text = Annotated[str, Field(min_length=1, pattern=r"\S"), AfterValidator(_check_text)]


class Section(BaseModel):
    """A mapping of keys in ``config.yaml``."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, validate_default=True, allow_inf_nan=False
    )

    @field_validator("*", mode="before")
    @classmethod
    def _read_text(cls, value: object, info: ValidationInfo) -> object:
        annotation = cls.model_fields[str(info.field_name)].annotation
        if isinstance(annotation, type) and issubclass(annotation, Section):
            return {} if value is None else value  # `tiles:` with nothing below it
        if not _accepts_text(annotation):
            return _unquoted(value)
        if _accepts_null(annotation) and isinstance(value, str) and value.strip() in NULLS:
            return None
        return value


class Layer(Section):
    """A vector layer and the part of it that counts."""

    path: Text | None = Field(
        default=None,
        description="shapefile, zipped shapefile, GeoPackage, GeoJSON …; also /vsizip/ paths",
    )
    layer: Text | None = Field(
        default=None, description="the layer's name, where the file holds several"
    )
    where: Text | None = Field(default=None, description="the features that count, in OGR SQL")


class Demo(Section):
    """The built-in city."""

    seed: Seed = Field(default=1, description="which city")
    broken_lines: Share = Field(
        default=0.1, description="share of street lines that get a gap of 2 to 25 ft"
    )


def _limits(value: object) -> object:
    """Let one pair of limits stand for all bands."""
    value = _unquoted(value)
    if isinstance(value, list) and value and not any(isinstance(part, list) for part in value):
        return [value]
    return value


def _check_limits(pairs: list[list[float]] | None) -> list[list[float]] | None:
    for pair in pairs or []:
        if len(pair) != 2 or pair[0] >= pair[1]:
            raise PydanticCustomError(
                "limits", "{pair} is no pair [low, high] with low below high", {"pair": str(pair)}
            )
    return pairs


def _check_bands(bands: list[int]) -> list[int]:
    if len(set(bands)) != len(bands):
        raise PydanticCustomError("bands", "names a band twice", {})
    return bands


def _epsg(value: object) -> object:
    """Let a bare number stand for an EPSG code."""
    is_code = isinstance(value, int) and not isinstance(value, bool)
    return f"EPSG:{value}" if is_code else value


def _check_crs(text: str | None) -> str | None:
    if text is None:
        return None
    # Takes a quarter of a second, which few plans need. Unlike the PROJ inside rasterio, that
    # inside pyproj is not led astray by another installation's PROJ_DATA.
    from pyproj import CRS  # noqa: PLC0415
    from pyproj.exceptions import CRSError  # noqa: PLC0415

    try:
        crs = CRS.from_user_input(text)
    except CRSError:
        raise PydanticCustomError(
            "crs",
            "{text} is no CRS that PROJ knows. Write its code, such as EPSG:2263",
            {"text": text},
        ) from None
    if not (crs.is_projected or crs.is_geographic):
        raise PydanticCustomError(
            "crs",
            "{text} is a {kind}, in which pictures have no place. Write a projected or geographic "
            "one, such as EPSG:2263",
            {"text": text, "kind": crs.type_name},
        )
    return text


def _check_nodata(value: float | None) -> float | None:
    if value is not None and math.isinf(value):
        raise PydanticCustomError("nodata", "infinity is no value of a pixel; .nan may be one", {})
    return value


def _one_path(value: object) -> object:
    """Let one path stand for a list of one."""
    return [value] if isinstance(value, str) and value else value


Paths = Annotated[list[Text], BeforeValidator(_one_path)]


class Imagery(Section):
    """The pictures."""

    paths: Paths = Field(
        default=[],
        description="files, folders, globs: JP2, GeoTIFF, PNG; /vsizip/, /vsis3/, /vsicurl/ paths",
    )
    bands: Annotated[
        list[Annotated[int, Field(ge=1, le=65535)]],
        Field(min_length=1),
        AfterValidator(_check_bands),
    ] = Field(default=[1, 2, 3], description="the source bands used, counted from 1, in this order")
    scale: Annotated[
        list[list[float]] | None, BeforeValidator(_limits), AfterValidator(_check_limits)
    ] = Field(
        default=None,
        description="[low, high], or a list of these, one a band: the source values that become "
        "0 and 255. Needed for other types than uint8",
        json_schema_extra={"type": ["array", "null"], "items": {"type": ["number", "array"]}},
    )
    crs: Annotated[Text | None, BeforeValidator(_epsg), AfterValidator(_check_crs)] = Field(
        default=None, description='such as "EPSG:2263"; used where a file carries none'
    )
    nodata: Annotated[
        Annotated[float, Field(allow_inf_nan=True)] | None, AfterValidator(_check_nodata)
    ] = Field(default=None, description="used where a file carries none")
    georeference: Literal["required", "pixel"] = Field(
        default="required", description="`pixel` for pictures that lie nowhere on the ground"
    )


class Centerlines(Layer):
    """The middle lines of the roads, and the paved width they carry."""

    width_field: Text | None = Field(default=None, description="the field with the paved width")
    width_unit: WidthUnit = Field(
        default="1 ft", description='what 1 in that field means; "12 ft" where it counts lanes'
    )
    width: PositiveDistance | None = Field(
        default=None, description="the width where there is no field or no value in it"
    )


class Lines(Section):
    """Line rasters."""

    halo: Halo = Field(
        default="200 ft", description="how far beyond a sheet's border lines are looked at"
    )


class Tiles(Section):
    """The tiles that scenes, lines and masks are cut into."""

    size: Annotated[int, Field(ge=16, le=8192)] = Field(default=256, description="edge in pixels")
    overlap: Annotated[int, Field(ge=0)] = Field(
        default=0, description="pixels that neighbouring tiles share; less than the size"
    )


class PolygonLabels(Layer):
    """Polygons of the classes themselves."""

    field: Text | None = Field(
        default=None,
        description="the field that tells a polygon's class, by the values under `classes`; null: "
        "all are of the only class",
    )


class RasterLabels(Section):
    """Ready masks."""

    path: Text | None = Field(
        default=None,
        description="with {scene} in it, which stands for the scene's name; with `resample` it may "
        "be one file for all",
    )
    resample: Literal["nearest"] | None = Field(
        default=None,
        description="null: a mask on another grid than its scene's is refused; nearest: each pixel "
        "takes the mask's pixel under its centre",
    )
    tolerance: Annotated[int, Field(ge=0, le=255)] = Field(
        default=0,
        description="how far each of red, green and blue, or a value, may lie from a class's "
        "(masks saved as JPEG); with several classes the rest becomes 255",
    )


def _raster_path(value: object) -> object:
    """Let the path stand for the mapping that holds it."""
    return {"path": value} if isinstance(value, str) else value


class Labels(Section):
    """How each pixel gets its label."""

    method: Literal["regions", "buffer", "polygons", "raster"] = Field(
        default="regions",
        description="regions (street lines + centerlines), buffer (centerlines + width), "
        "polygons (roadbeds), raster (ready masks)",
    )
    polygons: PolygonLabels = Field(
        default=PolygonLabels(), description="for `polygons`: the label itself"
    )
    islands: Layer = Field(default=Layer(), description="ground cut out of the label")
    reference: Layer = Field(
        default=Layer(), description="an answer to score against, never trained on"
    )
    raster: Annotated[RasterLabels, BeforeValidator(_raster_path)] = Field(
        default=RasterLabels(), description="for `raster`: the masks; the path alone will do"
    )
    threshold: float = Field(
        default=127, description="for `raster` with one class: values above it are road"
    )
    ends: Literal["flat", "round"] = Field(
        default="flat",
        description="for `buffer`: flat (a road stops where its line stops) or round (half a disc "
        "beyond); where lines meet, neither leaves a notch",
    )
    max_road_width: PositiveDistance = Field(
        default="150 ft", description="a ceiling: wider than any road here"
    )
    shift: Annotated[list[Move], Field(min_length=2, max_length=2)] | None = Field(
        default=None,
        description='["3 ft", "-2 ft"] moves all labels to the right and down in the pictures, '
        "before they are drawn; selection/offsets.json says what each sheet would need",
    )
    max_shift: PositiveDistance = Field(
        default="3 ft", description="how far a sheet's labels may lie off its picture"
    )
    on_shift: Literal["warn", "error"] = Field(
        default="warn", description="what happens where they lie farther off: warn or error"
    )


class Selection(Section):
    """Which tiles are left out."""

    min_road_share: Share = Field(
        default=0.01,
        description="least share of road in a tile to train on; with several classes, of all that "
        "is not other",
    )
    max_road_share: Share = Field(
        default=0.95,
        description="largest share of road in a tile to train on; with several classes, which may "
        "fill all ground, it binds nothing",
    )
    empty_share: Share = Field(
        default=0.1, description="how many of the road-free tiles training keeps"
    )
    max_nodata_share: Share = Field(default=0.5, description="of all pixels of a tile")
    max_unknown_share: Share = Field(
        default=0.2, description="of a tile's pixels that have a picture"
    )
    review: Text | None = Field(
        default=None, description="CSV `tile,verdict` (keep or drop) by a person, which wins"
    )
    review_tiles: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=100, description="how many tiles selection/review.html shows, the doubtful first"
    )


class Split(Section):
    """Training, validation and test ground."""

    train: PartShare = Field(default=0.7, description="share of the blocks")
    val: PartShare = Field(default=0.15, description="share of the blocks")
    test: PartShare = Field(default=0.15, description="share of the blocks")
    block: PositiveDistance = Field(
        default="256 ft", description="edge of a square of ground that never straddles two splits"
    )
    seed: Seed = Field(default=1, description="another number deals the blocks out in another way")


class Model(Section):
    """The network."""

    architecture: Literal[
        "unet",
        "unet_wide",
        "deeplabv3plus",
        "inceptionresnetv2_unet",
        "efficientnetlite0_unet",
        "lite_unet",
    ] = Field(default="unet", description="its name")
    backbone: Literal["xception", "mobilenetv2", "resnet50v2", "efficientnetlite0"] | None = Field(
        default=None, description="the encoder of deeplabv3plus; null: xception"
    )
    output_stride: Literal[16, 8] | None = Field(
        default=None,
        description="pixels between two of the deepest features of deeplabv3plus; null: 16",
    )
    weights: Text | None = Field(
        default="auto",
        description="what training starts from: imagenet, a file (.h5, .keras; .pth for "
        "EfficientNet-Lite0), null (random numbers), or auto: imagenet where the weights come "
        "with the environment, else random numbers",
    )
    export: list[Literal["savedmodel", "onnx", "tflite"]] = Field(
        default=["savedmodel"],
        description="other formats it is written in, which take bytes and give probabilities: "
        "savedmodel, onnx, tflite",
    )
    activations: list[Text] = Field(
        default=[], description="names of layers whose activation maps are drawn"
    )


def _check_crop(crop: int) -> int:
    if crop % 16:
        raise PydanticCustomError("crop", "{crop} is no multiple of 16", {"crop": crop})
    return crop


Probability = Annotated[float, Field(ge=0, le=1)]


def _limit(low: float, high: float, default: float, description: str) -> Any:  # noqa: ANN401
    return Field(default=default, ge=low, le=high, description=description)


class Augmentation(Section):
    """Random changes of what is trained on: how likely each is, and how strong at most."""

    crop: Probability = Field(
        default=1, description="a crop lies anywhere in its tile, not in the middle"
    )
    rotation: Probability = Field(default=0, description="turned by any angle")
    rotation_limit: float = _limit(0, 180, 45, "degrees either way")
    scale: Probability = Field(default=0, description="larger or smaller")
    scale_limit: float = _limit(1, 4, 1.25, "factor: 1.25 is 0.8 to 1.25 times")
    grid_distortion: Probability = Field(default=0, description="bent along a grid of five cells")
    grid_distortion_limit: float = _limit(0, 0.45, 0.3, "share of a cell")
    elastic: Probability = Field(default=0, description="bent smoothly")
    elastic_limit: float = _limit(0, 100, 4, "pixels")
    flip_horizontal: Probability = Field(default=0.5, description="left and right swapped")
    flip_vertical: Probability = Field(default=0.5, description="top and bottom swapped")
    quarter_turns: Probability = Field(default=0.75, description="turned by 90, 180 or 270 degrees")
    gamma: Probability = Field(default=1, description="another tone curve")
    gamma_limit: float = _limit(0, 2, 0.05, "natural logarithm of its exponent")
    exposure: Probability = Field(default=1, description="another gain of all bands")
    exposure_limit: float = _limit(0, 2, 0.1, "natural logarithm: 0.1 is 0.90 to 1.11 times")
    white_balance: Probability = Field(default=1, description="another gain of each band")
    white_balance_limit: float = _limit(0, 2, 0.02, "natural logarithm of the gain")
    contrast: Probability = Field(default=0, description="stronger or weaker about the mean")
    contrast_limit: float = _limit(0, 2, 0.3, "natural logarithm of the factor")
    brightness: Probability = Field(default=0, description="added to all bands")
    brightness_limit: float = _limit(0, 1, 0.1, "share of the range 0 to 255")
    band_shift: Probability = Field(default=0, description="added to each band on its own")
    band_shift_limit: float = _limit(0, 1, 0.05, "share of the range, of each band")
    haze: Probability = Field(default=0, description="seen through a bright veil")
    haze_limit: float = _limit(0, 0.95, 0.4, "share of the veil")
    hue: Probability = Field(default=0, description="other hues; pictures of three bands")
    hue_limit: float = _limit(0, 180, 15, "degrees on the colour circle")
    saturation: Probability = Field(
        default=0, description="stronger or weaker colours; pictures of three bands"
    )
    saturation_limit: float = _limit(0, 2, 0.4, "natural logarithm of the colours' factor")
    greyscale: Probability = Field(default=0, description="all bands become their mean")
    band_permutation: Probability = Field(default=0, description="bands in another order")
    illumination: Probability = Field(
        default=0, description="smoothly lighter here and darker there"
    )
    illumination_limit: float = _limit(0, 1, 0.3, "share of the light")
    clahe: Probability = Field(
        default=0, description="contrast-limited adaptive histogram equalization"
    )
    clahe_limit: float = _limit(1, 40, 3, "clip limit")
    resolution: Probability = Field(default=0, description="as pixels that are larger show it")
    resolution_limit: float = _limit(1, 8, 2, "factor of the pixels' size")
    blur: Probability = Field(default=0, description="Gaussian")
    blur_limit: float = _limit(0, 10, 1.5, "its deviation in pixels")
    sharpness: Probability = Field(default=0, description="unsharp masking")
    sharpness_limit: float = _limit(0, 5, 1, "its amount")
    noise: Probability = Field(
        default=0, description="normal; half of the time the same in all bands"
    )
    noise_limit: float = _limit(0, 100, 8, "its deviation in levels of 0 to 255")
    compression: Probability = Field(default=0, description="as JPEG shows it")
    compression_limit: float = _limit(0, 99, 75, "100 less its worst quality")
    band_dropout: Probability = Field(default=0, description="one band becomes 0")
    cut_out: Probability = Field(
        default=0, description="a rectangle of the picture is hidden; its label stays"
    )
    cut_out_limit: float = _limit(0, 0.9, 0.3, "its edges as a share of the crop's")


class Training(Section):
    """How the network is trained. `roadmask.model.settings` has the same keys and defaults."""

    epochs: Count = Field(default=28, description="passes over the training tiles, at most")
    batch_size: Count = Field(default=4, description="crops a step")
    crop: Annotated[int, Field(ge=16, le=8192), AfterValidator(_check_crop)] = Field(
        default=128,
        description="edge of the random crops in pixels, a multiple of 16; smaller tiles are "
        "taken whole",
    )
    learning_rate: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.002, description="the highest"
    )
    schedule: Literal["cosine", "plateau", "constant"] = Field(
        default="cosine",
        description="of the learning rate: cosine (up over the first steps, then down), plateau "
        "(divided when the validation loss no longer falls), constant",
    )
    warm_up: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.05, description="share of all steps over which cosine goes up"
    )
    plateau_patience: Count = Field(
        default=4, description="epochs without a better validation loss until it is divided"
    )
    plateau_divisor: Annotated[float, Field(gt=1, le=1000)] = Field(
        default=5, description="what it is divided by"
    )
    loss: Literal["dice_crossentropy", "dice", "crossentropy", "focal", "tversky"] = Field(
        default="dice_crossentropy",
        description="dice_crossentropy (their sum), dice, crossentropy, focal or tversky",
    )
    focal_gamma: Annotated[float, Field(ge=0, le=10)] = Field(
        default=2, description="how strongly focal leaves pixels alone that are right already"
    )
    tversky_misses: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.7,
        description="weight of missed pixels in tversky, false alarms have the rest; 0.5 is dice",
    )
    class_weights: Literal["none", "balanced"] = Field(
        default="none",
        description="none: each pixel counts the same; balanced: rare classes count more, as "
        "dataset.json says",
    )
    weight_decay: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0, description="share of the weights that a step takes away, times the rate"
    )
    clip_norm: Annotated[float, Field(ge=0)] = Field(
        default=0, description="largest norm of a step's gradients, all together; 0: any"
    )
    average: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.99,
        description="share that the moving average of the weights, which is what is saved, keeps "
        "at each step; 0 for none",
    )
    patience: Count = Field(
        default=12, description="epochs without a better validation mean IoU until training ends"
    )
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        default="auto",
        description="of the arithmetic while training; auto: bfloat16 where the processor has "
        "instructions for it and the network gains by it, which nearly doubles the speed; else "
        "float32, always so with EfficientNet-Lite0",
    )
    xla: bool = Field(default=False, description="whether TensorFlow compiles the training step")
    strategy: Literal["auto", "single", "mirrored", "multi_worker"] = Field(
        default="auto",
        description="single: one device; mirrored: all GPUs of the machine share each batch; "
        "multi_worker: the machines that TF_CONFIG names do; auto: mirrored with several GPUs",
    )
    deterministic: bool = Field(
        default=True,
        description="whether samples come in the same order every time; false lets those of a "
        "data set too large for memory come, within a pass, as they are read",
    )
    seed: Seed = Field(
        default=1, description="of the weights, the order, the augmentation and the dropout"
    )
    augmentation: Augmentation = Field(
        default=Augmentation(),
        description="random changes of the crops: of each its probability, and under limit how "
        "strong it is at most",
    )


class Prediction(Section):
    """Where and how the network is applied."""

    paths: Paths | None = Field(
        default=None, description="imagery to predict on, named likewise; null: the imagery above"
    )
    model: Text | Annotated[list[Text], Field(min_length=1)] | None = Field(
        default=None,
        description="a .keras file, or a list of such whose probabilities are averaged; then no "
        "labels, dataset or training are needed",
    )
    tone: Literal["match", "none"] = Field(
        default="match",
        description="match: imagery from another folder than what was trained on is brought to "
        "its brightness and contrast, all pictures of a folder together; none: taken as it is",
    )
    window: Annotated[int, Field(ge=32, le=8192)] = Field(default=512, description="edge in pixels")
    overlap: Annotated[int, Field(ge=0)] | None = Field(
        default=None,
        description="pixels of halo on each side; null: as far as the network looks, see README",
    )
    augmentation: Literal["none", "flips", "turns"] = Field(
        default="none",
        description="the mean over the picture mirrored (flips, 4 times the work), and turned by "
        "quarters too (turns, 8 times)",
    )
    bands: (
        Annotated[
            list[Annotated[int, Field(ge=1, le=65535)]],
            Field(min_length=1),
        ]
        | None
    ) = Field(
        default=None,
        description="the bands of imagery that is not trained on which stand for the model's, one "
        "for several if need be; null: those of the same numbers",
    )
    resample: bool = Field(
        default=False,
        description="show imagery with pixels of another size to the network in those it knows",
    )
    threshold: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        default=None, description="null: the one chosen on validation"
    )

    @property
    def models(self) -> tuple[str, ...]:
        """The ready models that are applied; none where one is trained."""
        if self.model is None:
            return ()
        return (self.model,) if isinstance(self.model, str) else tuple(self.model)


class Evaluation(Section):
    """How predictions are scored."""

    tolerance: PositiveDistance = Field(
        default="5 ft",
        description="how far off an outline may lie for relaxed_f1_ground and boundary_f1_ground; "
        "the figures without _ground allow 3 pixels",
    )


class Vectors(Section):
    """Road polygons and the centerline network."""

    tolerance: PositiveDistance = Field(
        default="1.5 px",
        description="how far outlines and centerlines may be moved to be smooth",
    )
    smallest: PositiveDistance = Field(
        default="10 ft",
        description="polygons and holes with less area than a square of this edge are left out",
    )
    min_width: PositiveDistance = Field(
        default="8 ft",
        description="polygons of less mean width, and lines of road that is nowhere as wide, are "
        "left out: less than a lane",
    )
    min_length: PositiveDistance = Field(
        default="50 ft",
        description="lines of road that is connected to no other and shorter are left out: less "
        "than most streets are wide",
    )
    island: PositiveDistance = Field(
        default="20 ft",
        description="a hole with less area than a square of this edge does not part a street's "
        "centerline into two",
    )


class Changes(Section):
    """What counts as a road that only the map or only the picture has."""

    min_length: GroundDistance = Field(
        default="50 ft", description="shorter is no street: less than most streets are wide"
    )
    min_width: GroundDistance = Field(
        default="10 ft", description="narrower is no street: less than a lane"
    )
    min_confidence: Share = Field(
        default=0.5, description="places below are left out, 0 to 1; 0 lists all of them"
    )


def _check_folder(path: str) -> str:
    if set(path) & set("{}<>*?"):
        raise PydanticCustomError("folder", "has one of {}<>*? in it", {})
    if not path.isprintable():
        raise PydanticCustomError("folder", "{path} is no name of a folder", {"path": ascii(path)})
    if path[0] in "-~":
        raise PydanticCustomError(
            "folder", "begins with {letter}. Write it out", {"letter": path[0]}
        )
    # One spelling for one folder: Snakemake keeps what it knows of results by their paths.
    folder, here = PurePosixPath(path), Path.cwd()
    if folder.is_relative_to(here):
        folder = folder.relative_to(here)
    if folder.parts in ((), ("/",)) or any(map(folder.is_relative_to, NOT_FOR_RESULTS)):
        raise PydanticCustomError(
            "folder",
            "{folder} is not for results. Name a folder of their own",
            {"folder": str(folder)},
        )
    if Path(folder).exists() and not Path(folder).is_dir():
        raise PydanticCustomError("folder", "{folder} is a file", {"folder": str(folder)})
    return str(folder)


def _check_classes(classes: dict[str, Any]) -> dict[str, Any]:
    if not classes:
        return classes
    try:
        ClassTable.parse(classes)
    except SettingError as error:
        name = error.key.removeprefix("classes").removeprefix(".")
        problem = f"{name}: {error.problem}" if name else error.problem
        raise PydanticCustomError(
            "classes",
            "{problem}",
            {"problem": f"{problem}. {error.remedy}" if error.remedy else problem},
        ) from None
    return classes


def _read_classes(value: object) -> object:
    if isinstance(value, str):
        value = _unquoted(value)
    if value is None:
        return {}
    if isinstance(value, dict):
        return {str(name): _read_values(values) for name, values in value.items()}
    return value


def _read_values(value: object) -> object:
    """Read numbers and lists that arrive as text, and leave codes such as 007 and yes alone."""
    if isinstance(value, list):
        return [_read_values(part) for part in value]
    if not isinstance(value, str):
        return value
    if value.startswith("["):
        return _read_values(_unquoted(value)) if value.endswith("]") else value
    number = field_value(value)
    if isinstance(number, float):
        return int(number) if number.is_integer() else number
    return value


class Settings(Section):
    """All settings."""

    dataset: Text = Field(
        default=DEMO, description="`demo` for the built-in city; any other name: the paths below"
    )
    results: Annotated[Text, AfterValidator(_check_folder)] = Field(
        default="results", description="the folder that everything is written to"
    )
    demo: Demo = Field(default=Demo(), description="the built-in city")
    area: Layer = Field(
        default=Layer(),
        description="polygons: ground outside is left out of every stage after scenes",
    )
    imagery: Imagery = Field(default=Imagery(), description="the pictures")
    street_lines: Layer = Field(default=Layer(), description="the edges of the pavement")
    centerlines: Centerlines = Field(
        default=Centerlines(), description="the middle lines of the roads, and the paved width"
    )
    lines: Lines = Field(default=Lines(), description="line rasters")
    tiles: Tiles = Field(default=Tiles(), description="the tiles that training takes")
    labels: Labels = Field(default=Labels(), description="how each pixel gets its label")
    # Not {road: 1}: a mapping in a user's file is laid over this one key by key,
    # and `road` would stay in it.
    classes: Annotated[
        dict[str, Any], BeforeValidator(_read_classes), AfterValidator(_check_classes)
    ] = Field(
        default={},
        description="name: its value, [r, g, b], or list of these in the label source; `other` is "
        "class 0, values under `ignore` become 255, the rest count from 1 in their order. "
        "{} means {road: 1}",
        json_schema_extra={"additionalProperties": {"type": ["number", "string", "array"]}},
    )
    selection: Selection = Field(
        default=Selection(), description="which tiles are left out, as shares"
    )
    split: Split = Field(default=Split(), description="training, validation and test ground")
    model: Model = Field(default=Model(), description="the network")
    training: Training = Field(default=Training(), description="how the network is trained")
    prediction: Prediction = Field(
        default=Prediction(), description="where and how the network is applied"
    )
    vectors: Vectors = Field(
        default=Vectors(), description="road polygons and the centerline network"
    )
    evaluation: Evaluation = Field(
        default=Evaluation(), description="how predictions are scored on the test ground"
    )
    changes: Changes = Field(
        default=Changes(), description="where map and picture disagree: what is listed"
    )

    @property
    def is_demo(self) -> bool:
        """Whether the scenes are those of the built-in city."""
        return self.dataset == DEMO

    def network(self) -> NetworkSettings:
        """Return the network in the package's terms.

        Raises
        ------
        SettingError
            If the keys under ``model`` don't go together.
        """
        values = self.model.model_dump()
        return NetworkSettings(**{each.name: values[each.name] for each in fields(NetworkSettings)})

    @property
    def in_pixels(self) -> bool:
        """Whether the pictures lie nowhere on the ground."""
        return self.imagery.georeference == "pixel"

    @property
    def class_values(self) -> dict[str, Any]:
        """`classes` with its default filled in."""
        return self.classes or DEFAULT_CLASSES

    @property
    def class_table(self) -> ClassTable:
        """The classes and what each is in the label source."""
        return ClassTable.parse(self.class_values)


def all_keys(model: type[BaseModel] = Settings, prefix: str = "") -> Iterator[str]:
    """Yield the dotted names of all sections and leaves."""
    for name, field in model.model_fields.items():
        yield prefix + name
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from all_keys(field.annotation, f"{prefix}{name}.")


def leaves(section: BaseModel, prefix: str = "") -> dict[str, Any]:
    """Return the value of every leaf by its dotted name."""
    values: dict[str, Any] = {}
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, Section):
            values |= leaves(value, f"{prefix}{name}.")
        else:
            values[prefix + name] = value
    return values


def argument(key: str, value: object) -> str:
    """Return a leaf as the command-line argument that the stages take.

    Equal values give equal text: 1 and 1.0 are both ``1``.
    """
    return f"--{key}={_as_text(value)}"


def _as_text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list):
        separator = ";" if any(isinstance(part, list) for part in value) else ","
        return separator.join(map(_as_text, value))
    return str(value)
