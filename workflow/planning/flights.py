"""Which scenes go together as one flight: one camera, one light."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

from planning.sources import Source


def folder_of(source: Source) -> str:
    """Return the folder, archive or address that a picture lies in."""
    return str(PurePosixPath(source.path).parent)


# The pictures that are trained on, whatever folders they lie in.
TRAINING = "training"


def flight_names(folders: Iterable[str]) -> dict[str, str]:
    """Return what people call the flights in some folders: the last parts of their paths.

    Parameters
    ----------
    folders
        Folders, archives or addresses.

    Returns
    -------
    dict
        For each folder as few of its last parts as tell it from the others, and from the
        pictures that are trained on.
    """
    parts = {folder: PurePosixPath(folder).parts or (".",) for folder in folders}
    names = dict.fromkeys(parts, "")
    open_folders = set(parts)
    count = 0
    while open_folders:
        count += 1
        for folder in open_folders:
            names[folder] = str(PurePosixPath(*parts[folder][-count:]))
        taken = [TRAINING, *names.values()]
        open_folders = {
            folder
            for folder in open_folders
            if taken.count(names[folder]) > 1 and count < len(parts[folder])
        }
    return {
        folder: f"{name} (prediction.paths)" if name == TRAINING else name
        for folder, name in names.items()
    }


def flights(pictures: Mapping[str, Source], known: Mapping[str, Source]) -> dict[str, list[str]]:
    """Put scenes that lie in one folder together.

    Parameters
    ----------
    pictures
        The sources of the scenes to predict on.
    known
        Those of the scenes that the network is trained on. What lies in a folder with one of
        them is of their flight, needs nothing, and is left out.

    Returns
    -------
    dict
        Names of scenes, sorted, by a name that follows from the folder alone.
    """
    home = {folder_of(source) for source in known.values()}
    found: dict[str, list[str]] = {}
    for scene, source in sorted(pictures.items()):
        folder = folder_of(source)
        if scene not in known and folder not in home:
            found.setdefault(f"flight_{zlib.crc32(folder.encode()):08x}", []).append(scene)
    return found
