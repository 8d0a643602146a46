"""What is deleted from a finished run is made again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from working_folder import Folder

from planning.completeness import TOLD, Gaps, gap


@contextmanager
def without(path: Path) -> Iterator[None]:
    """Take a file or folder away, and give it back."""
    away = path.with_name(f".{path.name}.away")
    path.rename(away)
    yield
    away.rename(path)


def write(path: Path, content: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def make(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_tiles_that_a_manifest_lists(tmp_path: Path) -> None:
    manifest = write(tmp_path / "a.b.json", {"tiles": [{"tile": "t1"}, {"tile": "t2"}]})
    files = [tmp_path / "a.b" / f"{name}.tif" for name in ("t1", "t2")]
    assert gap(manifest) == f"{files[0]} and 1 more are not there, which {manifest} lists"

    make(*files)
    assert gap(manifest) is None

    files[1].unlink()
    assert gap(manifest) == f"{files[1]} is not there, which {manifest} lists"


MOSAICS = {
    "mosaics": [
        {"vrt": "masks_a_0.5.vrt", "style": "masks_a_0.5.qml"},
        {"vrt": "masks_b_1.vrt", "style": None},
    ]
}


def test_shards_and_mosaics(tmp_path: Path) -> None:
    dataset = write(
        tmp_path / "dataset" / "dataset.json",
        {"splits": {"train": {"shards": [{"name": "t0"}]}, "test": {"shards": []}}},
    )
    masks = write(tmp_path / "mosaics" / "masks.json", MOSAICS)
    assert str(gap(dataset)).startswith(f"{tmp_path}/dataset/t0 is not there")
    assert str(gap(masks)).startswith(f"{tmp_path}/masks_a_0.5.qml and 2 more")

    names = ("dataset/t0", "masks_a_0.5.vrt", "masks_a_0.5.qml", "masks_b_1.vrt")
    make(*(tmp_path / name for name in names))
    assert gap(dataset) is None
    assert gap(masks) is None


def test_vectors(tmp_path: Path) -> None:
    files = [{"file": "roads_a.gpkg"}, {"file": "roads_b.gpkg"}]
    manifest = write(tmp_path / "vectors" / "vectors.json", {"files": files})
    make(tmp_path / "vectors" / "roads_b.gpkg")
    assert str(gap(manifest)).startswith(f"{tmp_path}/vectors/roads_a.gpkg is not there")

    make(tmp_path / "vectors" / "roads_a.gpkg")
    assert gap(manifest) is None


def test_a_manifest_that_is_missing_is_snakemakes_business(tmp_path: Path) -> None:
    assert gap(tmp_path / "a.json") is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"tiles": 3}', '{"tiles": [{}]}'])
def test_a_broken_manifest_is_a_gap(tmp_path: Path, text: str) -> None:
    manifest = tmp_path / "a.json"
    manifest.write_text(text, encoding="utf-8")
    assert gap(manifest) == f"{manifest} can't be read"


def test_few_gaps_are_told_of_and_each_once(tmp_path: Path) -> None:
    told: list[str] = []
    gaps = Gaps(told.append)
    paths = [
        str(write(tmp_path / f"{number}.json", {"tiles": [{"tile": "t"}]}))
        for number in range(TOLD + 3)
    ]

    assert all(gaps.in_manifest(path) for path in paths + paths)

    assert len(told) == TOLD + 1
    assert told[-1].startswith("Further manifests")


# Of a sheet's tiles, and of all sheets together.
JUDGED = ("select_tiles", "score_tiles")
GATHERED = ("check_offsets", "summarize_selection", "write_review")

# What is taken away, the target that is asked for, and the jobs that make it.
DELETED = {
    "tiles/a/a_r000_c001.tif": ("tiles", {"cut_scene": 1}),
    "lines/tiles/b": ("lines", {"cut_lines": 1}),
    "masks/tiles/c/c_r000_c000.tif": ("masks", {"cut_masks": 1}),
    "masks.vrt": ("masks", {"mosaic_masks": 1}),
    "selection/looks/a.tif": (
        "selection",
        dict.fromkeys((*JUDGED, *GATHERED, "see_looks", "measure_tiles"), 1),
    ),
    "selection/verdicts/b.csv": ("selection", dict.fromkeys((*JUDGED, *GATHERED[1:]), 1)),
    "dataset/train.tfrecord": ("dataset", {"write_dataset": 1}),
    "dataset/split.gpkg": ("dataset", {"write_dataset": 1}),
    "predictions.qml": ("predictions", {"mosaic_predictions": 1}),
    "vectors/roads.gpkg": ("vectors", {"draw_vectors": 1, "score_vectors": 1}),
    "evaluation/tiles.csv": ("evaluation", {"evaluate": 1}),
    # Joined for the project alone.
    "scenes.vrt": ("project", {"mosaic_scenes": 1, "write_project": 1}),
    "pieces.gpkg": ("project", {"join_pieces": 1, "write_project": 1}),
    "looks.vrt": ("project", {"mosaic_looks": 1, "write_project": 1}),
    "roads.qgz": ("project", {"write_project": 1}),
}


@pytest.mark.parametrize("name", DELETED)
def test_what_is_deleted_is_made_again(make_done: Callable[[str], Folder], name: str) -> None:
    folder = make_done("regions")
    target, jobs = DELETED[name]

    with without(folder.path / "results" / name):
        planned = folder.jobs(target)

    assert planned == {**jobs, target: 1}


def test_what_follows_is_made_again_too_and_no_other_stage(
    make_done: Callable[[str], Folder],
) -> None:
    folder = make_done("regions")

    with without(folder.path / "results/tiles/a/a_r000_c001.tif"):
        assert folder.jobs("scenes") == {}
        jobs = folder.jobs()

    assert {"cut_scene", "cut_masks", "write_dataset", "train_model"} <= set(jobs)
    assert not {"convert_scene", "draw_lines", "label_scene"} & set(jobs)
