"""Layers, fields and filters that a vector file has not, noticed when the plan is made."""

from __future__ import annotations

import copy
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import shapely
from working_folder import REPOSITORY, Folder, own_data, write_layer

from planning.checks import load
from planning.errors import PlanningError
from planning.plan import Plan
from roadmask import vectors_io

SQUARE = shapely.box(0, 0, 9, 9)
FIELDS = "Its fields are A, B, WIDTH, KIND."


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """The config of somebody's own city, in whose folder the test runs."""
    monkeypatch.chdir(tmp_path)
    return own_data(tmp_path)


def changed(config: dict[str, Any], key: str, value: object) -> dict[str, Any]:
    *sections, last = key.split(".")
    section = config
    for name in sections:
        section = section.setdefault(name, {})
    section[last] = value
    return config


def found(config: dict[str, Any]) -> list[str]:
    try:
        Plan(load(config), REPOSITORY / "workflow").require_layers()
    except PlanningError as error:
        return list(error.problems)
    return []


def test_what_is_there_is_accepted_whatever_its_case(config: dict[str, Any]) -> None:
    changed(config, "centerlines.width_field", "width")
    changed(config, "street_lines.where", "a = 1 AND \"KIND\" IN ('road')")
    changed(config, "street_lines.layer", "streets")
    assert found(config) == []


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        (
            "street_lines.layer",
            "street",
            "street_lines.layer: streets.shp has no layer street. Did you mean streets? "
            "It has streets.",
        ),
        (
            "centerlines.width_field",
            "ST_WIDTH",
            f"centerlines.width_field: centers.shp has no field ST_WIDTH. Did you mean WIDTH? "
            f"{FIELDS}",
        ),
        (
            "labels.reference.where",
            "KINDS = 'road'",
            "labels.reference.where: truth.shp has no field KINDS. Did you mean KIND? " + FIELDS,
        ),
        (
            "labels.islands.where",
            "A = 'b'",
            "labels.islands.where: in \"A = 'b'\" A, which holds numbers in this file, is compared "
            "with the text 'b'. Compare A with a number, such as A = 2.",
        ),
        ("area.where", "Q = 1", f"area.where: area.shp has no field Q. {FIELDS}"),
        (
            "area.path",
            "streets.shp",
            "area.path: streets.shp: the layer streets holds no polygons (LineString). "
            "Give a layer of polygons.",
        ),
    ],
)
def test_what_is_not_there_is_named(
    config: dict[str, Any], key: str, value: str, problem: str
) -> None:
    assert found(changed(config, key, value)) == [problem]


def test_all_layers_at_fault_are_named_at_once(config: dict[str, Any]) -> None:
    changed(config, "street_lines.where", "FEAT_CODE = '1'")
    changed(config, "labels.reference.layer", "beds")
    Path("centers.prj").unlink()
    first, second, third = found(config)
    assert first.startswith("street_lines.where: streets.shp has no field FEAT_CODE")
    assert second.startswith("centerlines.path: centers.shp: the layer centers has no CRS. Put ")
    assert third.startswith("labels.reference.layer: truth.shp has no layer beds. It has truth")


def test_the_field_of_the_classes_counts_where_polygons_are_the_label(
    config: dict[str, Any],
) -> None:
    changed(config, "labels.polygons.field", "KINDS")
    assert found(config) == []
    [problem] = found(changed(config, "labels.method", "polygons"))
    assert problem.startswith("labels.polygons.field: roadbeds.shp has no field KINDS. Did you")


def test_a_file_of_several_layers(config: dict[str, Any]) -> None:
    for layer in ("beds", "islands"):
        write_layer(Path("city.gpkg"), SQUARE, layer)
    config["labels"]["islands"] = {"path": "city.gpkg"}
    [problem] = found(config)
    assert problem.startswith("labels.islands.layer: city.gpkg has several layers: beds, islands.")
    config["labels"]["islands"] |= {"layer": "islands", "where": "STATE = 1"}
    [problem] = found(config)
    assert problem.startswith("labels.islands.where: the layer islands of city.gpkg has no field")


def test_zipped_shapefiles_are_looked_into(config: dict[str, Any]) -> None:
    with zipfile.ZipFile("all.zip", "w") as archive:
        for file in sorted(Path().glob("streets.*")):
            archive.write(file, f"download/{file.name}")
    config["street_lines"] = {"path": "all.zip", "where": "FEAT_CODE = '1'"}
    assert found(config)[0].startswith("street_lines.where: all.zip has no field FEAT_CODE")
    config["street_lines"]["path"] = "/vsizip/all.zip/download/streets.shp"
    assert "streets.shp has no field FEAT_CODE" in found(config)[0]


def test_what_would_take_long_is_left_to_the_jobs(
    config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_layer(Path("islands.geojson"), SQUARE)
    config["labels"]["islands"] = {"path": "islands.geojson", "where": "STATE = 1"}
    with zipfile.ZipFile("islands.zip", "w") as archive:
        archive.write("islands.geojson")
    zipped = changed(copy.deepcopy(config), "labels.islands.path", "islands.zip")
    assert "islands.geojson has no field STATE" in found(config)[0]
    assert "islands.zip has no field STATE" in found(zipped)[0]
    monkeypatch.setattr(vectors_io, "QUICKLY_READ", 10)
    assert found(config) == found(zipped) == []
    # Nobody waits for a server either.
    config["labels"]["islands"]["path"] = "/vsicurl/https://example.invalid/islands.fgb"
    assert found(config) == []


def test_files_of_the_demo_city_are_made_by_the_run(config: dict[str, Any]) -> None:
    Path("data/demo").mkdir(parents=True)
    for file in Path().glob("streets.*"):
        shutil.copy(file, Path("data/demo") / f"street_lines{file.suffix}")
    demo = {"dataset": "demo", "street_lines": {"where": "NOTHING = 1"}}
    assert found(demo) == []
    changed(demo, "street_lines.path", "data/demo/street_lines.shp")
    assert found(demo) == []
    changed(demo, "street_lines.path", "streets.shp")
    assert found(demo)[0].startswith("street_lines.where: streets.shp has no field NOTHING")


def test_a_dry_run_ends_at_a_wrong_field(own_folder: Folder) -> None:
    done = own_folder.snakemake("--dry-run", "--config", "centerlines={width_field: WIDHT}")
    assert done.returncode != 0
    assert (
        "centerlines.width_field: centers.shp has no field WIDHT. Did you mean WIDTH?"
    ) in done.stdout
    assert "Traceback" not in done.stdout
