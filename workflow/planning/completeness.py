"""What the manifests of earlier runs list, and whether it is still there.

Snakemake looks at the outputs that rules declare. Tiles, shards and mosaics are too many for that
or have names that only the job knows, so their jobs declare a manifest; without these checks a
deleted tile would never be made again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

# How many manifests with gaps are told of; a city may have thousands.
TOLD = 5


def tiles(manifest: Path, content: Mapping[str, Any]) -> tuple[Path, list[str]]:
    """Return the folder and the names of the tiles that the manifest of a scene lists."""
    return manifest.with_suffix(""), [f"{tile['tile']}.tif" for tile in content["tiles"]]


def shards(manifest: Path, content: Mapping[str, Any]) -> tuple[Path, list[str]]:
    """Return the folder and the names of the shards of a data set."""
    splits = content["splits"].values()
    return manifest.parent, [shard["name"] for split in splits for shard in split["shards"]]


def mosaics(manifest: Path, content: Mapping[str, Any]) -> tuple[Path, list[str]]:
    """Return the folder and the names of the layers over all scenes, and of their styles."""
    named = [mosaic[key] for mosaic in content["mosaics"] for key in ("vrt", "style")]
    return manifest.parent.parent, [name for name in named if name is not None]


def vectors(manifest: Path, content: Mapping[str, Any]) -> tuple[Path, list[str]]:
    """Return the folder and the names of the GeoPackages of roads."""
    return manifest.parent, [entry["file"] for entry in content["files"]]


LISTERS: Mapping[str, Callable[[Path, Mapping[str, Any]], tuple[Path, list[str]]]] = {
    "tiles": tiles,
    "splits": shards,
    "mosaics": mosaics,
    "files": vectors,
}


def gap(manifest: Path) -> str | None:
    """Say what is missing of the files that a manifest lists.

    Parameters
    ----------
    manifest
        A JSON file of stage tiles, lines, masks, dataset, predictions or vectors.

    Returns
    -------
    str or None
        None where all is there, or where the manifest is not: Snakemake sees that by itself.
    """
    try:
        content = json.loads(manifest.read_bytes())
        [lister] = [lister for key, lister in LISTERS.items() if key in content]
        folder, names = lister(manifest, content)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return f"{manifest} can't be read"
    # One look at a folder: a call for each tile of a city would take minutes.
    missing = sorted(set(names).difference(_names(folder)))
    if not missing:
        return None
    if len(missing) == 1:
        return f"{folder / missing[0]} is not there, which {manifest} lists"
    others = len(missing) - 1
    return f"{folder / missing[0]} and {others} more are not there, which {manifest} lists"


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208 (`iterdir` makes a Path of each of a million)
    except (FileNotFoundError, NotADirectoryError):
        return []


class Gaps:
    """Finds manifests that list more than there is, looks at each once, and tells of the first.

    Parameters
    ----------
    tell
        Takes a line for the user.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._known: dict[str, bool] = {}
        self._found = 0

    def in_manifest(self, path: str) -> bool:
        """Return whether something that the manifest lists is missing."""
        if path not in self._known:
            said = gap(Path(path))
            self._known[path] = said is not None
            if said is not None:
                self._found += 1
                if self._found <= TOLD:
                    self._tell(f"{said}: made again.")
                elif self._found == TOLD + 1:
                    self._tell("Further manifests list what is not there, and are made again too.")
        return self._known[path]
