"""What runs again after which change, asked of Snakemake itself."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from working_folder import Folder, own_data, write_card

from planning import documents, reruns, teaching
from planning.plan import batches
from planning.reruns import STEPS, step_of
from planning.settings import Augmentation, Settings, leaves

# For every leaf: the way of labelling under which it counts, and another value.
REGIONS, POLYGONS, RASTER, BUFFER = "regions", "polygons", "raster", "buffer"
DEMO, PICTURES = "demo", "pictures"
CHANGES: dict[str, tuple[str, Any]] = {
    "dataset": (REGIONS, "renamed"),
    "results": (REGIONS, "elsewhere"),
    "demo.seed": (DEMO, 2),
    "demo.broken_lines": (DEMO, 0.5),
    "area.path": (REGIONS, "islands.shp"),
    "area.layer": (REGIONS, "area"),
    "area.where": (REGIONS, "A = 1"),
    "imagery.paths": (REGIONS, ["imagery/*.jp2", "more/d.jp2"]),
    "imagery.bands": (REGIONS, [3, 2, 1]),
    "imagery.scale": (REGIONS, [0, 3000]),
    "imagery.crs": (REGIONS, "EPSG:2263"),
    "imagery.nodata": (REGIONS, 0),
    "imagery.georeference": (PICTURES, "pixel"),
    "street_lines.path": (REGIONS, "centers.shp"),
    "street_lines.layer": (REGIONS, "streets"),
    "street_lines.where": (REGIONS, "A = 1"),
    "centerlines.path": (REGIONS, "streets.shp"),
    "centerlines.layer": (BUFFER, "centers"),
    "centerlines.where": (REGIONS, "A = 1"),
    "centerlines.width_field": (BUFFER, "WIDTH"),
    "centerlines.width_unit": (REGIONS, "12 ft"),
    "centerlines.width": (BUFFER, "40 ft"),
    "lines.halo": (REGIONS, "300 ft"),
    "tiles.size": (REGIONS, 512),
    "tiles.overlap": (REGIONS, 16),
    "labels.method": (REGIONS, "buffer"),
    "labels.polygons.path": (POLYGONS, "islands.shp"),
    "labels.polygons.layer": (POLYGONS, "roadbeds"),
    "labels.polygons.where": (POLYGONS, "A = 1"),
    "labels.islands.path": (REGIONS, "area.shp"),
    "labels.islands.layer": (REGIONS, "islands"),
    "labels.islands.where": (REGIONS, "A = 1"),
    "labels.reference.path": (REGIONS, "area.shp"),
    "labels.reference.layer": (REGIONS, "truth"),
    # Braces are no wildcards here.
    "labels.reference.where": (REGIONS, "B = '{b}'"),
    "labels.polygons.field": (POLYGONS, "KIND"),
    "labels.raster.path": (RASTER, "imagery/{scene}.jp2"),
    "labels.raster.resample": (RASTER, "nearest"),
    "labels.raster.tolerance": (RASTER, 8),
    "labels.ends": (BUFFER, "round"),
    "labels.threshold": (RASTER, 12),
    "labels.max_road_width": (REGIONS, "40 m"),
    "labels.shift": (REGIONS, ["3 ft", "-2 ft"]),
    "labels.max_shift": (REGIONS, "2 m"),
    "labels.on_shift": (REGIONS, "error"),
    "classes": (REGIONS, {"water": 2}),
    "selection.min_road_share": (REGIONS, 0.02),
    "selection.max_road_share": (REGIONS, 0.8),
    "selection.empty_share": (REGIONS, 1),
    "selection.max_nodata_share": (REGIONS, 0.4),
    "selection.max_unknown_share": (REGIONS, 0.4),
    "selection.review": (REGIONS, "streets.dbf"),
    "selection.review_tiles": (REGIONS, 50),
    # Shares change together, or they would not add up to 1.
    "split.train": (REGIONS, {"train": 0.6, "val": 0.25}),
    "split.val": (REGIONS, {"val": 0.2, "test": 0.1}),
    "split.test": (REGIONS, {"test": 0.2, "train": 0.65}),
    "split.block": (REGIONS, "512 ft"),
    "split.seed": (REGIONS, 2),
    "model.architecture": (REGIONS, "unet_wide"),
    # Where the architecture leaves a choice.
    "model.backbone": (REGIONS, {"architecture": "deeplabv3plus", "backbone": "mobilenetv2"}),
    "model.output_stride": (REGIONS, {"architecture": "deeplabv3plus", "output_stride": 8}),
    "model.weights": (REGIONS, "ready.keras"),
    "model.export": (REGIONS, ["onnx"]),
    "model.activations": (REGIONS, ["logits"]),
    "training.epochs": (REGIONS, 3),
    "training.batch_size": (REGIONS, 3),
    "training.learning_rate": (REGIONS, 0.01),
    "training.loss": (REGIONS, "dice"),
    "training.patience": (REGIONS, 3),
    "training.crop": (REGIONS, 64),
    "training.schedule": (REGIONS, "constant"),
    "training.plateau_patience": (REGIONS, 3),
    "training.plateau_divisor": (REGIONS, 3),
    "training.average": (REGIONS, 0.9),
    "training.precision": (REGIONS, "float32"),
    "training.seed": (REGIONS, 3),
    "training.warm_up": (REGIONS, 0.1),
    "training.focal_gamma": (REGIONS, 1),
    "training.tversky_misses": (REGIONS, 0.6),
    "training.class_weights": (REGIONS, "balanced"),
    "training.weight_decay": (REGIONS, 0.001),
    "training.clip_norm": (REGIONS, 1),
    "training.xla": (REGIONS, True),
    "training.strategy": (REGIONS, "single"),
    "training.deterministic": (REGIONS, False),
    # Whatever they are, a probability or a limit: another value that is possible.
    **{
        f"training.{key}": (REGIONS, value * 0.9 if value else 0.9)
        for key, value in leaves(Augmentation(), "augmentation.").items()
    },
    "prediction.paths": (REGIONS, ["imagery/*.jp2", "more/d.jp2"]),
    "prediction.model": (REGIONS, "ready.keras"),
    # Where there are pictures from elsewhere.
    "prediction.tone": (REGIONS, {"model": "ready.keras", "tone": "none"}),
    "prediction.window": (REGIONS, 256),
    "prediction.overlap": (REGIONS, 32),
    "prediction.augmentation": (REGIONS, "flips"),
    "prediction.bands": (REGIONS, {"model": "ready.keras", "bands": [3, 2, 1]}),
    "prediction.resample": (REGIONS, True),
    "prediction.threshold": (REGIONS, 0.4),
    "vectors.tolerance": (REGIONS, "2 px"),
    "vectors.smallest": (REGIONS, "5 m"),
    "vectors.min_width": (REGIONS, "3 m"),
    "vectors.min_length": (REGIONS, "20 m"),
    "vectors.island": (REGIONS, "5 m"),
    "evaluation.tolerance": (REGIONS, "1 m"),
    "changes.min_length": (REGIONS, "20 m"),
    "changes.min_width": (REGIONS, "4 m"),
    "changes.min_confidence": (REGIONS, 0.2),
}
# A sample that stands for every kind of leaf; the rest takes a minute and a half.
QUICK = (
    "tiles.size",
    "imagery.scale",
    "labels.reference.where",
    "labels.max_shift",
    "selection.max_road_share",
)


def changed(key: str, value: object) -> dict[str, object]:
    """Return the config that sets one leaf."""
    parts = key.split(".")
    if isinstance(value, dict) and key != "classes":
        return {parts[0]: value}
    config: Any = value
    for part in reversed(parts):
        config = {part: config}
    return config


def as_argument(config: dict[str, object]) -> str:
    """Return a config as one word for ``--config``."""
    [(key, value)] = config.items()
    return f"{key}={json.dumps(value) if not isinstance(value, str) else value}"


def check(key: str, make_done: Callable[[str], Folder]) -> None:
    method, value = CHANGES[key]
    if value == leaves(Settings())[key]:
        pytest.skip(f"there is no other {key} yet")
    folder = make_done(method)
    for name in ("more/d.jp2", "ready/d.png"):
        file = folder.path / name
        file.parent.mkdir(exist_ok=True)
        file.touch()
    write_card(folder.path / "ready.keras")

    steps = folder.steps("--config", as_argument(changed(key, value)))

    assert steps == set(reruns.row_of(key).steps) & folder.made


def test_every_leaf_has_a_change_and_a_row() -> None:
    assert set(CHANGES) == set(leaves(Settings()))
    for key in CHANGES:
        reruns.row_of(key)


def test_every_row_is_needed() -> None:
    assert {reruns.row_of(key) for key in CHANGES} == set(reruns.TABLE)


@pytest.mark.parametrize("key", QUICK)
def test_a_change_reruns_what_the_table_says(key: str, make_done: Callable[[str], Folder]) -> None:
    check(key, make_done)


def test_another_threshold_does_not_run_the_network(make_done: Callable[[str], Folder]) -> None:
    jobs = make_done(REGIONS).jobs("--config", "prediction={threshold: 0.4}")
    assert jobs["classify_batch_0001"] == 1
    assert not any(name.startswith("predict_") for name in jobs)


def test_another_spelling_of_a_length_runs_nothing(make_done: Callable[[str], Folder]) -> None:
    folder = make_done(REGIONS)
    assert (
        folder.steps("--config", "vectors={tolerance: 1.50px}", "lines={halo: 200.0  ft}") == set()
    )


@pytest.mark.slow
@pytest.mark.parametrize("key", sorted(set(CHANGES) - set(QUICK)))
def test_every_change_reruns_what_the_table_says(
    key: str, make_done: Callable[[str], Folder]
) -> None:
    check(key, make_done)


# Leaves that have no effect on a city labelled by regions.
IDLE: dict[str, dict[str, Any]] = {
    "labels": {
        "threshold": 100,
        "polygons": {"where": "A = 1"},
        "raster": "imagery/{scene}.jp2",
    },
    "demo": {"seed": 2, "broken_lines": 0.5},
}


def test_what_has_no_effect_makes_the_report_anew_and_nothing_else(
    make_done: Callable[[str], Folder],
) -> None:
    folder = make_done(REGIONS)
    texts = [as_argument({section: values}) for section, values in IDLE.items()]
    assert folder.steps("--config", *texts) == {"report"}


def test_the_readme_has_the_table() -> None:
    text = documents.README.read_text(encoding="utf-8")
    assert documents.readme_text(text) == text


def test_the_readmes_table_is_renewed_in_its_place() -> None:
    head = reruns.markdown().splitlines()[0]
    new = documents.readme_text(f"# A\n\n{head}\n| --- |\n| `old` |\n\nB\n")
    assert new == f"# A\n\n{reruns.markdown()}\nB\n"
    with pytest.raises(ValueError, match="0 tables"):
        documents.readme_text("# A")


def test_no_tile_is_cut_again_for_another_road_share(
    make_done: Callable[[str], Folder],
) -> None:
    folder = make_done(REGIONS)

    jobs = folder.jobs("--config", "selection={max_road_share: 0.5}")

    assert jobs["select_tiles"] == 3
    assert not {"cut_scene", "cut_lines", "cut_masks", "learn_looks", "measure_tiles"} & set(jobs)


def test_an_answer_to_score_against_judges_no_tile_and_trains_nothing(
    make_done: Callable[[str], Folder],
) -> None:
    folder = make_done(REGIONS)

    jobs = folder.jobs("--config", "labels={reference: {where: A = 1}}")

    assert jobs["score_tiles"] == 3
    assert not {"measure_tiles", "select_tiles", "write_dataset", "train_model"} & set(jobs)


def test_other_labels_teach_the_looks_anew_and_other_tiles_do_not(
    make_done: Callable[[str], Folder],
) -> None:
    folder = make_done(REGIONS)

    jobs = folder.jobs("selection", "--config", "labels={max_road_width: 40 m}")
    assert (jobs["label_scene"], jobs["learn_looks"], jobs["see_looks"]) == (3, 2, 3)
    assert not {"convert_scene", "cut_scene", "draw_lines"} & set(jobs)

    jobs = folder.jobs("selection", "--config", "tiles={size: 300}")
    assert jobs["measure_tiles"] == 3
    assert not {"label_scene", "learn_looks", "see_looks"} & set(jobs)


def test_a_sheet_that_teaches_nothing_changes_its_own_looks_alone(folder: Folder) -> None:
    names = [f"sheet_{number:02d}" for number in range(teaching.MOST + 2)]
    folder.write_config(own_data(folder.path, names))
    teachers = teaching.chosen(names)
    silent = next(name for name in names if name not in teachers)
    newcomers = (f"new_{number}" for number in range(1000))
    newcomer = next(name for name in newcomers if teaching.chosen([*names, name]) == teachers)
    looks = [f"results/selection/looks/{name}.tif" for name in names]
    folder.pretend_done(*looks)

    (folder.path / "imagery" / f"{newcomer}.jp2").touch()
    looks.append(f"results/selection/looks/{newcomer}.tif")
    with replaced(folder.path / "imagery" / f"{silent}.jp2"):
        jobs = folder.jobs(*looks)
    assert (jobs["convert_scene"], jobs["see_looks"]) == (2, 2)
    assert "learn_looks" not in jobs

    with replaced(folder.path / "imagery" / f"{teachers[0]}.jp2"):
        jobs = folder.jobs(*looks)
    assert (jobs["convert_scene"], jobs["learn_looks"]) == (2, 2)
    assert jobs["see_looks"] == len(looks)


def test_the_reason_names_the_key(make_done: Callable[[str], Folder]) -> None:
    folder = make_done(REGIONS)

    output = folder.snakemake("-n", "--config", "tiles={size: 300}").stdout

    assert "before: ['--tiles.size=256'] now: ['--tiles.size=300']" in output


@contextmanager
def replaced(path: Path) -> Iterator[None]:
    """Give a file other content and an older time, as `cp -p` of last year's does; then undo it."""
    content, state = path.read_bytes(), path.stat()
    path.write_bytes(content + b" ")
    os.utime(path, (1_000_000_000, 1_000_000_000))
    yield
    path.write_bytes(content)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


@pytest.mark.parametrize(
    ("name", "first", "count"),
    [
        ("imagery/b.jp2", "convert_scene", 1),
        ("imagery/b.j2w", "convert_scene", 1),
        ("streets.shp", "draw_lines", 3),
        ("centers.dbf", "draw_lines", 3),
        ("area.dbf", "cut_scene", 3),
        ("review.csv", "select_tiles", 3),
    ],
)
def test_a_source_replaced_by_an_older_one_is_noticed(
    make_done: Callable[[str], Folder], name: str, first: str, count: int
) -> None:
    folder = make_done(REGIONS)

    with replaced(folder.path / name):
        jobs = folder.jobs()

    assert jobs[first] == count
    assert STEPS.index(step_of(first) or "") == min(map(STEPS.index, steps_of(jobs)))


def steps_of(jobs: Iterable[str]) -> set[str]:
    return {step for step in map(step_of, jobs) if step}


def test_a_sheet_takes_its_neighbours_with_it_and_no_others(folder: Folder) -> None:
    # In a row, each beside the next, and more than go into one batch.
    names = [f"sheet_{number:02d}" for number in range(40)]
    folder.write_config(
        {
            "dataset": "own",
            # Matched, all sheets of a folder would follow the changed one.
            "prediction": {"model": "ready.keras", "paths": ["imagery/*.jp2"], "tone": "none"},
        }
    )
    (folder.path / "ready.keras").touch()
    (folder.path / "imagery").mkdir()
    for name in names:
        (folder.path / "imagery" / f"{name}.jp2").touch()
    folder.pretend_done()
    in_order = list(batches(names))
    assert len(in_order) > 2
    changed_sheet = in_order[1][0]
    # What Snakemake takes for unchanged, as `--touch` leaves it, is not made again.
    (folder.path / f"results/scenes/{changed_sheet}.tif").write_text("other", encoding="utf-8")

    with replaced(folder.path / "imagery" / f"{changed_sheet}.jp2"):
        done = folder.snakemake("--touch", "--no-hooks", "--cores", "1")

    assert done.returncode == 0, done.stdout
    made = re.findall(r"Finished jobid: \d+ \(Rule: (\w+)\)", done.stdout)
    # The sheet before the changed one is the last of the first batch.
    assert sorted(name for name in made if name.startswith("predict")) == [
        "predict_batch_0001",
        "predict_batch_0002",
    ]
    assert made.count("convert_scene") == 1


def test_a_new_sidecar_and_a_new_sheet_are_noticed(make_done: Callable[[str], Folder]) -> None:
    folder = make_done(REGIONS)
    added = [folder.path / "imagery" / name for name in ("c.jp2.aux.xml", "d.jp2")]

    for path in added:
        path.touch()
    jobs = folder.jobs()
    for path in added:
        path.unlink()

    assert (jobs["convert_scene"], jobs["label_scene"], jobs["summarize_selection"]) == (2, 2, 1)


@pytest.mark.slow
def test_a_ready_mask_replaced_is_noticed(make_done: Callable[[str], Folder]) -> None:
    folder = make_done(RASTER)

    with replaced(folder.path / "ready" / "a.png"):
        assert folder.jobs()["label_scene"] == 1


# Edited modules, and the first steps that run again for it.
EDITED = {
    "selection.py": {"selection"},
    "lines.py": {"lines"},
    "evaluation/metrics.py": {"evaluation"},
    # Imported by the launcher, so by every job.
    "errors.py": {"demo"},
}


def test_code_edited_reruns_its_stage_and_a_comment_nothing(
    own_snakefile: Path, folder: Folder
) -> None:
    folder.snakefile = own_snakefile
    folder.pretend_done()
    package = own_snakefile.parent / "workflow" / "roadmask"
    originals = {name: (package / name).read_text(encoding="utf-8") for name in EDITED}

    for name, text in originals.items():
        (package / name).write_text(f"{text}\n# a comment\n", encoding="utf-8")
    assert folder.steps() == set()

    for name, text in originals.items():
        (package / name).write_text(f"{text}\nADDED = 1\n", encoding="utf-8")
        first = min(folder.steps(), key=STEPS.index)
        (package / name).write_text(text, encoding="utf-8")
        assert {first} == EDITED[name], name
