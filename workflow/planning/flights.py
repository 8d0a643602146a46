"""Which scenes go together as one flight: one camera, one light."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import PurePosixPath

from planning.sources import Source


def folder_of(source: Source) -> str:
    """Return the folder, archive or address that a picture lies in."""
    return str(PurePosixPath(source.path).parent)


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
