"""Stage `project`: a QGIS project, by its structure and as the real QGIS sees it."""

from __future__ import annotations

import json
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import pytest
import rasterio
from affine import Affine
from qgis_program import look
from rasterio.coords import BoundingBox
from rasterio.crs import CRS
from rasterio.warp import transform_bounds
from shapely import LineString, Point, box

from roadmask.__main__ import main
from roadmask.errors import InputError
from roadmask.files import sha256
from roadmask.grid import Grid
from roadmask.masks.pieces import whole_sheet, write_pieces
from roadmask.mosaic import write_mosaics
from roadmask.project.contents import Made, describe
from roadmask.project.document import project_text
from roadmask.project.pieces import join_pieces
from roadmask.project.vector_layers import CHANGES, vector_layers
from roadmask.raster import write_cog
from roadmask.style import colour_table, legend, write_paletted_qml

FEET = CRS.from_epsg(2263)
METRES = CRS.from_epsg(32118)
WIDTH, HEIGHT = 160, 120
WHOLE = Grid(2 * WIDTH, HEIGHT + 40, Affine(0.5, 0, 987136, 0, -0.5, 210432), FEET)
# The second sheet lies lower: two corners of the whole are on no sheet.
SHEETS = {"east": WHOLE.window(WIDTH, 40, WIDTH, HEIGHT), "west": WHOLE.window(0, 0, WIDTH, HEIGHT)}
# Pixels of the edge of a cell, of which the looks have one each.
CELL = 4
NETWORK = ["Crossings and ends", "Centerlines", "Road polygons"]
ORANGE = np.array([240, 110, 30])
QML = (
    '<qgis><renderer-v2 type="categorizedSymbol" attr="split"><categories><category symbol="0" '
    'value="train" label="train" render="true"/></categories><symbols><symbol type="fill" name="0">'
    '<layer class="SimpleFill"><Option type="Map"><Option type="QString" name="color" '
    'value="60,130,220,70"/></Option></layer></symbol></symbols></renderer-v2></qgis>'
)


def road_of(grid: Grid) -> np.ndarray:
    """An L of road that no turn or mirror brings onto itself."""
    mask = np.zeros(grid.shape, np.uint8)
    mask[20:35, 10:] = 1
    mask[20:110, 40:52] = 1
    mask[-10:, -30:] = 255
    return mask


def draw_sheet(results: Path, name: str, grid: Grid, *, classes=("road",), bands=4, dtype="uint8"):
    generator = np.random.default_rng(len(name))
    picture = generator.integers(40, 200, (bands, *grid.shape)).astype(dtype)
    if dtype != "uint8":
        picture *= 100
    write_cog(results / "scenes" / f"{name}.tif", grid, picture)
    mask = road_of(grid)
    for folder in ("masks", "predictions"):
        path = results / folder / f"{name}.tif"
        write_cog(path, grid, mask, nodata=255, colormap=colour_table(classes))
        write_paletted_qml(path.with_suffix(".qml"), legend(classes))
    probability = np.where(mask == 255, 255, mask * 200)
    write_cog(
        results / "predictions" / "probability" / f"{name}.tif",
        grid,
        np.stack([probability] * len(classes)).astype(np.uint8),
        nodata=255,
        descriptions=classes,
    )
    # Cells of several pixels, the last of which stick out.
    cells = Grid(
        -(-grid.width // CELL),
        -(-grid.height // CELL),
        grid.transform @ Affine.scale(CELL),
        grid.crs,
    )
    looks = np.where(mask[::CELL, ::CELL] == 1, 240, 0).astype(np.uint8)
    write_cog(results / "selection" / "looks" / f"{name}.tif", cells, looks, nodata=255)
    write_pieces(results / "masks" / f"{name}_pieces.gpkg", *whole_sheet(grid, 1, "street", mask))


def draw_vectors(results: Path, crs: CRS = FEET) -> None:
    left, bottom, right, top = WHOLE.bounds
    layers = {
        "vectors/roads.gpkg": {
            "roads": ({"class": ["road"]}, box(left, top - 17, left + 80, top - 10)),
            "edges": (
                {"mean_probability": [0.9]},
                LineString([(left, top - 14), (left + 80, top - 14)]),
            ),
            "nodes": ({"kind": ["end"]}, Point(left, top - 14)),
        },
        "changes/changes.gpkg": {
            "changes": (
                {"place": [1], "kind": ["new"], "confidence": [0.9]},
                box(right - 20, bottom + 5, right - 10, bottom + 15),
            )
        },
        "dataset/split.gpkg": {
            name: ({"split": ["train"]}, box(left, bottom, right, top))
            for name in ("blocks", "tiles")
        },
    }
    for path, held in layers.items():
        (results / path).parent.mkdir(exist_ok=True)
        for name, (table, shape) in held.items():
            frame = gpd.GeoDataFrame(table, geometry=[shape], crs=crs)
            frame.to_file(results / path, layer=name)
    table = {"f_table_name": ["blocks", "tiles"], "styleQML": [QML, QML]}
    pyogrio.write_dataframe(
        pd.DataFrame(table), results / "dataset" / "split.gpkg", layer="layer_styles", append=True
    )


def join(results: Path) -> None:
    for name, folder in {
        "scenes": "scenes",
        "masks": "masks",
        "predictions": "predictions",
        "probability": "predictions/probability",
        "looks": "selection/looks",
    }.items():
        write_mosaics(
            sorted((results / folder).glob("*.tif")),
            results / f"{name}.vrt",
            apart=name == "scenes",
        )
    pieces = sorted((results / "masks").glob("*_pieces.gpkg"))
    join_pieces(
        {path.stem.removesuffix("_pieces"): path for path in pieces}, results / "pieces.gpkg"
    )


def made_of(results: Path, *names: str) -> Made:
    files = {
        "pictures": "mosaics/scenes.json",
        "masks": "mosaics/masks.json",
        "predictions": "mosaics/predictions.json",
        "probability": "mosaics/probability.json",
        "looks": "mosaics/looks.json",
        "pieces": "pieces.gpkg",
        "split": "dataset/split.gpkg",
        "vectors": "vectors/roads.gpkg",
        "changes": "changes/changes.gpkg",
    }
    return Made(**{name: results / files[name] for name in names or files})


def write(results: Path) -> Path:
    """Write the project by its command."""
    given = made_of(results)
    options = [part for name, path in vars(given).items() for part in (f"--{name}", str(path))]
    assert main(["project", *options, "--output", str(results / "roads.qgz")]) == 0
    return results / "roads.qgz"


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("city") / "results"
    for name, grid in SHEETS.items():
        draw_sheet(folder, name, grid)
    draw_vectors(folder)
    join(folder)
    write(folder)
    return folder


def read(project: Path) -> Element:
    with zipfile.ZipFile(project) as archive:
        assert archive.namelist() == [f"{project.stem}.qgs"]
        return ElementTree.fromstring(archive.read(f"{project.stem}.qgs"))


def groups_of(root: Element) -> dict[str, list[str]]:
    top = root.find("layer-tree-group")
    assert top is not None
    return {
        group.attrib["name"]: [layer.attrib["name"] for layer in group.findall("layer-tree-layer")]
        for group in top.findall("layer-tree-group")
    }


def shown(root: Element) -> list[str]:
    return [
        layer.attrib["name"]
        for layer in root.iter("layer-tree-layer")
        if layer.attrib["checked"] == "Qt::Checked"
    ]


def layer_of(root: Element, name: str) -> Element:
    [layer] = [layer for layer in root.iter("maplayer") if layer.findtext("layername") == name]
    return layer


def document(results: Path, *names: str) -> Element:
    return ElementTree.fromstring(project_text(describe(made_of(results, *names), results)))


def corners_of(root: Element) -> list[float]:
    return [float(part.text) for part in root.find("mapcanvas/extent")]


def with_margin(box: BoundingBox) -> list[float]:
    """A twentieth on each side, where labels have room."""
    across, up = (box.right - box.left) / 20, (box.top - box.bottom) / 20
    return [box.left - across, box.bottom - up, box.right + across, box.top + up]


def test_groups_and_layers_from_the_top(results):
    root = read(results / "roads.qgz")
    assert groups_of(root) == {
        "Changes": ["Changes"],
        "Road network": NETWORK,
        "Split": ["Tiles by split", "Blocks by split"],
        "Pieces of ground": ["Throats", "Pieces of ground"],
        "Predictions": ["Prediction", "Probability of road"],
        "Labels": ["Mask", "Looks like road"],
        "Pictures": ["Picture"],
    }
    assert shown(root) == ["Changes", "Mask", "Picture"]


def test_every_path_is_relative_and_there(results):
    root = read(results / "roads.qgz")
    sources = [layer.findtext("datasource") for layer in root.iter("maplayer")]
    assert len(sources) == 13
    for source in sources:
        assert source.startswith("./")
        assert (results / source.partition("|")[0]).is_file()
    assert root.findtext("properties/Paths/Absolute") == "false"
    assert str(results.parent) not in ElementTree.tostring(root, encoding="unicode")
    assert sources == [layer.attrib["source"] for layer in root.iter("layer-tree-layer")]


def test_layers_tree_order_and_themes_name_the_same_layers(results):
    root = read(results / "roads.qgz")
    keys = [layer.findtext("id") for layer in root.iter("maplayer")]
    assert len(set(keys)) == len(keys)
    assert [layer.attrib["id"] for layer in root.iter("layer-tree-layer")] == keys
    assert [layer.attrib["id"] for layer in root.findall("layerorder/layer")] == keys
    picture = layer_of(root, "Picture").findtext("id")
    themes = root.findall("visibility-presets/visibility-preset")
    assert len(themes) == 8
    for theme in themes:
        held = [layer.attrib["id"] for layer in theme.findall("layer")]
        assert set(held) <= set(keys)
        assert held[-1] == picture


def test_the_map_opens_in_the_datas_crs_at_the_datas_extent(results):
    root = read(results / "roads.qgz")
    assert root.findtext("projectCrs/spatialrefsys/authid") == "EPSG:2263"
    canvas = root.find("mapcanvas")
    assert canvas.attrib["name"] == "theMapCanvas"
    assert corners_of(root) == with_margin(WHOLE.bounds)


def test_the_bytes_depend_on_the_results_alone(results, tmp_path):
    shutil.copytree(results, tmp_path / "elsewhere")
    again = write(tmp_path / "elsewhere")
    assert sha256(again) == sha256(results / "roads.qgz")


def test_what_the_run_did_not_make_is_left_out(results):
    root = document(results, "pictures", "predictions", "probability")
    assert groups_of(root) == {
        "Predictions": ["Prediction", "Probability of road"],
        "Pictures": ["Picture"],
    }
    # Without labels the prediction is what there is to see.
    assert shown(root) == ["Prediction", "Picture"]
    names = [theme.attrib["name"] for theme in root.iter("visibility-preset")]
    assert names == ["Predictions", "Probability"]


def test_class_rasters_keep_their_colours_half_seen_through(results):
    renderer = layer_of(read(results / "roads.qgz"), "Mask").find("pipe/rasterrenderer")
    assert renderer.attrib["opacity"] == "0.5"
    entries = {entry.attrib["label"]: entry.attrib for entry in renderer.iter("paletteEntry")}
    assert entries["road"]["color"] == "#f06e1e"
    assert entries["other"]["alpha"] == "0"


def test_the_split_looks_as_its_own_file_says(results):
    categories = layer_of(read(results / "roads.qgz"), "Blocks by split").iter("category")
    assert [category.attrib["value"] for category in categories] == ["train"]


def test_the_most_certain_change_comes_first(results):
    layer = layer_of(read(results / "roads.qgz"), "Changes")
    assert layer.find("attributetableconfig").attrib["sortExpression"] == '"confidence"'
    assert layer.find("attributetableconfig").attrib["sortOrder"] == "1"  # falling
    clause = layer.find("renderer-v2/orderby/orderByClause")
    assert (clause.text, clause.attrib["asc"]) == ('"confidence"', "1")  # drawn last, on top
    assert layer.attrib["labelsEnabled"] == "1"


def test_places_of_several_flights_are_labelled_with_theirs(tmp_path):
    path = tmp_path / "changes.gpkg"
    for flights, is_named in ((["training", "training"], False), (["training", "new"], True)):
        table = gpd.GeoDataFrame(
            {"place": [1, 2], "kind": "new", "confidence": 0.9, "flight": flights},
            geometry=[box(0, 0, 9, 9)] * 2,
            crs=2263,
        )
        table.to_file(path, layer="changes")
        [layer] = vector_layers(path, tmp_path, CHANGES)
        texts = [text for part in layer.style for text in part.iter("text-style")]
        assert [('"flight"' in text.attrib["fieldName"]) for text in texts] == [is_named]


def test_several_crs_and_kinds_of_pictures_get_a_layer_each(tmp_path):
    for name, grid in SHEETS.items():
        draw_sheet(tmp_path, name, grid)
    metres = Grid(50, 40, Affine(0.3, 0, 300900, 0, -0.3, 64140), METRES)
    draw_sheet(tmp_path, "metres", metres, bands=3, dtype="uint16")
    join(tmp_path)
    root = document(tmp_path, "pictures", "masks", "pieces")
    assert groups_of(root) == {
        "Pieces of ground": [
            "Throats (epsg2263)",
            "Throats (epsg32118)",
            "Pieces of ground (epsg2263)",
            "Pieces of ground (epsg32118)",
        ],
        "Labels": ["Mask (epsg2263 0.5)", "Mask (epsg32118 0.3)"],
        "Pictures": ["Picture (epsg2263 0.5-uint8x4)", "Picture (epsg32118 0.3-uint16x3)"],
    }  # fmt: skip
    # The map is in the CRS that most sheets have, and holds them all.
    assert root.findtext("projectCrs/spatialrefsys/authid") == "EPSG:2263"
    left, bottom, right, top = transform_bounds(METRES, FEET, *metres.bounds)
    whole = WHOLE.bounds
    box = BoundingBox(
        min(left, whole.left),
        min(bottom, whole.bottom),
        max(right, whole.right),
        max(top, whole.top),
    )
    assert corners_of(root) == pytest.approx(with_margin(box))
    # Other types than bytes are stretched.
    deep = layer_of(root, "Picture (epsg32118 0.3-uint16x3)")
    low, high = (
        float(deep.findtext(f".//redContrastEnhancement/{name}Value")) for name in ("min", "max")
    )
    assert 4000 <= low < 6000
    assert 18000 < high < 20000
    assert (
        layer_of(root, "Picture (epsg2263 0.5-uint8x4)").find(".//redContrastEnhancement") is None
    )


def test_several_classes_have_a_layer_of_probability_each(tmp_path):
    draw_sheet(tmp_path, "a", SHEETS["west"], classes=("road", "water"))
    join(tmp_path)
    root = document(tmp_path, "pictures", "probability")
    names = ["Probability of road", "Probability of water"]
    assert groups_of(root)["Predictions"] == names
    bands = [layer_of(root, name).find(".//rasterrenderer").attrib["band"] for name in names]
    assert bands == ["1", "2"]


def test_bands_named_by_their_colours_win_over_their_order(tmp_path):
    draw_sheet(tmp_path, "a", SHEETS["west"])
    with rasterio.open(
        tmp_path / "scenes" / "a.tif", "r+", IGNORE_COG_LAYOUT_BREAK="YES"
    ) as dataset:
        kinds = rasterio.enums.ColorInterp
        dataset.colorinterp = [kinds.undefined, kinds.red, kinds.green, kinds.blue]
    join(tmp_path)
    renderer = layer_of(document(tmp_path, "pictures"), "Picture").find(".//rasterrenderer")
    assert [renderer.attrib[f"{name}Band"] for name in ("red", "green", "blue")] == ["2", "3", "4"]


def test_one_band_is_grey(tmp_path):
    draw_sheet(tmp_path, "a", SHEETS["west"], bands=1)
    join(tmp_path)
    renderer = layer_of(document(tmp_path, "pictures"), "Picture").find(".//rasterrenderer")
    assert renderer.attrib["type"] == "singlebandgray"


def test_a_crs_without_a_number_is_told_by_its_definition(tmp_path):
    own = CRS.from_proj4("+proj=tmerc +lat_0=40.123 +lon_0=-73.9 +datum=WGS84 +units=m")
    draw_sheet(tmp_path, "a", Grid(30, 20, Affine(0.3, 0, 100, 0, -0.3, 100), own))
    join(tmp_path)
    reference = document(tmp_path, "pictures").find("projectCrs/spatialrefsys")
    assert reference.find("authid") is None
    assert CRS.from_wkt(reference.findtext("wkt")) == own


def test_pictures_that_lie_nowhere_make_no_project(tmp_path):
    draw_sheet(tmp_path, "a", Grid(30, 20, Affine.identity(), None))
    write_mosaics([tmp_path / "scenes" / "a.tif"], tmp_path / "scenes.vrt")
    with pytest.raises(InputError, match="no picture has a CRS"):
        document(tmp_path, "pictures")


def test_a_list_of_vectors_stands_for_its_files(results, tmp_path):
    shutil.copytree(results, tmp_path / "results")
    folder = tmp_path / "results" / "vectors"
    shutil.copy(folder / "roads.gpkg", folder / "other.gpkg")
    entries = [
        {"file": "other.gpkg", "group": "epsg2263_1"},
        {"file": "roads.gpkg", "group": "epsg2263_0.5"},
    ]
    made = Made(
        pictures=tmp_path / "results" / "mosaics" / "scenes.json", vectors=folder / "roads.json"
    )

    def names() -> list[str]:
        (folder / "roads.json").write_text(json.dumps({"files": entries}))
        return [layer.name for layer in describe(made, tmp_path / "results").groups[0].layers]

    assert names() == [f"{layer} (epsg2263 {size})" for layer in NETWORK for size in ("0.5", "1")]
    del entries[0]
    assert names() == NETWORK


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("masks.qml", "<qgis/>"),
        ("masks.qml", "no XML"),
        ("masks.vrt", "no raster"),
        ("mosaics/masks.json", "{}"),
        ("pieces.gpkg", "no database"),
        ("changes/changes.gpkg", "no database"),
    ],
)
def test_a_broken_file_is_named(results, tmp_path, path, content):
    shutil.copytree(results, tmp_path / "results")
    (tmp_path / "results" / path).write_text(content)
    with pytest.raises(InputError, match=r"\. Remove (it|the file) and run again\.$") as caught:
        document(tmp_path / "results")
    assert caught.value.path == str(tmp_path / "results" / path)


def test_pieces_are_joined_with_their_scenes(results):
    for layer, count in (("pieces", 2), ("throats", 0)):
        assert len(pyogrio.read_dataframe(results / "pieces.gpkg", layer=layer)) == count
    joined = pyogrio.read_dataframe(results / "pieces.gpkg", layer="pieces")
    for name in SHEETS:
        own = pyogrio.read_dataframe(results / "masks" / f"{name}_pieces.gpkg", layer="pieces")
        held = joined[joined["scene"] == name].drop(columns="scene").reset_index(drop=True)
        pd.testing.assert_frame_equal(pd.DataFrame(held), pd.DataFrame(own))


def test_a_file_of_pieces_that_is_none_is_named(tmp_path):
    (tmp_path / "a_pieces.gpkg").write_text("no database")
    with pytest.raises(InputError, match=r"a_pieces\.gpkg: it can't be read"):
        join_pieces({"a": tmp_path / "a_pieces.gpkg"}, tmp_path / "pieces.gpkg")
    assert not (tmp_path / "pieces.gpkg").exists()


def state(folder: Path) -> dict[str, tuple[int, str]]:
    """What Snakemake would notice of every file."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, sha256(path))
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@dataclass(frozen=True)
class Seen:
    """What QGIS told of a project, its pictures, and the results before and after."""

    told: dict
    folder: Path
    before: dict[str, tuple[int, str]]
    after: dict[str, tuple[int, str]]

    def picture(self, theme: str) -> np.ndarray:
        with rasterio.open(self.folder / f"{theme}.png") as dataset:
            return dataset.read([1, 2, 3]).astype(float).transpose(1, 2, 0)


@pytest.fixture(scope="module")
def seen(results, tmp_path_factory) -> Seen:
    """The project in QGIS, in another folder than it was written in, a pixel of a sheet a pixel."""
    folder = tmp_path_factory.mktemp("qgis")
    moved = folder / "moved here"
    shutil.copytree(results, moved)
    before = state(moved)
    size = ("--size", str(WHOLE.width), str(WHOLE.height))
    size += ("--extent", *map(str, WHOLE.bounds))
    told = look(
        moved / "roads.qgz",
        folder / "out",
        *size,
        "--theme=Labels",
        "--theme=Probability",
        "--theme=Looks",
    )
    return Seen(told, folder / "out", before, state(moved))


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
class TestInQgis:
    def test_every_layer_is_valid_wherever_the_folder_is(self, seen):
        assert seen.told["read"], seen.told["error"]
        layers = [layer for group in seen.told["groups"].values() for layer in group]
        assert len(layers) == 13
        for layer in layers:
            assert layer["valid"], layer
            assert "/moved here/" in layer["source"]
            assert layer["crs"] == "EPSG:2263"
        assert seen.told["errors"] == []

    def test_crs_extent_order_and_what_is_shown(self, seen):
        assert seen.told["crs"] == "EPSG:2263"
        assert seen.told["extent"] == list(WHOLE.bounds)
        left, bottom, right, top = seen.told["opens_at"]
        whole = with_margin(WHOLE.bounds)
        assert left <= whole[0] and bottom <= whole[1]
        assert right >= whole[2] and top >= whole[3]
        assert seen.told["shown"] == ["Changes", "Mask", "Picture"]
        assert seen.told["order"][0] == "Changes"
        assert seen.told["order"][-1] == "Picture"
        assert len(seen.told["themes"]) == 8

    def test_renderers_are_those_that_were_meant(self, seen):
        layers = {layer["name"]: layer for group in seen.told["groups"].values() for layer in group}
        assert {name: layer["renderer"] for name, layer in layers.items()} == {
            "Changes": "categorizedSymbol",
            "Crossings and ends": "categorizedSymbol",
            "Centerlines": "graduatedSymbol",
            "Road polygons": "categorizedSymbol",
            "Tiles by split": "categorizedSymbol",
            "Blocks by split": "categorizedSymbol",
            "Throats": "categorizedSymbol",
            "Pieces of ground": "categorizedSymbol",
            "Prediction": "paletted",
            "Probability of road": "singlebandpseudocolor",
            "Mask": "paletted",
            "Looks like road": "singlebandpseudocolor",
            "Picture": "multibandcolor",
        }
        assert layers["Pieces of ground"]["categories"] == ["road", "other", "unknown"]
        assert layers["Changes"]["categories"] == ["demolished", "paper", "new"]
        assert layers["Changes"]["labels"] == ["#1 new road 90 %"]
        assert layers["Changes"]["sorted"] == '"confidence"'

    def test_road_lies_where_the_mask_says(self, seen, results):
        drawn = seen.picture("Labels")
        for name, grid in SHEETS.items():
            x, y = WHOLE.offset_of(grid)
            part = drawn[y : y + HEIGHT, x : x + WIDTH]
            with rasterio.open(results / "scenes" / f"{name}.tif") as dataset:
                picture = dataset.read([1, 2, 3]).astype(float).transpose(1, 2, 0)
            road = road_of(grid) == 1
            np.testing.assert_allclose(part[road], (picture[road] + ORANGE) / 2, atol=3)
            bare = road_of(grid) != 1
            np.testing.assert_allclose(part[bare], picture[bare], atol=3)

    def test_ground_without_a_sheet_is_left_blank(self, seen):
        drawn = seen.picture("Labels")
        assert (drawn[:40, WIDTH:] == 255).all()
        assert (drawn[HEIGHT:, :WIDTH] == 255).all()

    @pytest.mark.parametrize("theme", ["Probability", "Looks"])
    def test_a_probability_is_coloured_and_none_is_not(self, seen, results, theme):
        drawn = seen.picture(theme)[:HEIGHT, :WIDTH]
        with rasterio.open(results / "scenes" / "west.tif") as dataset:
            picture = dataset.read([1, 2, 3]).astype(float).transpose(1, 2, 0)
        difference = np.abs(drawn - picture).max(axis=2)
        road = road_of(SHEETS["west"])
        # A pixel at the edge of road may be in a cell of road, and one of road in another.
        assert (difference[road == 0] <= 3).mean() > 0.9
        assert np.median(difference[road == 1]) > 30

    def test_a_change_is_seen_at_its_place(self, seen):
        # The middle of the change: 15 ft from the right edge, 10 ft from the lower one.
        before, after = seen.picture("Labels"), seen.picture("opening")
        row, column = WHOLE.height - 20, WHOLE.width - 30
        assert np.abs(after - before)[row - 9 : row + 9, column - 9 : column + 9].mean() > 5
        assert np.abs(after - before)[:100, :100].max() == 0

    def test_nothing_that_was_opened_is_changed(self, seen):
        # Else Snakemake would make the data set anew after each look at the map.
        assert seen.after == seen.before
