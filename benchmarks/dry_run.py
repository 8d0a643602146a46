"""How long Snakemake plans a city of many sheets: ``python benchmarks/dry_run.py [2000]``.

Prints seconds and memory of a dry run in which everything is still to be made, and of those of as
many sheets for a ready network: before it is known which lie beside which, and when it is. The
sheets are empty files, since planning opens none; of the lines it reads the header. Where tiles are
there already, planning also looks for deleted ones: the seconds that this takes for all sheets are
told from a few.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import geopandas as gpd
import yaml
from shapely import LineString

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "workflow"))

from planning.completeness import Gaps  # noqa: E402

# Images, lines and masks of a sheet are cut into as many tiles each.
TILES, KINDS = 400, 3
LOOKED_AT = 200


def main() -> None:
    """Plan, and print what it took."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plan(f"{count} sheets", folder, make_city(folder, count))
        prediction = make_flight(folder)
        plan(f"{count} sheets for a ready network", folder, prediction)
        find_neighbours(folder, count)
        # Of what stands there, only times are known: it was not made by Snakemake.
        by_time = ("--rerun-triggers", "mtime")
        plan("when it is known which lie beside which", folder, prediction, *by_time)
        looking = look_for_tiles(folder) * KINDS * count
    print(f"looking for {KINDS} x {count} x {TILES} tiles: {looking:.1f} s of processor")


def plan(what: str, folder: Path, config: Path, *more: str) -> None:
    """Plan, and print what it took."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile")]
    command += ["--directory", str(folder), "--configfile", str(config), "--dry-run"]
    command += ["--quiet", "all", *more]
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - started
    if process.returncode:
        raise SystemExit(f"failed: {' '.join(command)}")
    processor, peak = used.ru_utime + used.ru_stime, used.ru_maxrss / 1024
    print(f"{what}: {seconds:.1f} s ({processor:.1f} s of processor), {peak:.0f} MiB", flush=True)


def look_for_tiles(folder: Path) -> float:
    """Return the seconds of processor in which the tiles of a manifest are looked for."""
    manifests = [make_tiles(folder / f"sheet_{number:06d}.json") for number in range(LOOKED_AT)]
    gaps = Gaps(print)
    started = time.process_time()
    if any(gaps.in_manifest(str(manifest)) for manifest in manifests):
        raise RuntimeError("tiles are missing that were made")
    return (time.process_time() - started) / LOOKED_AT


def make_tiles(manifest: Path) -> Path:
    """Make empty tiles and a manifest of the size that a real one has."""
    names = [f"{manifest.stem}_r{place // 20:03d}_c{place % 20:03d}" for place in range(TILES)]
    folder = manifest.with_suffix("")
    folder.mkdir()
    for name in names:
        (folder / f"{name}.tif").touch()
    tiles = [{"tile": name, "row": 10, "col": 10, "x": 5120, "y": 5120} for name in names]
    manifest.write_text(json.dumps({"crs": "P" * 1200, "tiles": tiles}, indent=2), encoding="utf-8")
    return manifest


def make_city(folder: Path, count: int) -> Path:
    """Make empty sheets and lines, and return the config that names them."""
    (folder / "imagery").mkdir()
    for number in range(count):
        (folder / "imagery" / f"sheet_{number:06d}.jp2").touch()
    line = gpd.GeoDataFrame(geometry=[LineString([(0, 0), (1000, 1000)])], crs="EPSG:2263")
    for layer in ("streets", "centers"):
        line.to_file(folder / f"{layer}.shp")
    config = folder / "own.yaml"
    content = {
        "dataset": "own",
        "imagery": {"paths": ["imagery/*.jp2"]},
        "street_lines": {"path": "streets.shp"},
        "centerlines": {"path": "centers.shp"},
    }
    config.write_text(yaml.safe_dump(content), encoding="utf-8")
    return config


def make_flight(folder: Path) -> Path:
    """Return a config that predicts on the sheets with a ready network."""
    (folder / "ready.keras").touch()
    config = folder / "flight.yaml"
    content = {
        "dataset": "flight",
        "prediction": {"model": "ready.keras", "paths": ["imagery"]},
    }
    config.write_text(yaml.safe_dump(content), encoding="utf-8")
    return config


def find_neighbours(folder: Path, count: int) -> None:
    """Make empty scenes and write which lie beside which, in a square of them."""
    side = math.isqrt(count - 1) + 1
    names = {divmod(number, side): f"sheet_{number:06d}" for number in range(count)}
    around = [(down, across) for down in (-1, 0, 1) for across in (-1, 0, 1) if down or across]
    found = {
        name: sorted(
            names[row + down, column + across]
            for down, across in around
            if (row + down, column + across) in names
        )
        for (row, column), name in names.items()
    }
    (folder / "results" / "scenes").mkdir(parents=True)
    for name in names.values():
        (folder / "results" / "scenes" / f"{name}.tif").touch()
    path = folder / "results" / "neighbours" / "predicted.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"neighbours": found}), encoding="utf-8")


if __name__ == "__main__":
    main()
