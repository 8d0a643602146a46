"""How long Snakemake plans a city of many sheets: ``python benchmarks/dry_run.py [2000]``.

Prints seconds and memory of a dry run in which everything is still to be made. The sheets are
empty files, since planning opens none.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

REPOSITORY = Path(__file__).resolve().parents[1]


def main() -> None:
    """Plan, and print what it took."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = make_city(folder, count)
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile")]
        options = ["--directory", name, "--configfile", str(config), "--dry-run", "--quiet", "all"]
        started = time.perf_counter()
        subprocess.run(
            [*command, *options], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        seconds = time.perf_counter() - started
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    peak = used.ru_maxrss / 1024
    processor = used.ru_utime + used.ru_stime
    print(f"{count} sheets: {seconds:.1f} s ({processor:.1f} s of processor), {peak:.0f} MiB")


def make_city(folder: Path, count: int) -> Path:
    """Make empty sheets and lines, and return the config that names them."""
    (folder / "imagery").mkdir()
    for number in range(count):
        (folder / "imagery" / f"sheet_{number:06d}.jp2").touch()
    for layer in ("streets", "centers"):
        for suffix in (".shp", ".shx", ".dbf", ".prj"):
            (folder / f"{layer}{suffix}").touch()
    config = folder / "own.yaml"
    content = {
        "dataset": "own",
        "imagery": {"paths": ["imagery/*.jp2"]},
        "street_lines": {"path": "streets.shp"},
        "centerlines": {"path": "centers.shp"},
    }
    config.write_text(yaml.safe_dump(content), encoding="utf-8")
    return config


if __name__ == "__main__":
    main()
