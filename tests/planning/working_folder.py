"""Working folders in which the real Snakefile is asked and run, and their contents."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import geopandas as gpd
import pyogrio
import shapely
import yaml
from cards import plain_card
from shapely.geometry.base import BaseGeometry

from planning.reruns import step_of
from roadmask.model.card import embed_card

REPOSITORY = Path(__file__).resolve().parents[2]
TIMEOUT = 300


def write_card(path: Path, bands: Iterable[int] = (1, 2, 3)) -> Path:
    """Write a ``.keras`` file that holds no network, but its card: planning asks no more."""
    card = plain_card(architecture="unet", bands=tuple(bands), input_stride=16)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    embed_card(path, card)
    return path


@dataclass
class Folder:
    """A working folder of Snakemake, apart from the repository."""

    path: Path
    snakefile: Path
    config: Path | None = None
    # The steps that `pretend_done` has recorded.
    made: set[str] = field(default_factory=set)

    def command(self, *arguments: str) -> list[str]:
        start = [sys.executable, "-m", "snakemake", "--snakefile", str(self.snakefile)]
        laid_over = ["--configfile", str(self.config)] if self.config else []
        return [*start, "--directory", str(self.path), *arguments, *laid_over]

    def snakemake(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments),
            cwd=self.path,
            env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"} | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )

    def jobs(self, *arguments: str) -> dict[str, int]:
        """Return how many jobs of each rule a dry run plans."""
        done = self.snakemake("--dry-run", *arguments)
        assert done.returncode == 0, done.stdout
        return planned(done.stdout)

    def steps(self, *arguments: str) -> set[str]:
        """Return the steps that a dry run plans."""
        return {step for step in map(step_of, self.jobs(*arguments)) if step}

    def write_config(self, config: dict[str, Any]) -> None:
        self.config = self.path / "own.yaml"
        self.config.write_text(yaml.safe_dump(config), encoding="utf-8")

    def pretend_done(self, *targets: str) -> None:
        """Let Snakemake record every job as done, on empty files.

        It writes the same records after a touch as after a run, so that what follows
        is decided by Snakemake's own rules.
        """
        self.made = self.steps(*targets)
        listed = self.snakemake("--summary", *targets)
        assert listed.returncode == 0, listed.stdout
        lines = listed.stdout.partition("output_file\t")[2].splitlines()[1:]
        files = [self.path / line.split("\t")[0] for line in lines if "\t" in line]
        for file in files:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
        for file in files:
            if file.suffix == ".json":
                pretend_manifest(file)
        done = self.snakemake("--touch", "--forceall", "--no-hooks", "--cores", "1", *targets)
        assert done.returncode == 0, done.stdout
        assert self.jobs(*targets) == {}


def pretend_manifest(path: Path) -> None:
    """Write a manifest, and make (empty) what it lists."""
    folder = path.with_suffix("")
    content: dict[str, Any] = {}
    names: list[Path] = []
    if path.parent.name == "tiles":
        content = {"tiles": [{"tile": f"{path.stem}_r000_c00{column}"} for column in range(2)]}
        names = [folder / f"{tile['tile']}.tif" for tile in content["tiles"]]
    elif path.name == "dataset.json":
        content = {"splits": {"train": {"shards": [{"name": "train.tfrecord"}]}}}
        names = [path.with_name("train.tfrecord")]
    elif path.parent.name == "neighbours":
        scenes = sorted(scene.stem for scene in (path.parents[1] / "scenes").glob("*.tif"))
        # Sheets in one row, each beside the next.
        content = {
            "neighbours": {
                name: [*scenes[max(place - 1, 0) : place], *scenes[place + 1 : place + 2]]
                for place, name in enumerate(scenes)
            }
        }
    elif path.parent.name == "mosaics":
        layer = path.parent.parent / f"{path.stem}.vrt"
        content = {"mosaics": [{"vrt": layer.name, "style": layer.with_suffix(".qml").name}]}
        names = [layer, layer.with_suffix(".qml")]
    elif path.name == "vectors.json":
        content = {"files": [{"file": "roads.gpkg"}]}
        names = [path.with_name("roads.gpkg")]
    path.write_text(json.dumps(content), encoding="utf-8")
    for name in names:
        name.parent.mkdir(exist_ok=True)
        name.touch()


def planned(output: str) -> dict[str, int]:
    """Read the first table of jobs in Snakemake's output."""
    table = output.partition("Job stats:\n")[2].partition("\ntotal ")[0]
    rows = (re.fullmatch(r"(\w+) +(\d+)", line) for line in table.splitlines())
    return {row[1]: int(row[2]) for row in rows if row}


def write_layer(path: Path, shape: BaseGeometry, layer: str | None = None) -> None:
    """Add a layer of one feature with the fields A, B, WIDTH and KIND to a file."""
    fields = {"A": [1], "B": ["b"], "WIDTH": [30.0], "KIND": ["road"]}
    frame = gpd.GeoDataFrame(fields, geometry=[shape], crs="EPSG:2263")
    pyogrio.write_dataframe(frame, path, layer=layer)


def own_data(
    folder: Path, scenes: Iterable[str] = ("a", "b", "c"), method: str = "regions"
) -> dict[str, Any]:
    """Make files of somebody's own city, empty pictures, and return the config that names them."""
    imagery = folder / "imagery"
    imagery.mkdir()
    for scene in scenes:
        for suffix in (".jp2", ".j2w"):
            (imagery / f"{scene}{suffix}").touch()
    square = shapely.box(0, 0, 1000, 1000)
    for layer in ("streets", "centers"):
        write_layer(folder / f"{layer}.shp", shapely.LineString(square.exterior.coords))
    for layer in ("area", "islands", "truth", "roadbeds"):
        write_layer(folder / f"{layer}.shp", square)
    (folder / "review.csv").touch()
    (folder / "ready").mkdir()
    for scene in scenes:
        (folder / "ready" / f"{scene}.png").touch()
    return {
        "dataset": "own",
        "imagery": {"paths": ["imagery/*.jp2"]},
        "area": {"path": "area.shp"},
        "street_lines": {"path": "streets.shp"},
        "centerlines": {"path": "centers.shp", "width": "30 ft"},
        "labels": {
            "method": method,
            "polygons": {"path": "roadbeds.shp"},
            "islands": {"path": "islands.shp"},
            "reference": {"path": "truth.shp"},
            "raster": {"path": "ready/{scene}.png"},
        },
        "selection": {"review": "review.csv"},
    }


def pictures(folder: Path) -> dict[str, Any]:
    """Make pictures and ready masks, and return the config that names them and nothing else."""
    config = own_data(folder)
    return {
        "dataset": "own",
        "imagery": config["imagery"],
        "labels": {"method": "raster", "raster": config["labels"]["raster"]},
    }
