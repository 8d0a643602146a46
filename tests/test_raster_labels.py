"""Ready masks of every make: their kinds, their noise, and grids other than the scene's."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from label_command import counts, make_masks, write_raster
from PIL import Image
from pyproj import Transformer
from rasterio.crs import CRS

from roadmask.classes import ClassTable
from roadmask.errors import InputError, SettingError
from roadmask.grid import Grid
from roadmask.masks import raster as label_rasters
from roadmask.masks.raster import raster_labels

DUBAI = {
    "building": "#3C1098",
    "land": "#8429F6",
    "road": "#6EC1E4",
    "vegetation": "#FEDD3A",
    "water": "#E2A929",
    "ignore": "#9B9B9B",
}
ROAD = ClassTable.parse({"road": 1})
SIX = ClassTable.parse(DUBAI)
PICTURE = Grid(60, 40, Affine.identity(), None)


def indices(grid: Grid = PICTURE, seed: int = 3) -> np.ndarray:
    """Labels 1 to 5 and 255 in cells of 10 pixels."""
    cells = np.random.default_rng(seed).integers(
        0, 6, (grid.height // 10 + 1, grid.width // 10 + 1)
    )
    values = np.array([1, 2, 3, 4, 5, 255], np.uint8)[cells]
    return np.kron(values, np.ones((10, 10), np.uint8))[: grid.height, : grid.width]


def in_colours(labels: np.ndarray) -> np.ndarray:
    """The labels as ``(3, height, width)`` in Dubai's colours."""
    table = np.zeros((256, 3), np.uint8)
    for value, label in SIX.in_order(255):
        table[label] = value
    return table[labels].transpose(2, 0, 1)


# --- kinds of picture -----------------------------------------------------------------------

ROADS = np.zeros((40, 60), bool)
ROADS[15:22] = ROADS[:, 30:36] = True


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ([255, 0, 0], True),  # a wrong colour
        ([0, 255, 0], False),
        ([[0, 255, 0], [9, 9, 9]], False),
    ],
)
def test_a_colour_that_no_pixel_has_is_told_with_those_that_are_there(
    tmp_path, caplog, value, told
):
    picture = np.zeros((3, 40, 60), np.uint8)
    picture[1, ROADS] = 255
    path = write_raster(tmp_path / "a.tif", picture, PICTURE)
    found = raster_labels(path, PICTURE, ClassTable.parse({"road": value}), 127.0)
    assert (found.labels == 1).any() != told
    words = "no pixel of it is road ([255, 0, 0] in classes), and these values became other: "
    assert (f"{words}[0, 255, 0] ({ROADS.sum()} pixels)" in caplog.text) == told


def test_a_black_mask_of_one_colour_is_ground_without_road(tmp_path, caplog):
    path = write_raster(tmp_path / "a.tif", np.zeros((3, 40, 60), np.uint8), PICTURE)
    raster_labels(path, PICTURE, ClassTable.parse({"road": [255, 0, 0]}), 127.0)
    assert "no pixel of it" not in caplog.text


def as_palette(mask):
    image = Image.fromarray(mask.astype(np.uint8))
    image.putpalette([0, 0, 0, 255, 255, 255])
    return image


def white_is_zero(path):
    Image.fromarray(ROADS).save(path, tiffinfo={262: 0})


KINDS = {
    "one bit.png": lambda path: Image.fromarray(ROADS).save(path),
    "one bit.tif": lambda path: Image.fromarray(ROADS).save(path),
    "white is zero.tif": white_is_zero,
    "fax.tif": lambda path: Image.fromarray(ROADS).save(path, compression="group4"),
    "eight bits.png": lambda path: Image.fromarray(ROADS.astype(np.uint8) * 255).save(path),
    "sixteen bits.png": lambda path: Image.fromarray(ROADS.astype(np.uint16) * 65535).save(path),
    "palette.png": lambda path: as_palette(ROADS).save(path),
    "palette.gif": lambda path: as_palette(ROADS).save(path),
    "bitmap.bmp": lambda path: Image.fromarray(ROADS.astype(np.uint8) * 255).save(path),
    "colours.png": lambda path: Image.fromarray(ROADS).convert("RGB").save(path),
    "grey with alpha.png": lambda path: Image.fromarray(ROADS).convert("LA").save(path),
    "colours with alpha.png": lambda path: Image.fromarray(ROADS).convert("RGBA").save(path),
    "grey.jpg": lambda path: Image.fromarray(ROADS.astype(np.uint8) * 255).save(path, quality=60),
}


@pytest.mark.parametrize("name", KINDS)
def test_white_on_black_is_road_however_it_is_stored(tmp_path, name):
    path = tmp_path / name
    KINDS[name](path)
    assert (raster_labels(path, PICTURE, ROAD, 127).labels == ROADS).all()


def test_a_picture_of_one_bit_takes_any_threshold(tmp_path):
    Image.fromarray(ROADS).save(tmp_path / "x.png")
    for threshold in (0, 127, 254):
        assert (raster_labels(tmp_path / "x.png", PICTURE, ROAD, threshold).labels == ROADS).all()


def test_transparent_entries_of_a_palette_are_not_known(tmp_path, caplog):
    image = as_palette(ROADS)
    image.save(tmp_path / "x.png", transparency=0)
    labels = raster_labels(tmp_path / "x.png", PICTURE, ROAD, 127).labels
    assert (labels == np.where(ROADS, 1, 255)).all()
    assert "write other: 0 in classes" in caplog.text
    for classes in ({"road": 1, "other": 0}, {"road": [255] * 3, "other": [0, 0, 0]}):
        found = raster_labels(tmp_path / "x.png", PICTURE, ClassTable.parse(classes), 127)
        assert (found.labels == ROADS).all()


def test_a_mask_inside_a_palette_file_is_heeded(tmp_path):
    colours = {0: (0, 0, 0), 1: (255, 255, 255)}
    path = write_raster(tmp_path / "x.tif", ROADS.astype(np.uint8), PICTURE, colormap=colours)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as dataset:
        dataset.write_mask(np.arange(60) >= np.full((40, 1), 7))
    labels = raster_labels(path, PICTURE, ROAD, 127).labels
    assert (labels[:, :7] == 255).all()
    assert (labels[:, 7:] == ROADS[:, 7:]).all()


def test_index_of_sixteen_bits(tmp_path):
    values = indices().astype(np.uint16) * 1000
    path = write_raster(tmp_path / "x.png", values, PICTURE)
    classes = ClassTable.parse({name: (i + 1) * 1000 for i, name in enumerate("abcde")})
    with pytest.raises(InputError, match=r"no class: 58392 \(\d+ pixels\)"):
        raster_labels(path, PICTURE, classes, 127)
    classes = ClassTable.parse(
        {name: (i + 1) * 1000 for i, name in enumerate("abcde")} | {"ignore": 255_000 % 65_536}
    )
    assert (raster_labels(path, PICTURE, classes, 127).labels == indices()).all()


@pytest.mark.parametrize("alpha", [False, True])
def test_six_classes_in_colours(tmp_path, alpha):
    bands = in_colours(indices())
    if alpha:
        bands = np.concatenate([bands, np.full((1, 40, 60), 255, np.uint8)])
        bands[3, :5] = 0
    path = write_raster(tmp_path / "x.png", bands, PICTURE)
    labels = raster_labels(path, PICTURE, SIX, 127).labels
    expected = indices()
    expected[:5] = 255 if alpha else expected[:5]
    assert (labels == expected).all()


def test_text_values_are_no_pixels(tmp_path):
    with pytest.raises(SettingError, match="classes: 'R' is text, but a label raster"):
        raster_labels(tmp_path / "x.png", PICTURE, ClassTable.parse({"road": "R"}), 127)


def test_a_large_mask_is_read_in_strips(tmp_path, monkeypatch):
    path = write_raster(tmp_path / "x.png", in_colours(indices()), PICTURE)
    monkeypatch.setattr(label_rasters, "STRIP_PIXELS", 60 * 7)
    assert (raster_labels(path, PICTURE, SIX, 127).labels == indices()).all()


# --- noise ----------------------------------------------------------------------------------


def saved_as_jpeg(path, quality=92):
    picture = in_colours(indices()).transpose(1, 2, 0)
    Image.fromarray(picture).save(path, quality=quality, subsampling=0)
    return path


def test_jpeg_noise_is_refused_with_the_colours_and_the_cure(tmp_path):
    path = saved_as_jpeg(tmp_path / "x.jpg")
    with pytest.raises(InputError) as error:
        raster_labels(path, PICTURE, SIX, 127)
    found = str(error.value)
    assert "it holds values that belong to no class: [" in found
    assert "pixels), " in found
    assert found.endswith("labels.raster.tolerance lets each pixel take the nearest class.")


def test_a_tolerance_takes_the_nearest_colour_and_knows_what_it_does_not_know(tmp_path, caplog):
    path = saved_as_jpeg(tmp_path / "x.jpg")
    found = raster_labels(path, PICTURE, SIX, 127, tolerance=24)
    wrong = (found.labels != indices()) & (found.labels != 255)
    assert wrong.mean() < 0.005
    assert (found.labels == 255).sum() <= (indices() == 255).sum() + found.counts["off_value"]
    assert found.counts["near_value"] > 1000
    # By hand: the nearest of the six colours, by the largest of three differences.
    with rasterio.open(path) as dataset:
        pixels = dataset.read().astype(int)
    apart = np.stack(
        [np.abs(pixels - np.reshape(value, (3, 1, 1))).max(0) for value, _ in SIX.in_order(255)]
        + [pixels.max(0)]
    )
    labels = np.array([label for _, label in SIX.in_order(255)] + [0])[apart.argmin(0)]
    assert (found.labels == np.where(apart.min(0) <= 24, labels, 255)).all()
    assert ("are not known" in caplog.text) == (found.counts["off_value"] > 0)


def test_a_class_that_the_config_lacks_is_no_noise(tmp_path):
    path = saved_as_jpeg(tmp_path / "x.jpg")
    without = ClassTable.parse({name: value for name, value in DUBAI.items() if name != "land"})
    with pytest.raises(InputError, match=r"belong to no class: \[13\d, 4\d, 24\d\]"):
        raster_labels(path, PICTURE, without, 127, tolerance=24)


def test_one_colour_with_tolerance_leaves_the_rest_to_other(tmp_path):
    path = saved_as_jpeg(tmp_path / "x.jpg")
    road = ClassTable.parse({"road": DUBAI["road"]})
    labels = raster_labels(path, PICTURE, road, 127, tolerance=24).labels
    assert ((labels == 1) != (indices() == 3)).mean() < 0.03
    assert set(np.unique(labels)) == {0, 1}


# --- another grid ---------------------------------------------------------------------------

SCENE = Grid(60, 40, Affine(0.5, 0, 985_000, 0, -0.5, 211_000), CRS.from_epsg(2263))
WIDE = Grid(240, 200, Affine(0.5, 0, 984_960, 0, -0.5, 211_030), SCENE.crs)
COARSE = Grid(100, 80, Affine(0.8, 0, 984_980, 0, -0.8, 211_010), SCENE.crs)
_TO_UTM = Transformer.from_crs(2263, 32618, always_xy=True).transform(984_990, 211_010)
UTM = Grid(130, 130, Affine(0.2, 0, _TO_UTM[0], 0, -0.2, _TO_UTM[1]), CRS.from_epsg(32618))
TURNED = Grid(120, 120, Affine(0.6, 0.2, 984_980, 0.2, -0.6, 211_005), SCENE.crs)


def under_centres(labels: np.ndarray, source: Grid, grid: Grid) -> np.ndarray:
    """The source's pixel under each pixel's centre, by pyproj alone; -1 where it has none."""
    columns, rows = np.meshgrid(np.arange(grid.width) + 0.5, np.arange(grid.height) + 0.5)
    transformer = Transformer.from_crs(grid.crs.to_wkt(), source.crs.to_wkt(), always_xy=True)
    x, y = transformer.transform(*(grid.transform @ (columns, rows)))
    column, row = (np.floor(part).astype(int) for part in ~source.transform @ (x, y))
    inside = (column >= 0) & (row >= 0) & (column < source.width) & (row < source.height)
    found = labels[row.clip(0, source.height - 1), column.clip(0, source.width - 1)].astype(int)
    return np.where(inside, found, -1)


@pytest.mark.parametrize(
    "source", [WIDE, COARSE, UTM, TURNED], ids=["wide", "coarse", "utm", "turned"]
)
def test_another_grid_is_refused_in_words_or_warped_when_asked(tmp_path, source):
    path = write_raster(tmp_path / "x.tif", in_colours(indices(source)), source)
    with pytest.raises(InputError, match=r"x\.tif: .*not cropped.*resample: nearest"):
        raster_labels(path, SCENE, SIX, 127)
    found = raster_labels(path, SCENE, SIX, 127, resample="nearest")
    expected = under_centres(indices(source), source, SCENE)
    expected[expected == -1] = 255
    # On a border between two pixels, rounding decides.
    assert (found.labels != expected).sum() <= (0 if source in (WIDE, COARSE) else 6)
    assert found.counts["resampled"] == 1
    assert len(np.unique(expected)) >= 5


def test_a_label_that_ends_inside_the_scene_leaves_the_rest_unknown(tmp_path):
    half = SCENE.window(20, 10, 60, 40)
    path = write_raster(tmp_path / "x.tif", in_colours(np.full((40, 60), 3, np.uint8)), half)
    labels = raster_labels(path, SCENE, SIX, 127, resample="nearest").labels
    expected = np.full((40, 60), 255)
    expected[10:, 20:] = 3
    assert (labels == expected).all()


def test_a_label_of_other_ground_is_refused(tmp_path):
    path = write_raster(tmp_path / "x.tif", in_colours(indices()), SCENE.window(900, 0, 60, 40))
    with pytest.raises(
        InputError, match=r"does not reach the scene: it lies at 985450, .*the scene at"
    ):
        raster_labels(path, SCENE, SIX, 127, resample="nearest")


@settings(max_examples=30, deadline=None)
@given(
    x=st.integers(-80, 120), y=st.integers(-60, 100),
    width=st.integers(5, 90), height=st.integers(5, 90),
)  # fmt: skip
def test_on_one_lattice_warping_moves_no_pixel(tmp_path_factory, x, y, width, height):
    source = WIDE.window(0, 0, 240, 200)
    folder = tmp_path_factory.mktemp("lattice")
    path = write_raster(folder / "x.tif", indices(source), source)
    scene = source.window(x, y, width, height)
    classes = ClassTable.parse({name: i + 1 for i, name in enumerate("abcde")} | {"ignore": 255})
    padded = np.pad(indices(source), 200, constant_values=255)
    expected = padded[y + 200 : y + 200 + height, x + 200 : x + 200 + width]
    if x + width <= -1 or y + height <= -1:  # beside the source
        with pytest.raises(InputError, match="does not reach"):
            raster_labels(path, scene, classes, 127, resample="nearest")
        return
    labels = raster_labels(path, scene, classes, 127, resample="nearest").labels
    assert (labels == expected).all()


@pytest.mark.parametrize(("width", "height"), [(60, 38), (59, 40), (62, 40), (57, 38), (63, 42)])
def test_some_pixels_too_few_or_many_are_refused_even_so(tmp_path, width, height):
    path = write_raster(tmp_path / "x.png", np.zeros((height, width), np.uint8), PICTURE)
    with pytest.raises(InputError, match=f"it has {width} x {height} pixels, the scene 60 x 40"):
        raster_labels(path, PICTURE, ROAD, 127)
    with pytest.raises(InputError, match=r"which is another shape.*which edge is missing"):
        raster_labels(path, PICTURE, ROAD, 127, resample="nearest")


@pytest.mark.parametrize("size", [(30, 20), (120, 80), (45, 30)])
def test_a_label_at_another_resolution_is_stretched_when_asked(tmp_path, size):
    whole = indices(Grid(*size, Affine.identity(), None))
    path = write_raster(tmp_path / "x.png", in_colours(whole), PICTURE)
    with pytest.raises(InputError, match="resample: nearest"):
        raster_labels(path, PICTURE, SIX, 127)
    labels = raster_labels(path, PICTURE, SIX, 127, resample="nearest").labels
    by_pillow = Image.fromarray(whole).resize((60, 40), Image.Resampling.NEAREST)
    assert (labels == np.asarray(by_pillow)).all()


# --- what is written ------------------------------------------------------------------------


def test_the_mask_has_the_sources_colours_and_the_classes_names(tmp_path):
    path = write_raster(tmp_path / "label.png", in_colours(indices()), PICTURE)
    labels = make_masks(
        tmp_path, PICTURE, "--labels.method=raster", f"--labels.raster={path}", classes=DUBAI
    )
    assert (labels == indices()).all()
    mask = tmp_path / "masks" / "a.tif"
    with rasterio.open(mask) as dataset:
        colours = dataset.colormap(1)
        rasterio.shutil.copy(dataset, tmp_path / "a.vrt", driver="VRT")
    assert {i: colours[i][:3] for i in range(1, 6)} == {i: SIX.colours[i - 1] for i in range(1, 6)}
    # GDAL itself hands the names on.
    text = (tmp_path / "a.vrt").read_text()
    found = [line.strip() for line in text.splitlines() if "<Category>" in line]
    assert found == [f"<Category>{name}</Category>" for name in SIX.all_names]
    assert 'color="#6ec1e4"' in (tmp_path / "masks" / "a.qml").read_text()
    assert counts(tmp_path)["single_value"] is None


def test_a_mask_inside_an_archive(tmp_path):
    path = write_raster(tmp_path / "a.png", ROADS.astype(np.uint8) * 255, PICTURE)
    with zipfile.ZipFile(tmp_path / "masks.zip", "w") as archive:
        archive.write(path, "inner/a.png")
    inside = f"/vsizip/{tmp_path}/masks.zip/inner/a.png"  # two slashes after vsizip
    labels = make_masks(tmp_path, PICTURE, "--labels.method=raster", f"--labels.raster={inside}")
    assert (labels == ROADS).all()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a.png", "this PNG file is truncated"),
        ("a.jpg", "it can't be decoded"),
        ("a.tif", "it can't be decoded"),
    ],
)
def test_a_mask_that_was_cut_off_loses_no_road_in_silence(tmp_path, name, words):
    path = tmp_path / name
    # GDAL reads zeros, ground without road, where the end of a PNG is missing.
    noise = np.random.default_rng(1).integers(0, 2, (40, 60), np.uint8) * 255
    Image.fromarray(noise).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 3 // 4])
    with pytest.raises(InputError, match=words):
        raster_labels(path, PICTURE, ROAD, 127)


@pytest.mark.parametrize(("value", "name"), [(0, "other"), (255, "road")])
def test_a_mask_of_one_value_is_found(tmp_path, caplog, value, name):
    path = write_raster(tmp_path / "label.png", np.full((40, 60), value, np.uint8), PICTURE)
    make_masks(tmp_path, PICTURE, "--labels.method=raster", f"--labels.raster={path}")
    assert counts(tmp_path)["single_value"] == name
    assert f"a: its label is one value all over: {name}" in caplog.text
