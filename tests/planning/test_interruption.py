"""A run that is killed, and another one beside it."""

from __future__ import annotations

import errno
import fcntl
import os
import platform
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from working_folder import Folder

from planning.errors import PlanningError
from planning.locking import RESULTS_LOCK, take_lock

PATIENCE = 120


def wait_for_job(run: subprocess.Popen[bytes]) -> psutil.Process:
    """Return the first job that a run starts."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        assert run.poll() is None, "the run ended by itself"
        for child in psutil.Process(run.pid).children(recursive=True):
            try:
                command = child.cmdline()
            except psutil.NoSuchProcess:
                continue
            if command[1:3] == ["-m", "roadmask"]:
                return child
        time.sleep(0.02)
    raise AssertionError("no job began")


def wait_until_inside(folder: Folder) -> None:
    """Wait until the job has set itself up: then its log is there."""
    deadline = time.monotonic() + PATIENCE
    while not list(folder.path.glob("results/logs/demo/*.log")):
        assert time.monotonic() < deadline, "no log"
        time.sleep(0.02)


@pytest.fixture
def run(folder: Folder) -> Iterator[subprocess.Popen[bytes]]:
    """A run that makes the demo city."""
    with subprocess.Popen(
        folder.command("--cores", "1", "demo"),
        cwd=folder.path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        yield process
        if process.poll() is None:
            process.kill()


def test_a_killed_runs_jobs_end_and_the_next_run_goes_on(
    folder: Folder, run: subprocess.Popen[bytes]
) -> None:
    job = wait_for_job(run)
    wait_until_inside(folder)
    assert job.ppid() == run.pid  # else the parent's death is no signal

    os.kill(run.pid, signal.SIGKILL)
    run.wait()
    _, alive = psutil.wait_procs([job], timeout=20)
    assert not alive
    # What was there of its outputs counts for nothing.
    (folder.path / "data" / "demo").mkdir(parents=True, exist_ok=True)
    for name in ("street_lines.shp", "truth.gpkg"):
        (folder.path / "data" / "demo" / name).write_text("half", encoding="utf-8")

    done = folder.snakemake("--cores", "1", "demo")

    assert done.returncode == 0, done.stdout
    assert (folder.path / "data" / "demo" / "truth.gpkg").stat().st_size > 1000
    assert folder.jobs("demo") == {}


def test_a_second_run_is_turned_away_in_one_sentence(
    folder: Folder, run: subprocess.Popen[bytes]
) -> None:
    wait_for_job(run)

    second = folder.snakemake("--cores", "1", "demo")
    dry = folder.snakemake("--dry-run", "demo")
    asked = folder.snakemake("--summary", "demo")

    assert second.returncode != 0
    holder = f"process {run.pid} on {platform.node()}, started in {folder.path}"
    assert (
        f"Another run ({holder}) is at work in {folder.path}: wait until it ends, or stop it."
        in second.stdout
    )
    assert "Traceback" not in second.stdout
    assert "Building DAG" not in second.stdout  # what it would plan may hold no longer
    assert dry.returncode == 0
    assert asked.returncode == 0
    assert run.wait(PATIENCE) == 0
    assert folder.snakemake("--cores", "1", "demo").returncode == 0


def test_one_results_folder_is_not_written_from_two_working_folders(
    folder: Folder, tmp_path_factory: pytest.TempPathFactory
) -> None:
    results = folder.path / "results"
    other = Folder(tmp_path_factory.mktemp("other"), folder.snakefile)
    arguments = ("--cores", "1", "--touch", "demo", "--config", f"results={results}")
    assert other.snakemake(*arguments).returncode == 0

    with (results / RESULTS_LOCK).open("r+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        held.write(f"process 7 on elsewhere, started in {folder.path}")
        held.flush()
        done = other.snakemake(*arguments)

    assert done.returncode != 0
    holder = f"process 7 on elsewhere, started in {folder.path}"
    assert f"Another run ({holder}) is at work in {results}: wait" in done.stdout
    assert other.snakemake(*arguments).returncode == 0


def test_a_lock_that_can_not_be_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    (tmp_path / "file").touch()
    with pytest.raises(PlanningError, match="file/lock can't be written"):
        take_lock(tmp_path / "file" / "lock", tmp_path, said.append)

    def no_locks(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    take_lock(tmp_path / "lock", tmp_path, said.append)
    assert said == [
        f"{tmp_path}/lock can't be locked here: see to it that no other run is at work in "
        f"{tmp_path}."
    ]


def test_a_sheet_with_an_odd_name_goes_through_and_stale_scratch_is_no_hindrance(
    folder: Folder,
) -> None:
    import numpy as np
    import rasterio

    name = "a b.c [1] & $x; 'é'"
    with rasterio.open(
        folder.path / f"{name}.tif",
        "w",
        driver="GTiff",
        width=40,
        height=30,
        count=3,
        dtype="uint8",
        crs="EPSG:2263",
        transform=rasterio.Affine(0.5, 0, 987_000, 0, -0.5, 212_000),
    ) as raster:
        raster.write(np.arange(3600, dtype="uint8").reshape(3, 30, 40))
    folder.write_config(
        {
            "dataset": "own",
            "imagery": {"paths": [f"{name}.tif"]},
            "prediction": {"model": "none.keras"},
            "tiles": {"size": 16},
        }
    )
    (folder.path / "none.keras").touch()

    rubbish = {"PROJ_DATA": "rubbish", "PROJ_LIB": "rubbish", "GDAL_DATA": "rubbish"}

    done = folder.snakemake("--cores", "1", "scenes", "tiles", **rubbish)

    assert done.returncode == 0, done.stdout
    assert (folder.path / "results" / "scenes" / f"{name}.tif").is_file()
    tiles = sorted((folder.path / "results" / "tiles" / name).iterdir())
    assert len(tiles) == 6

    tiles[3].unlink()
    again = folder.snakemake("--cores", "1", "tiles", **rubbish)

    assert again.returncode == 0, again.stdout
    assert f"results/tiles/{name}/{tiles[3].name} is not there" in again.stdout
    assert tiles[3].is_file()
    assert folder.jobs("tiles") == {}
    assert written(folder.path) == {
        ".snakemake",
        "results",
        f"{name}.tif",
        "own.yaml",
        "none.keras",
    }


def written(path: Path) -> set[str]:
    return {re.sub(r"/.*", "", entry.name) for entry in path.iterdir()}
