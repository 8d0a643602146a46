"""A ready model on a folder of pictures, through the real workflow and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from cards import plain_card
from rasterio.crs import CRS
from working_folder import Folder

from roadmask.grid import Grid
from roadmask.model.card import embed_card
from roadmask.raster import write_cog

WIDTH, HEIGHT = 210, 170
CUT = (97, 83)


def write_model(path: Path) -> None:
    """Write a network that pools on a stride of 4, and sees its whole window at once."""
    import keras

    keras.utils.set_random_seed(5)
    inputs = keras.Input((None, None, 3))
    tensor = keras.layers.Rescaling(1 / 255)(inputs)
    deep = keras.layers.AveragePooling2D(4)(keras.layers.Conv2D(4, 3, padding="same")(tensor))
    whole = keras.layers.GlobalAveragePooling2D(keepdims=True)(deep)
    joined = keras.layers.Concatenate()([keras.layers.UpSampling2D(4)(deep + whole), tensor])
    outputs = keras.layers.Conv2D(1, 3, padding="same", activation="sigmoid")(joined)
    keras.Model(inputs, outputs).save(path)
    embed_card(path, plain_card(pixel_metres=0.1524))


def values(path: Path) -> np.ndarray:
    with rasterio.open(path) as dataset:
        return dataset.read(1)


@pytest.mark.slow
def test_a_sheet_cut_in_four_is_predicted_as_the_whole(folder: Folder) -> None:
    write_model(folder.path / "ready.keras")
    picture = np.random.default_rng(3).integers(0, 256, (3, HEIGHT, WIDTH), dtype=np.uint8)
    grid = Grid(WIDTH, HEIGHT, Affine(0.5, 0, 987_513, 0, -0.5, 212_500), CRS.from_epsg(2263))
    write_cog(folder.path / "whole" / "whole.tif", grid, picture)
    parts: dict[str, tuple[slice, slice]] = {}
    for down, rows in enumerate((slice(0, CUT[1]), slice(CUT[1], HEIGHT))):
        for across, columns in enumerate((slice(0, CUT[0]), slice(CUT[0], WIDTH))):
            part = picture[:, rows, columns]
            name = f"part_{down}{across}"
            place = grid.window(columns.start, rows.start, part.shape[2], part.shape[1])
            write_cog(folder.path / "parts" / f"{name}.tif", place, part)
            parts[name] = rows, columns
    for pictures in ("whole", "parts"):
        prediction = {"model": "ready.keras", "paths": [f"{pictures}/*.tif"], "window": 64}
        folder.write_config(
            {"dataset": "own", "results": f"results_{pictures}", "prediction": prediction}
        )
        done = folder.snakemake("--cores", "2")
        assert done.returncode == 0, done.stdout
    made = folder.path / "results_parts"
    for kind in ("", "probability/"):
        expected = values(folder.path / f"results_whole/predictions/{kind}whole.tif")
        for name, part in parts.items():
            found = values(made / f"predictions/{kind}{name}.tif")
            assert found.tobytes() == expected[part].tobytes()
    with rasterio.open(made / "predictions/part_00.tif") as dataset:
        assert dataset.tags()["ROADMASK_NEIGHBOURS"] == "part_01,part_10,part_11"
    assert (made / "predictions.vrt").is_file()
    assert "seams" in (made / "report/index.html").read_text(encoding="utf-8")
    assert not [name for name in ("masks", "tiles", "dataset", "model") if (made / name).exists()]
    # All is made, and stays so.
    assert folder.jobs() == {}
