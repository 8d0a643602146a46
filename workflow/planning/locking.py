"""One run at a time in one folder."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from planning.errors import PlanningError

LOCK = Path(".snakemake") / "roadmask.lock"
_held: list[int] = []


def take_lock(path: Path = LOCK) -> None:
    """Hold the lock of the working folder until this process ends, however it ends.

    The kernel lets go of it, so a killed run leaves nothing behind that has to be cleared away,
    as Snakemake's own lock does.

    Raises
    ------
    PlanningError
        If another run holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise PlanningError(
            f"Another run is at work in {Path.cwd()}: wait until it ends, or stop it."
        ) from None
    _held.append(descriptor)
