"""What a file of vectors was made from, as metadata that QGIS and ``ogrinfo`` show."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import rasterio

from roadmask import __version__

PREFIX = "ROADMASK_"
# What tells of one raster and not of what is made from several.
OF_ONE = {"ROADMASK_VERSION", "ROADMASK_SCENE", "ROADMASK_NEIGHBOURS"}
RENAMED = {"ROADMASK_SOURCE": "ROADMASK_SOURCES", "ROADMASK_SETTINGS": "ROADMASK_RASTER_SETTINGS"}


def made_from(rasters: Sequence[Path], settings: Mapping[str, Any]) -> dict[str, str]:
    """Return the metadata of vectors that were made from rasters.

    Parameters
    ----------
    rasters
        GeoTIFFs with the tags that stages write.
    settings
        By key, those of the stage that makes the vectors.

    Returns
    -------
    dict
        ``ROADMASK_VERSION``, ``ROADMASK_SETTINGS`` (JSON), and the rasters' own tags: of those
        that differ a JSON list of each value once, in order; ``ROADMASK_SOURCES`` is always one.
    """
    values: dict[str, set[str]] = {}
    for path in rasters:
        with rasterio.open(path) as dataset:
            for name, value in dataset.tags().items():
                if name.startswith(PREFIX) and name not in OF_ONE:
                    values.setdefault(RENAMED.get(name, name), set()).add(value)
    shared = {
        name: json.dumps(sorted(found))
        if len(found) > 1 or name == "ROADMASK_SOURCES"
        else next(iter(found))
        for name, found in sorted(values.items())
    }
    return {
        "ROADMASK_VERSION": __version__,
        "ROADMASK_SETTINGS": json.dumps(dict(settings)),
        **shared,
    }
