"""Processors and memory, inside containers too; the lock; what stands before each job."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from planning import locking
from planning.errors import PlanningError
from planning.machine import memory_mb, processors
from planning.plan import BATCH, batches
from planning.shell import job_prefix


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text, encoding="ascii")
    return folder


def test_processors_without_a_group(tmp_path: Path) -> None:
    assert processors(tmp_path) == len(os.sched_getaffinity(0))


@pytest.mark.parametrize(("quota", "count"), [("100000 100000", 1), ("50000 100000", 1)])
def test_processors_of_a_container(tmp_path: Path, quota: str, count: int) -> None:
    assert processors(write(tmp_path, cpu_max=quota)) == count


def test_an_unlimited_container_changes_nothing(tmp_path: Path) -> None:
    write(tmp_path, cpu_max="max 100000", memory_max="max", memory_current="5")
    assert processors(tmp_path) == len(os.sched_getaffinity(0))
    assert memory_mb(tmp_path) > 1000


def test_memory_of_a_container(tmp_path: Path) -> None:
    write(tmp_path, memory_max="4000000000", memory_current="500000000")
    available = min(3_500_000_000, psutil.virtual_memory().available)
    assert memory_mb(tmp_path) == pytest.approx(available * 0.9 / 1e6 - 1000, abs=100)


def test_jobs_fit_into_memory() -> None:
    assert memory_mb() * 1_000_000 < psutil.virtual_memory().total


def test_the_lock_is_held_until_the_process_ends(tmp_path: Path) -> None:
    lock = tmp_path / "sub" / "lock"
    locking.take_lock(lock, tmp_path, pytest.fail)
    holder = rf"\(process {os.getpid()} on .*, started in {Path.cwd()}\)"
    with pytest.raises(PlanningError, match=f"Another run {holder} is at work in {tmp_path}:"):
        locking.take_lock(lock, tmp_path, pytest.fail)
    os.close(locking._held.pop())
    locking.take_lock(lock, tmp_path, pytest.fail)
    os.close(locking._held.pop())


def test_a_job_sees_the_package_and_no_foreign_data(tmp_path: Path) -> None:
    odd = tmp_path / "it's {odd} $HOME"
    odd.mkdir()
    probe = (
        "import os, sys; print(os.environ.get('PROJ_DATA'), os.environ['PYTHONPATH'], sys.path[0])"
    )
    prefix = job_prefix(odd, own_python=True).format()  # as Snakemake does
    done = subprocess.run(
        ["bash", "-c", f'{prefix}python -c "{probe}"'],
        env={"PROJ_DATA": "rubbish", "PYTHONHOME": "rubbish", "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == f"None {odd} {odd}"


def test_a_job_runs_snakemakes_own_python() -> None:
    prefix = job_prefix(Path("workflow"), own_python=True).format()
    done = subprocess.run(
        ["bash", "-c", f"{prefix}python -c 'import sys; print(sys.executable)'"],
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == str(Path(sys.executable).parent / "python")


def test_few_sheets_are_one_batch() -> None:
    assert list(batches(["b", "a"])) == [["a", "b"]]
    assert list(batches([])) == []


def test_an_added_sheet_changes_its_own_batch_alone() -> None:
    names = [f"sheet_{number:04d}" for number in range(0, 2000, 2)]
    before = list(batches(names))
    assert [name for batch in before for name in batch] == names
    assert max(map(len, before)) <= 2 * BATCH
    for added in ("sheet_0001", "sheet_0999", "sheet_1777"):
        after = list(batches([*names, added]))
        moved = {name for batch in before if batch not in after for name in batch}
        assert len(moved) <= 6 * BATCH
