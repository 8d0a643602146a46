"""What this machine has to give: processors and memory, inside containers too."""

from __future__ import annotations

import os
from pathlib import Path

import psutil  # type: ignore[import-untyped]

CGROUP = Path("/sys/fs/cgroup")
# What the system, Snakemake and the page cache keep.
RESERVE_MB = 1000
SHARE = 0.9


def processors(folder: Path = CGROUP) -> int:
    """Return how many processors this process may use: its affinity, and its group's quota."""
    try:
        count = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS has no affinity
        count = os.cpu_count() or 1
    quota = _first_words(folder / "cpu.max")
    if len(quota) == 2 and quota[0].isdigit():
        count = min(count, max(1, int(quota[0]) // int(quota[1])))
    return count


def memory_mb(folder: Path = CGROUP) -> int:
    """Return how much memory all jobs together may take, in MB of 1,000,000 bytes."""
    available = psutil.virtual_memory().available
    limit = _first_words(folder / "memory.max")
    used = _first_words(folder / "memory.current")
    if limit and limit[0].isdigit():
        current = int(used[0]) if used and used[0].isdigit() else 0
        # The page cache counts as used, but is given back: more than half is never believed.
        available = min(available, max(int(limit[0]) - current, int(limit[0]) // 2))
    return max(RESERVE_MB, int(available * SHARE / 1_000_000) - RESERVE_MB)


def _first_words(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").split()
    except OSError:
        return []
