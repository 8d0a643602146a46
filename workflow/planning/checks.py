"""Check a config against the settings, and say everything that is wrong with it at once."""

from __future__ import annotations

import difflib
import json
import typing
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from planning.errors import PlanningError
from planning.settings import Layer, Section, Settings, all_keys
from roadmask.errors import SettingError


@dataclass(frozen=True)
class Problem:
    """What is wrong with one key.

    Attributes
    ----------
    key
        Its dotted name.
    text
        What is wrong and what to write instead.
    """

    key: str
    text: str

    def __str__(self) -> str:
        return f"{self.key}: {self.text}"


def load(config: Mapping[str, Any]) -> Settings:
    """Check the merged config and return it as settings.

    Parameters
    ----------
    config
        What Snakemake read, the user's file laid over the defaults.

    Raises
    ------
    PlanningError
        Naming every key that is unknown, of the wrong type or impossible.
    """
    sections: dict[str, Any] = {}
    problems = []
    failed = set()
    for key, value in config.items():
        try:
            Settings.model_validate({key: value})
        except ValidationError as error:
            problems += [_problem(details) for details in error.errors()]
            failed.add(key)
        else:
            sections[key] = value
    # A section that failed stands at its default here, so nothing is said about it again.
    settings = Settings.model_validate(sections)
    problems += [
        problem
        for problem in contradictions(settings, failed)
        if problem.key.split(".")[0] not in failed
    ]
    if problems:
        raise PlanningError(*map(str, problems))
    return settings


def _problem(details: ErrorDetails) -> Problem:
    """Put one of pydantic's findings into words."""
    # Members of a union and list positions are no keys.
    location = [str(part) for part in details["loc"]]
    key, value, kind = ".".join(_as_key(location)), details["input"], details["type"]
    if kind == "extra_forbidden":
        return Problem(key, f"there is no such key{_suggestion(key)}")
    context = details.get("ctx", {})
    shown = json.dumps(value, default=str, ensure_ascii=False)
    if kind == "literal_error":
        field = _field(location)
        names = [*_choices(field.annotation)] if field else []
        near = difflib.get_close_matches(str(value), names, 1)
        hint = f" Did you mean {near[0]}?" if near else ""
        return Problem(key, f"{shown} is none of {', '.join(names)}.{hint}")
    expected = {
        "int_type": "a whole number",
        "int_from_float": "a whole number",
        "float_type": "a number",
        "finite_number": "a number",
        "string_type": "text",
        "bool_type": "true or false",
        "list_type": "a list",
        "dict_type": "a mapping of keys to values",
        "model_type": "a mapping of keys to values",
        "model_attributes_type": "a mapping of keys to values",
    }.get(kind)
    limit = {
        "string_too_short": "must not be empty",
        "string_pattern_mismatch": "must not be blank",
        "too_short": "must not be empty",
        "greater_than": f"must be above {context.get('gt')}",
        "greater_than_equal": f"must be at least {context.get('ge')}",
        "less_than": f"must be below {context.get('lt')}",
        "less_than_equal": f"must be at most {context.get('le')}",
    }.get(kind)
    if expected is not None:
        return Problem(key, f"{shown} stands where {expected} is needed")
    return Problem(key, f"{limit}, not {shown}" if limit is not None else details["msg"])


def _choices(annotation: object) -> Iterator[str]:
    """Yield the words that a value of this type may be."""
    if typing.get_origin(annotation) is typing.Literal:
        yield from map(str, typing.get_args(annotation))
    elif annotation is type(None):
        yield "null"
    else:
        for part in typing.get_args(annotation):
            yield from _choices(part)


def _as_key(location: list[str]) -> Iterator[str]:
    """Yield the parts of `location` that are keys of the settings, and a last unknown one."""
    model: Any = Settings
    for part in location:
        if model is None:
            return
        yield part
        field = model.model_fields.get(part)
        model = field.annotation if field is not None else None
        if not (isinstance(model, type) and issubclass(model, Section)):
            model = None


def _field(location: list[str]) -> FieldInfo | None:
    model: Any = Settings
    field = None
    for part in _as_key(location):
        field = model.model_fields.get(part)
        model = field.annotation if field is not None else None
    return field


def _suggestion(key: str) -> str:
    """Name the known key that `key` was most probably meant to be."""
    section = key.rpartition(".")[0]
    known = [*all_keys()]
    if key in known:  # written with its dot in one piece
        head, _, tail = key.partition(".")
        return f". Write it as {head}: {{{tail}: …}}"
    # What all keys of a section begin with says nothing of which was meant.
    last = key.rpartition(".")[2]
    siblings = {
        name.rpartition(".")[2]: name for name in known if name.rpartition(".")[0] == section
    }
    near = (
        [name for tail, name in siblings.items() if last in tail.split("_")]
        or [siblings[tail] for tail in difflib.get_close_matches(last, siblings, 1, 0.6)]
        or [name for name in known if name.rpartition(".")[2] == last]
    )
    if not near and not siblings:
        near = difflib.get_close_matches(key, known, 1, 0.5)
    return f". Did you mean {near[0]}?" if near else ""


def contradictions(settings: Settings, failed: Set[str] = frozenset()) -> Iterator[Problem]:
    """Yield what single keys can't tell: values that don't go together.

    Parameters
    ----------
    settings
        Settings that are valid key by key.
    failed
        Sections that stand at their defaults because they could not be read.
    """
    yield from _grid_contradictions(settings)
    yield from _share_contradictions(settings)
    yield from _network_contradictions(settings)
    if failed & {"dataset", "imagery", "labels", "prediction"}:
        return  # what is needed from where depends on these
    yield from _source_contradictions(settings)
    if settings.in_pixels:
        yield from _pixel_contradictions(settings)
    for name, layer in layers(settings):
        # The demo city's own layers have no path here, and take another filter.
        is_built_in = settings.is_demo and name in ("street_lines", "centerlines")
        for part in ("layer", "where", "field"):
            if layer.path is None and getattr(layer, part, None) is not None and not is_built_in:
                yield Problem(f"{name}.{part}", f"has no effect without {name}.path")


def _grid_contradictions(settings: Settings) -> Iterator[Problem]:
    tiles, prediction, imagery = settings.tiles, settings.prediction, settings.imagery
    if tiles.overlap >= tiles.size:
        yield Problem("tiles.overlap", f"{tiles.overlap} is not below tiles.size, {tiles.size}")
    if prediction.overlap is not None and 2 * prediction.overlap >= prediction.window:
        yield Problem(
            "prediction.overlap",
            f"{prediction.overlap} on each side leaves nothing of prediction.window, "
            f"{prediction.window}",
        )
    if imagery.scale is not None and len(imagery.scale) not in (1, len(imagery.bands)):
        yield Problem(
            "imagery.scale",
            f"has {len(imagery.scale)} pairs for {len(imagery.bands)} bands. "
            "Write one for all, or one for each",
        )


def _share_contradictions(settings: Settings) -> Iterator[Problem]:
    split, selection = settings.split, settings.selection
    total = split.train + split.val + split.test
    if abs(total - 1) > 1e-6:
        yield Problem("split", f"train, val and test add up to {total:g}, not to 1")
    if selection.min_road_share > selection.max_road_share:
        yield Problem(
            "selection.min_road_share",
            f"{selection.min_road_share:g} is above selection.max_road_share, "
            f"{selection.max_road_share:g}",
        )


def _network_contradictions(settings: Settings) -> Iterator[Problem]:
    try:
        network = settings.network()
        network.require_side("training.crop", settings.training.crop)
        network.require_side("prediction.window", settings.prediction.window)
    except SettingError as error:
        yield Problem(error.key, f"{error.problem}. {error.remedy}")


def _source_contradictions(settings: Settings) -> Iterator[Problem]:
    labels, prediction = settings.labels, settings.prediction
    if settings.is_demo and settings.imagery.paths:
        yield Problem(
            "imagery.paths",
            "is set, but dataset is demo. Give dataset another name to use your own data",
        )
    if not settings.is_demo and not settings.imagery.paths:
        if prediction.model is None:
            yield Problem("imagery.paths", f"is empty, but dataset is {settings.dataset!r}")
        elif not prediction.paths:
            yield Problem("prediction.paths", "is empty, and so is imagery.paths")
    if prediction.bands is not None and prediction.model is None and not prediction.paths:
        yield Problem(
            "prediction.bands",
            "has no effect: imagery that is trained on is seen by its imagery.bands. It is for "
            "that of prediction.paths, or for prediction.model",
        )
    elif prediction.bands is not None and prediction.model is None:
        sought, given = len(settings.imagery.bands), len(prediction.bands)
        if sought != given:
            yield Problem("prediction.bands", wrong_number_of_bands(given, sought))
    for model in prediction.models:
        if not model.endswith(".keras"):
            yield Problem("prediction.model", f"{model!r} is no .keras file")
    raster = labels.raster
    if raster.path is not None and "{scene}" not in raster.path and raster.resample is None:
        yield Problem(
            "labels.raster.path",
            "has no {scene} in it, which stands for the scene. One file for all scenes needs "
            "labels.raster.resample: nearest",
        )
    missing = [*missing_label_sources(settings)]
    if prediction.model is None:
        yield from missing
    if prediction.model is None or not missing:  # else no label is made
        yield from _class_contradictions(settings)


def _class_contradictions(settings: Settings) -> Iterator[Problem]:
    """Yield what the classes need and the chosen way of labelling does not have."""
    labels, table = settings.labels, settings.class_table
    names = " and ".join(table.names)
    if labels.method in ("regions", "buffer") and len(table.names) > 1:
        yield Problem(
            "classes", f"are {names}, but labels.method: {labels.method} makes one class alone"
        )
    if labels.method == "polygons":
        if len(table.names) > 1 and labels.polygons.field is None:
            yield Problem(
                "labels.polygons.field",
                f"is not set, so nothing tells which polygon is {names}. Name the field, and in "
                "classes its values",
            )
        if table.in_colours:
            yield Problem(
                "classes", "are colours, but labels.method: polygons needs a field's values"
            )
    if labels.method == "raster" and table.texts:
        yield Problem(
            "classes", f"{table.texts[0]!r} is text, but a label raster holds numbers or colours"
        )


def wrong_number_of_bands(given: int, sought: int) -> str:
    """Say that `prediction.bands` can't stand for all bands of the network."""
    return (
        f"has {given} bands, and the network sees {sought}. Name for each of them the band that "
        "stands for it"
    )


def missing_label_sources(settings: Settings) -> Iterator[Problem]:
    """Yield the keys that the chosen way of labelling needs and that are not set."""
    labels = settings.labels
    sources: dict[str, dict[str, object]] = {
        "regions": {
            "street_lines.path": settings.street_lines.path or settings.is_demo,
            "centerlines.path": settings.centerlines.path or settings.is_demo,
        },
        "buffer": {"centerlines.path": settings.centerlines.path or settings.is_demo},
        "polygons": {"labels.polygons.path": labels.polygons.path},
        "raster": {"labels.raster.path": labels.raster.path},
    }
    for key, value in sources[labels.method].items():
        if not value:
            yield Problem(key, f"is not set, and labels.method: {labels.method} needs it")
    lines = settings.centerlines
    if labels.method == "buffer" and lines.path and not (lines.width_field or lines.width):
        yield Problem(
            "centerlines.width_field",
            "is not set, nor is centerlines.width, and labels.method: buffer needs one of them",
        )


def _pixel_contradictions(settings: Settings) -> Iterator[Problem]:
    remedy = "imagery.georeference: pixel gives pictures no place on the ground"
    if settings.labels.method != "raster" and settings.prediction.model is None:
        yield Problem(
            "labels.method", f"{settings.labels.method} needs a place, and {remedy}. Write raster"
        )
    for name, layer in layers(settings):
        # Lines are looked at by the methods that are refused above.
        if layer.path is not None and name not in ("street_lines", "centerlines"):
            yield Problem(f"{name}.path", f"can't be laid over the pictures: {remedy}")


def layers(settings: Settings) -> Iterator[tuple[str, Layer]]:
    """Yield the vector layers of the settings with their keys."""
    yield "area", settings.area
    yield "street_lines", settings.street_lines
    yield "centerlines", settings.centerlines
    yield "labels.polygons", settings.labels.polygons
    yield "labels.islands", settings.labels.islands
    yield "labels.reference", settings.labels.reference
