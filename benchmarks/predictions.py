"""How fast the stage `predictions` is against its network alone, and how much memory it takes.

    PYTHONPATH=workflow python benchmarks/predictions.py speed [--side 5000] [--rounds 2]
    PYTHONPATH=workflow python benchmarks/predictions.py memory [--side 20000]

`speed` prints the pixels per second through the network of the whole stage, reading, blending
and writing included, and those of a bare `model.predict` over the same windows from memory; both
take turns in one run, best round against best round (the ratio is to be 0.95 at least), start-up
apart, which is printed too (to be 12 s at most).

`memory` prints by how much the stage's greatest memory on a large sheet with four bands is above
that on a small one, which is what TensorFlow, the model and a batch take (to be 1.5 GiB at most).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from rasterio.crs import CRS

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras

from roadmask.grid import Grid
from roadmask.model.card import Card, embed_card
from roadmask.model.network_settings import NetworkSettings
from roadmask.model.networks import build_network
from roadmask.model.networks.reach import receptive_reach
from roadmask.predictions.command import BATCH
from roadmask.predictions.lattice import Lattice
from roadmask.raster import BLOCK

WINDOW = 512
SMALL = 600
GIB = 2**30


def write_sheet(path: Path, side: int, bands: int) -> Grid:
    """Write a sheet of noise, strip by strip."""
    grid = Grid(side, side, Affine(0.5, 0, 1e6, 0, -0.5, 2e5), CRS.from_epsg(2263))
    strip = np.random.default_rng(1).integers(0, 256, (bands, BLOCK, side), dtype=np.uint8)
    profile = {"driver": "GTiff", "tiled": True, "blockxsize": BLOCK, "blockysize": BLOCK}
    profile |= {"bigtiff": "if_safer", "alpha": "NO"}
    profile |= {"width": side, "height": side, "count": bands, "dtype": "uint8"}
    with rasterio.open(path, "w", crs=grid.crs, transform=grid.transform, **profile) as dataset:
        for first in range(0, side, BLOCK):
            rows = min(BLOCK, side - first)
            window = rasterio.windows.Window(0, first, side, rows)
            dataset.write(strip[:, :rows], window=window)
    return grid


def write_model(path: Path, *, bands: int, unet: bool) -> int:
    """Write the U-Net, or a network that costs next to nothing; return its reach."""
    shape = (None, None, bands)
    if unet:
        model = build_network(NetworkSettings(), shape, 1)
    else:
        inputs = keras.Input(shape)
        model = keras.Model(inputs, keras.layers.Conv2D(1, 1, activation="sigmoid")(inputs))
    reach = receptive_reach(model)
    model.save(path)
    card = Card(
        architecture="unet",
        bands=tuple(range(1, bands + 1)),
        scale=None,
        classes=("road",),
        outputs=1,
        threshold=0.5,
        input_stride=16,
        pixel_metres=None,
        settings={},
        dataset_sha256="",
        figures={},
        versions={},
        colours=((240, 110, 30),),
        reach=reach,
    )
    embed_card(path, card)
    return reach or 0


def run_stage(sheet: Path, model: Path, threads: int, *extra: str) -> tuple[float, int]:
    """Run the stage in a process of its own; return its seconds and its greatest memory."""
    command = [sys.executable, "-m", "roadmask", "predictions", str(sheet), "--model", str(model)]
    command += ["--output-folder", str(sheet.with_suffix("")), f"--prediction.window={WINDOW}"]
    command += ["--threads", str(threads), *extra]
    started = time.monotonic()
    with subprocess.Popen(command) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.monotonic() - started
    if process.returncode:
        raise SystemExit(f"the stage failed on {sheet}")
    return seconds, usage.ru_maxrss * 1024


def predict_bare(model: Path, windows: int, threads: int) -> float:
    """Return the seconds that the network takes for windows that lie in memory."""
    code = (
        "import sys, time, numpy as np, tensorflow as tf\n"
        "path, count, side, batch, threads = sys.argv[1], *map(int, sys.argv[2:])\n"
        "tf.config.threading.set_intra_op_parallelism_threads(threads)\n"
        "model = tf.keras.models.load_model(path, compile=False)\n"
        "shape = (count, side, side, 3)\n"
        "pixels = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)\n"
        "model.predict(pixels[:batch], batch_size=batch, verbose=0)\n"
        "started = time.monotonic()\n"
        "model.predict(pixels, batch_size=batch, verbose=0)\n"
        "print(time.monotonic() - started)\n"
    )
    numbers = map(str, (windows, WINDOW, BATCH, threads))
    done = subprocess.run(
        [sys.executable, "-c", code, str(model), *numbers],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return float(done.stdout.split()[-1])


def measure_speed(folder: Path, side: int, rounds: int, threads: int) -> None:
    model = folder / "model.keras"
    reach = write_model(model, bands=3, unet=True)
    grid = write_sheet(folder / "large.tif", side, 3)
    # One window: what is not start-up in it is the time of one batch.
    small = write_sheet(folder / "small.tif", 100, 3)
    lattice = Lattice.of(WINDOW, None, 16, reach)
    columns, rows = lattice.spans(grid)
    few = [len(spans) for spans in lattice.spans(small)]
    windows = len(columns) * len(rows)
    batches = -(-windows // BATCH) - -(-few[0] * few[1] // BATCH)
    stage, bare, start = [], [], []
    for _ in range(rounds):
        start.append(run_stage(folder / "small.tif", model, threads)[0])
        stage.append(run_stage(folder / "large.tif", model, threads)[0] - start[-1])
        bare.append(predict_bare(model, batches * BATCH, threads))
    pixels = batches * BATCH * WINDOW**2 / 1e6
    print(f"{windows} windows of {WINDOW} pixels, a halo of {lattice.margin}, {threads} threads")
    print(f"start-up, with one batch: {min(start):.1f} s")
    print(f"stage: {pixels / min(stage):.3f} million pixels a second through the network")
    print(f"model.predict: {pixels / min(bare):.3f}")
    print(f"ratio: {min(bare) / min(stage):.3f}")


def measure_memory(folder: Path, side: int, threads: int) -> None:
    model = folder / "model.keras"
    write_model(model, bands=4, unet=False)
    peaks = []
    for edge in (SMALL, side):
        write_sheet(folder / f"{edge}.tif", edge, 4)
        seconds, peak = run_stage(folder / f"{edge}.tif", model, threads, "--prediction.overlap=96")
        peaks.append(peak)
        print(f"{edge} x {edge} x 4: {seconds:.0f} s, {peak / GIB:.2f} GiB at most")
    print(f"beyond the loaded model: {(peaks[1] - peaks[0]) / GIB:.2f} GiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("speed", "memory"))
    parser.add_argument("--side", type=int, help="pixels of the large sheet")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if arguments.what == "speed":
            side = arguments.side or 5000
            measure_speed(Path(folder), side, arguments.rounds, arguments.threads)
        else:
            measure_memory(Path(folder), arguments.side or 20_000, arguments.threads)


if __name__ == "__main__":
    main()
