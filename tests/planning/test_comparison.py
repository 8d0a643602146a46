"""Which scenes are held against the map, and which jobs that takes."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from working_folder import Folder, own_data

from planning.comparison import compare
from planning.flights import TRAINING, flight_names
from planning.sources import Source

# What training reads or makes.
TRAINED = {
    "draw_lines", "label_scene", "cut_scene", "cut_lines", "cut_masks", "measure_tiles",
    "select_tiles", "write_dataset", "train_model", "evaluate",
}  # fmt: skip


def sources(*paths: str) -> dict[str, Source]:
    return {Path(path).stem: Source(path, (path,)) for path in paths}


def test_new_scenes_are_compared_after_those_trained_on_flight_by_flight() -> None:
    found = compare(
        training=sources("old/a.jp2", "old/b.jp2"),
        prediction=sources(
            "x/2026/e.jp2", "x/2025/c.jp2", "old/a.jp2", "old/f.jp2", "x/2026/d.jp2"
        ),
        obstacle=lambda scene: "no mask" if scene == "d" else None,
    )
    assert found.labelled == ("a", "b")
    assert found.mapped == ("e", "c", "f")
    assert found.scenes == ("a", "b", "e", "c", "f")
    assert found.flights == ((TRAINING, 2), ("2026", 1), ("2025", 1), (TRAINING, 1))
    assert found.without == {"no mask": ("d",)}
    assert found.files("m/{scene}.tif", "x/{scene}.tif") == [
        "m/a.tif", "m/b.tif", "x/e.tif", "x/c.tif", "x/f.tif",
    ]  # fmt: skip
    assert found.arguments({"masks": ("<results>/{scene}", "<results>/x/{scene}")}, "r") == [
        "--scenes=a/b", "--mapped-scenes=e/c/f", "--masks", "r/{scene}", "r/x/{mapped}",
        *("--flight", TRAINING, "2", "--flight", "2026", "1", "--flight", "2025", "1"),
        *("--flight", TRAINING, "1", "--without", "no mask", "d"),
    ]  # fmt: skip


@given(st.sets(st.text("ab/.", min_size=1, max_size=6)))
def test_flights_have_names_of_their_own(folders: set[str]) -> None:
    folders = {str(Path(folder)) for folder in folders} | {"training", "a/training"}
    names = flight_names(folders)
    assert len(set(names.values())) == len(folders)
    assert TRAINING not in names.values()
    for folder, name in names.items():
        assert folder.endswith(name.removesuffix(" (prediction.paths)"))


def add_flight(folder: Folder, method: str, **prediction: object) -> None:
    """Write the config of somebody's own city with a new flight of two pictures over it."""
    config = own_data(folder.path, method=method)
    (folder.path / "new").mkdir()
    for name in ("d.jp2", "e.jp2"):
        (folder.path / "new" / name).touch()
    (folder.path / "ready" / "d.png").touch()
    (folder.path / "ready.keras").touch()
    config["prediction"] = {"paths": ["new/*.jp2"], **prediction}
    folder.write_config(config)


@pytest.mark.parametrize("method", ["regions", "raster"])
def test_a_ready_model_with_a_map_compares_what_it_predicts(folder: Folder, method: str) -> None:
    add_flight(folder, method, model="ready.keras")
    done = folder.snakemake("-n", "-p")
    assert done.returncode == 0, done.stdout
    [command] = [line for line in done.stdout.splitlines() if "roadmask changes" in line]
    jobs = folder.jobs()
    assert not TRAINED & set(jobs)
    assert jobs["find_changes"] == 1
    if method == "regions":
        assert (jobs["draw_map"], jobs["label_map"]) == (2, 2)
        assert "--mapped-scenes=d/e" in command
        assert "--flight new 2" in command
    else:  # one of the two has a ready mask
        assert jobs["label_map"] == 1
        assert "--mapped-scenes=d " in command
        assert "--without 'labels.raster.path names no file for it' e" in command


def test_a_new_flight_is_compared_and_training_is_not_touched(folder: Folder) -> None:
    add_flight(folder, "regions")
    assert folder.config is not None
    config = yaml.safe_load(folder.config.read_text())
    flight = config.pop("prediction")
    folder.write_config(config)
    folder.pretend_done()
    folder.write_config(config | {"prediction": flight})
    jobs = folder.jobs()
    assert not TRAINED & set(jobs)
    assert (jobs["draw_map"], jobs["label_map"], jobs["find_changes"]) == (2, 2, 1)
    assert jobs["convert_scene"] == 2
    # What was made for the comparison is missed like everything else.
    folder.pretend_done()
    (folder.path / "results" / "changes" / "map" / "d.qml").unlink()
    assert folder.jobs()["label_map"] == 1


def test_where_nothing_lies_on_the_ground_no_label_is_made_for_the_comparison(
    folder: Folder,
) -> None:
    config = own_data(folder.path, method="raster")
    (folder.path / "new").mkdir()
    (folder.path / "new" / "d.jp2").touch()
    pictures = {key: config[key] for key in ("dataset", "imagery")}
    pictures["imagery"]["georeference"] = "pixel"
    labels = {"method": "raster", "raster": config["labels"]["raster"]}
    folder.write_config(pictures | {"labels": labels, "prediction": {"paths": ["new/*.jp2"]}})
    done = folder.snakemake("-n", "-p", "changes")
    [command] = [line for line in done.stdout.splitlines() if "roadmask changes" in line]
    assert "lie nowhere" in command
    assert command.index(" a b c d ") > 0
    assert folder.jobs("changes") == {"changes": 1, "find_changes": 1}
