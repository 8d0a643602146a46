"""Whether the vector files that somebody names hold the layers and fields that the settings name.

Apart from `planning.checks`, since the libraries that read vector files take half a second.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from planning.checks import layers
from planning.settings import Layer, Settings
from planning.sources import Source
from roadmask.errors import InputError, SettingError
from roadmask.vectors_io import Kind, VectorSource, check_layer, is_quick_to_open

# Of the stage that reads a layer; all others are polygons.
KINDS: dict[str, Kind] = {"street_lines": "outlines", "centerlines": "lines"}
# The keys of a layer that name a field.
FIELD_KEYS = ("width_field", "field")


def problems(settings: Settings, sources: Mapping[str, Source]) -> Iterator[str]:
    """Yield what a job would end at, a sentence for each layer at fault.

    No feature is read. Remote files, and large ones of a format without a header, are left to
    the jobs: a plan must not take minutes.

    Parameters
    ----------
    settings
        The checked settings.
    sources
        The files of the layers to look at, by the layer's key.
    """
    for key, layer in layers(settings):
        if key in sources and sources[key].files:
            source = VectorSource(sources[key].path, layer.layer, layer.where)
            problem = _problem(key, layer, source) if is_quick_to_open(source) else None
            if problem is not None:
                yield problem


def _problem(key: str, layer: Layer, source: VectorSource) -> str | None:
    named = {name: getattr(layer, name, None) for name in FIELD_KEYS}
    fields = {f"{key}.{name}": field for name, field in named.items() if field is not None}
    field_key = next(iter(fields), None)
    try:
        check_layer(
            source,
            key=key,
            kind=KINDS.get(key, "polygons"),
            columns=[*fields.values()],
            columns_key=field_key,
        )
    except SettingError as error:
        return str(error)
    except InputError as error:
        return f"{key}.path: {error}"
    return None
