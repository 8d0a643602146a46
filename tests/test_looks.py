"""How much like road ground looks: on drawn streets whose answer is known."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS
from rasterio.io import MemoryFile
from scipy.special import expit, logit

from roadmask.__main__ import main
from roadmask.grid import Grid
from roadmask.looks import learning, seeing
from roadmask.looks.cells import (
    HALVES,
    SQUARE_CELLS,
    UNSEEN,
    Part,
    cell_grid,
    cell_pixels,
    cell_values,
    half_of,
    parts,
    read_cells,
)
from roadmask.looks.learning import CROP, Lesson, can_learn, read_lessons
from roadmask.probability import CERTAIN
from roadmask.raster import write_cog
from roadmask.style import UNKNOWN

UTM = CRS.from_epsg(32618)
FEET = CRS.from_epsg(2263)
PIXEL = 0.15
# Enough for the drawn streets.
FEW_STEPS = 80
SIDE = 1200
STREET = 60


@pytest.fixture(scope="module")
def network():
    """The module that imports TensorFlow."""
    from roadmask.looks import network

    return network


def grid_of(side: int = SIDE, crs: CRS | None = UTM) -> Grid:
    """Return square pixels of 15 cm."""
    return Grid(side, side, Affine(PIXEL, 0, 500_000, 0, -PIXEL, 4_500_000), crs)


def streets(*, all_of_them: bool) -> np.ndarray:
    """Draw road: four streets across and four down, or all of them but one."""
    road = np.zeros((SIDE, SIDE), np.uint8)
    for number, start in enumerate(range(100, SIDE, 300)):
        road[start : start + STREET] = 1
        if all_of_them or number != 2:
            road[:, start : start + STREET] = 1
    return road


def picture_of(road: np.ndarray, seed: int = 1) -> np.ndarray:
    """Draw ground of two kinds, road darker, both of one hue and under noise."""
    noise = np.random.default_rng(seed).normal(0, 12, (3, *road.shape))
    return (np.where(road > 0, 90, 150) + noise).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def sheet(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Write a scene, and a label that leaves out one street."""
    folder = tmp_path_factory.mktemp("sheet")
    scene, mask = folder / "scene.tif", folder / "mask.tif"
    write_cog(scene, grid_of(), picture_of(streets(all_of_them=True)))
    write_cog(mask, grid_of(), streets(all_of_them=False), nodata=UNKNOWN)
    return scene, mask


@pytest.fixture(scope="module")
def taught(
    sheet: tuple[Path, Path], network, tmp_path_factory: pytest.TempPathFactory
) -> list[Path]:
    """Teach both networks for a few steps."""
    folder = tmp_path_factory.mktemp("networks")
    paths = [folder / f"{half}.onnx" for half in HALVES]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(network, "STEPS", FEW_STEPS)
        for half, path in zip(HALVES, paths, strict=True):
            assert main(learn_command(*sheet, half, path)) == 0
    return paths


def learn_command(scene: Path, mask: Path, half: str, output: Path) -> list[str]:
    """Return the arguments of ``learn-looks``."""
    return [
        *("learn-looks", str(scene), "--masks", str(mask), "--half", half),
        *("--output", str(output)),
    ]


def see_command(scene: Path, networks: list[Path], output: Path) -> list[str]:
    """Return the arguments of ``see-looks``."""
    return ["see-looks", str(scene), "--networks", *map(str, networks), "--output", str(output)]


# --- cells ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("metres", "pixels"), [(0.15, 4), (0.1524, 4), (0.6, 1), (1.0, 1), (0, 1)])
def test_cells_are_about_60_cm_wide(metres, pixels):
    assert cell_pixels(metres) == pixels


def test_cells_hold_means_and_the_deviation_of_brightness():
    picture = np.zeros((4, 8, 3), np.uint8)
    picture[:, :4] = (10, 20, 30)
    picture[:, 4:6] = (0, 30, 60)
    picture[:, 6:] = (60, 90, 120)
    values = cell_values(picture, 4)
    assert values.shape == (1, 2, 4)
    np.testing.assert_allclose(values[0, 0], (10, 20, 30, 0), atol=1e-3)
    np.testing.assert_allclose(values[0, 1], (30, 60, 90, 30), atol=1e-3)


def test_cells_lie_on_the_scene_and_may_stick_out():
    scene = grid_of(10)
    cells = cell_grid(scene)
    assert cells.shape == (3, 3)
    assert cells.transform @ (1, 1) == scene.transform @ (4, 4)
    assert cells.crs == scene.crs


def test_cells_beyond_the_picture_are_not_seen():
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff",
            width=10,
            height=10,
            count=3,
            dtype="uint8",
            transform=grid_of().transform,
            crs=UTM,
        ) as scene:
            scene.write(np.full((3, 10, 10), 9, np.uint8))
        with memory.open() as scene:
            _, seen = read_cells(scene, Part(0, 0, 3, 4), (1, 2, 3), None)
    # The third cell's middle is the scene's last pixel but none.
    assert seen.tolist() == [[True, True, False, False]] * 2 + [[False] * 4]


@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 100))
def test_parts_cover_all_cells_once(height, width, edge):
    count = np.zeros((height, width), int)
    for part in parts(Grid(width, height, Affine.identity(), None), edge):
        count[part.row : part.row + part.rows, part.column : part.column + part.columns] += 1
        assert max(part.rows, part.columns) <= edge
        assert part.size == part.rows * part.columns
    assert (count == 1).all()


@pytest.mark.parametrize(
    ("crs", "cell"),
    [(UTM, 0.6), (FEET, 0.6 / 0.3048006), (None, 1.0), (CRS.from_epsg(4326), 0.6 / 111_320)],
)
def test_squares_have_one_size_in_any_crs(crs, cell):
    half = half_of(Grid(4 * SQUARE_CELLS, 1, Affine(cell, 0, 0, 0, -cell, -cell / 2), crs))
    changes = np.flatnonzero(np.diff(half[0].astype(int)))
    assert set(half.ravel().tolist()) == {0, 1}
    assert changes == pytest.approx([number * SQUARE_CELLS - 1 for number in (1, 2, 3)], abs=1)


@given(st.integers(-500, 500), st.integers(-500, 500))
def test_overlapping_sheets_agree_on_the_halves(x, y):
    cells = cell_grid(grid_of())
    shared = cells.window(x, y, 50, 40)
    np.testing.assert_array_equal(half_of(shared)[5:, 7:], half_of(shared.window(7, 5, 43, 35)))


# --- lessons -------------------------------------------------------------------------------


def test_each_half_is_learned_from_once(sheet):
    scene, mask = sheet
    lessons = [read_lessons([scene], [mask], (1, 2, 3), None, half) for half in (0, 1)]
    (even,), (odd,) = lessons
    assert ((even.label == UNKNOWN) ^ (odd.label == UNKNOWN)).all()
    both = np.where(even.label == UNKNOWN, odd.label, even.label)
    np.testing.assert_array_equal(both, streets(all_of_them=False)[2::4, 2::4])
    np.testing.assert_array_equal(even.values, odd.values)


def test_small_sheets_are_widened_to_a_crop(tmp_path):
    scene, mask = tmp_path / "scene.tif", tmp_path / "mask.tif"
    write_cog(scene, grid_of(80), np.full((3, 80, 80), 7, np.uint8))
    write_cog(mask, grid_of(80), np.ones((80, 80), np.uint8))
    lessons = [
        lesson for half in (0, 1) for lesson in read_lessons([scene], [mask], (1,), None, half)
    ]
    assert sum(lesson.known for lesson in lessons) == 20 * 20
    for lesson in lessons:
        assert lesson.label.shape == (CROP, CROP)
        assert (lesson.values == (7, 0)).all()


def test_a_city_too_large_is_sampled(sheet, monkeypatch):
    scene, mask = sheet
    monkeypatch.setattr(learning, "READ_CELLS", 100)
    whole = read_lessons([scene], [mask], (1,), None, 0)
    monkeypatch.setattr(learning, "MOST_CELLS", 40_000)
    some = read_lessons([scene], [mask], (1,), None, 0)
    # Of nine parts there is room for four; some have nothing of this half.
    assert 0 < len(some) <= 4 < len(whole)
    assert all(any(np.array_equal(one.values, other.values) for other in whole) for one in some)


def test_a_label_of_another_size_is_refused(sheet, tmp_path, caplog):
    mask = tmp_path / "mask.tif"
    write_cog(mask, grid_of(80), np.ones((80, 80), np.uint8))
    assert main(learn_command(sheet[0], mask, "even", tmp_path / "even.onnx")) == 1
    assert "80 x 80 pixels" in caplog.text


def test_road_and_other_ground_are_both_needed():
    def lesson(road: int, other: int) -> Lesson:
        label = np.full((CROP, CROP), UNKNOWN, np.uint8)
        label.flat[:road], label.flat[road : road + other] = 2, 0
        return Lesson(np.zeros((CROP, CROP, 4), np.float32), label)

    assert can_learn([lesson(150, 10), lesson(50, 190)])
    assert not can_learn([lesson(199, 5000)])
    assert not can_learn([lesson(5000, 199)])
    assert not can_learn([])


# --- networks ------------------------------------------------------------------------------


def test_the_networks_see_a_street_that_the_label_leaves_out(sheet, taught, tmp_path):
    output = tmp_path / "scene.tif"
    assert main(see_command(sheet[0], taught, output)) == 0
    with rasterio.open(output) as written:
        assert Grid.from_dataset(written) == cell_grid(grid_of())
        assert written.nodata == UNSEEN
        likeness = written.read(1).astype(float) / CERTAIN
    truth = streets(all_of_them=True)[2::4, 2::4] > 0
    said = likeness > 0.5
    assert (said & truth).sum() / (said | truth).sum() > 0.9
    # The street that was left out, between crossings.
    assert (likeness[45:95, 178:187] > 0.5).mean() > 0.8


def test_windows_leave_no_seams(sheet, taught, monkeypatch):
    networks = [seeing.load(path, 4) for path in taught]
    cells = cell_grid(grid_of())
    with rasterio.open(sheet[0]) as scene:

        def whole(window: int) -> np.ndarray:
            likeness = np.zeros(cells.shape, np.uint8)
            for part in parts(cells, window):
                here = np.s_[
                    part.row : part.row + part.rows, part.column : part.column + part.columns
                ]
                likeness[here] = seeing.see(scene, cells, part, (1, 2, 3), None, networks)
            return likeness

        at_once, apart = whole(1000), whole(70)
    assert np.abs(at_once.astype(int) - apart).max() <= 1


def test_a_network_sees_the_same_wherever_its_window_begins(taught):
    network = seeing.load(taught[0], 4)
    cells = np.random.default_rng(3).uniform(0, 255, (352, 352, 4)).astype(np.float32)
    around, step = seeing.AROUND, seeing.STRIDE
    inner = network(cells)[around + step : -around, around:-around]
    np.testing.assert_allclose(
        network(cells[step:])[around:-around, around:-around], inner, atol=1e-4
    )


def test_a_place_is_seen_from_all_sides():
    from_above = np.repeat(np.linspace(0.1, 0.9, 32, dtype=np.float32)[:, None], 48, axis=1)

    def network(values: np.ndarray) -> np.ndarray:
        # Says what the cell holds, and more of the row it happens to be in.
        rows = np.linspace(2, -2, values.shape[0])[:, None]
        return (1 / (1 + np.exp(-(rows + logit(values[..., 0]))))).astype(np.float32)

    seen = seeing.from_all_sides(network, from_above[..., np.newaxis])
    # Top and bottom, left and right outweigh each other.
    np.testing.assert_allclose(seen, from_above, atol=1e-4)
    once = network(from_above[..., np.newaxis])
    assert np.abs(once - from_above).max() > 0.2


def test_one_look_outvotes_no_other():
    turns = iter([1.0, 0.1, 0.1, 0.1])

    def network(values: np.ndarray) -> np.ndarray:
        return np.full(values.shape[:2], next(turns), np.float32)

    seen = seeing.from_all_sides(network, np.zeros((16, 16, 4), np.float32))
    expected = expit((logit(1 - seeing.LEAST) + 3 * logit(0.1)) / 4)
    np.testing.assert_allclose(seen, expected, atol=1e-4)


def test_the_same_lessons_teach_the_same(sheet, taught, network, monkeypatch, tmp_path):
    monkeypatch.setattr(network, "STEPS", FEW_STEPS)
    again = tmp_path / "even.onnx"
    assert main(learn_command(*sheet, "even", again)) == 0
    cells = np.random.default_rng(1).uniform(0, 255, (64, 64, 4)).astype(np.float32)
    # Not the bytes: a graph's names count on within a process.
    first, second = (seeing.load(path, 4)(cells) for path in (taught[0], again))
    np.testing.assert_array_equal(first, second)


def test_a_file_answers_as_keras_does(network, tmp_path):
    model = network.build(np.full(4, 100, np.float32), np.full(4, 50, np.float32), 0.3)
    network.write(tmp_path / "even.onnx", model, is_taught=True)
    cells = np.random.default_rng(1).uniform(0, 255, (1, 32, 48, 4)).astype(np.float32)
    session = onnxruntime.InferenceSession(
        tmp_path / "even.onnx", providers=["CPUExecutionProvider"]
    )
    (answer,) = session.run(None, {seeing.CELLS: cells})
    np.testing.assert_allclose(answer, model(cells, training=False).numpy(), atol=1e-5)


@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_a_network_begins_with_the_share_of_road(network, share, monkeypatch):
    # Ground that is the same everywhere tells nothing: all that is said of it is the share.
    label = np.zeros((128, 128), np.uint8)
    label.flat[: round(share * label.size)] = 1
    label = np.random.default_rng(5).permuted(label.ravel()).reshape(label.shape)
    lesson = Lesson(np.full((128, 128, 4), 90, np.float32), label)
    monkeypatch.setattr(network, "STEPS", 1)
    monkeypatch.setattr(network, "RATE", 1e-9)
    model = network.learn([lesson], 4)
    nothing = np.full((1, 32, 32, 4), 90, np.float32)
    np.testing.assert_allclose(model(nothing, training=False), share, atol=0.01)


def test_crops_keep_picture_and_label_together(network):
    label = np.zeros((120, 130), np.uint8)
    label[30:70, 20:110] = 1
    values = np.repeat(label[..., np.newaxis].astype(np.float32), 4, axis=-1) * 100
    stream = network.batches([Lesson(values, label)], np.full(4, 1e-6, np.float32))
    for _ in range(5):
        pictures, labels = next(stream)
        assert pictures.shape == (network.BATCH, CROP, CROP, 4)
        for picture, crop in zip(pictures, labels, strict=True):
            if crop.min() < crop.max():
                assert picture[crop == 1].min() > picture[crop == 0].max()


def test_nothing_is_said_where_nothing_could_be_learned(sheet, network, tmp_path, caplog):
    scene, _ = sheet
    empty = tmp_path / "mask.tif"
    write_cog(empty, grid_of(), np.zeros((SIDE, SIDE), np.uint8), nodata=UNKNOWN)
    networks = [tmp_path / f"{half}.onnx" for half in HALVES]
    with caplog.at_level(logging.WARNING):
        for half, path in zip(HALVES, networks, strict=True):
            assert main(learn_command(scene, empty, half, path)) == 0
    assert "too little of road" in caplog.text
    output = tmp_path / "scene.tif"
    assert main(see_command(scene, networks, output)) == 0
    with rasterio.open(output) as written:
        assert (written.read(1) == UNSEEN).all()


def test_ground_without_picture_stays_unseen(taught, tmp_path):
    scene, output = tmp_path / "scene.tif", tmp_path / "looks.tif"
    picture = picture_of(streets(all_of_them=True))
    picture[:, :, :400] = 0
    write_cog(scene, grid_of(), picture, nodata=0)
    assert main(see_command(scene, taught, output)) == 0
    with rasterio.open(output) as written:
        likeness = written.read(1)
    assert (likeness[:, :100] == UNSEEN).all()
    assert (likeness[:, 100:] <= CERTAIN).all()


def test_a_broken_network_is_named(sheet, taught, tmp_path, caplog):
    broken = tmp_path / "even.onnx"
    broken.write_bytes(b"nothing")
    assert main(see_command(sheet[0], [broken, taught[1]], tmp_path / "scene.tif")) == 1
    assert "even.onnx: it can't be read" in caplog.text
    assert not (tmp_path / "scene.tif").exists()


def test_networks_of_other_bands_are_refused(sheet, taught, tmp_path, caplog):
    command = [*see_command(sheet[0], taught, tmp_path / "scene.tif"), "--imagery.bands=1,2"]
    assert main(command) == 1
    assert "it takes 4 values a cell, not 3" in caplog.text


def test_seeing_needs_no_tensorflow(repository):
    told = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, roadmask.looks.seeing; print('tensorflow' in sys.modules)",
        ],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": str(repository / "workflow")},
    )
    assert told.stdout.strip() == "False"
