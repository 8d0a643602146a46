"""One run at a time in one working folder, and on one results folder."""

from __future__ import annotations

import errno
import fcntl
import functools
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

from planning.errors import PlanningError

WORKING_LOCK = Path(".snakemake") / "roadmask.lock"
RESULTS_LOCK = ".roadmask.lock"
# Some network file systems have no locks.
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
_held: list[int] = []


def plan_alone(workflow: Any, results: Path, warn: Callable[[str], None]) -> None:  # noqa: ANN401
    """Have a run take its locks before it looks at what is there already.

    Snakemake's own hook, ``onstart``, comes after the plan is made, which by then may hold no
    longer. A dry run, a spawned job and all that only asks take no lock.

    Parameters
    ----------
    workflow
        Snakemake's, while it reads the Snakefile.
    results
        The results folder.
    warn
        Takes a line for the user.
    """
    execute = workflow.execute

    @functools.wraps(execute)
    def execute_alone(*, executor_plugin: Any, **settings: Any) -> Any:  # noqa: ANN401
        if workflow.is_main_process and not executor_plugin.common_settings.dryrun_exec:
            take_lock(WORKING_LOCK, Path.cwd(), warn)
            take_lock(results / RESULTS_LOCK, results, warn)
        try:
            return execute(executor_plugin=executor_plugin, **settings)
        finally:
            # Results are the same bytes whoever made them.
            for descriptor in _held:
                os.ftruncate(descriptor, 0)

    workflow.execute = execute_alone


def take_lock(path: Path, folder: Path, warn: Callable[[str], None]) -> None:
    """Hold a lock until this process ends, however it ends.

    The kernel lets go of it, so a killed run leaves nothing behind that has to be cleared away,
    as Snakemake's own lock does.

    Parameters
    ----------
    path
        The file that is locked; it holds the process that has it.
    folder
        What it stands for.
    warn
        Takes a line for the user.

    Raises
    ------
    PlanningError
        If another run holds it, which is named, or if the file can't be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise PlanningError(f"{path} can't be written: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(descriptor, 4096).decode(errors="replace").strip()
        os.close(descriptor)
        raise PlanningError(
            f"Another run{holder and f' ({holder})'} is at work in {folder}: "
            "wait until it ends, or stop it."
        ) from None
    except OSError as error:
        os.close(descriptor)
        if error.errno not in NO_LOCKS:
            raise
        warn(f"{path} can't be locked here: see to it that no other run is at work in {folder}.")
        return
    os.ftruncate(descriptor, 0)
    holder = f"process {os.getpid()} on {platform.node()}, started in {Path.cwd()}"
    os.write(descriptor, holder.encode())
    _held.append(descriptor)
