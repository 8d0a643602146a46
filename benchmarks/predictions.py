"""How fast the stage `predictions` is against its network alone, and how much memory it takes.

    PYTHONPATH=workflow python benchmarks/predictions.py speed [--side 5000]
    PYTHONPATH=workflow python benchmarks/predictions.py memory [--side 20000]

`speed` prints the pixels per second through the network of the whole stage (its commands as
Snakemake calls them, reading, blending and writing included), those of a bare `model.predict`
over as many windows of the same size from memory, and their ratio, which is to be 0.95 at least.
The two are processes of which one runs and the other is halted, in turns of some seconds, so what
else the machine does falls on both alike. Start-up is apart: until the network is loaded, and for
a sheet of one batch (to be 12 s at most).

`memory` prints by how much the stage's greatest memory on a large sheet with four bands is above
that on a small one, which is what TensorFlow, the model and a batch take (to be 1.5 GiB at most).
"""

from __future__ import annotations

import argparse
import os
import signal
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
# Seconds for which stage and bare network run in turns.
TURN = 4.0


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


def stage_command(sheet: Path, model: Path, threads: int, *extra: str) -> list[str]:
    """Return the command that predicts a sheet."""
    command = [sys.executable, "-m", "roadmask", "predictions", str(sheet), "--model", str(model)]
    command += ["--output-folder", str(sheet.with_suffix("")), f"--prediction.window={WINDOW}"]
    return [*command, "--threads", str(threads), *extra]


def run_stage(command: list[str]) -> tuple[float, int]:
    """Run a command; return its seconds and its greatest memory."""
    started = time.monotonic()
    with subprocess.Popen(command) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.monotonic() - started
    if process.returncode:
        raise SystemExit(f"failed: {' '.join(command)}")
    return seconds, usage.ru_maxrss * 1024


def classify_command(sheet: Path, model: Path) -> list[str]:
    """Return the command that makes a class raster of what `stage_command` gave."""
    folder = sheet.with_suffix("")
    probability = folder / "probability" / sheet.name
    command = [sys.executable, "-m", "roadmask", "classes", str(probability)]
    return [*command, "--model", str(model), "--output-folder", str(folder)]


# Predicts once from a first batch, says so, and waits for a line before it begins.
BARE = """
import sys, numpy as np, tensorflow as tf
path, count, side, batch, threads = sys.argv[1], *map(int, sys.argv[2:])
tf.config.threading.set_intra_op_parallelism_threads(threads)
model = tf.keras.models.load_model(path, compile=False)
shape = (count, side, side, 3)
pixels = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
model.predict(pixels[:batch], batch_size=batch, verbose=0)
print("ready", flush=True)
sys.stdin.readline()
model.predict(pixels, batch_size=batch, verbose=0)
"""


class Halted:
    """A process that runs by turns, and the seconds that it ran since it was ready."""

    def __init__(self, command: list[str], **streams: int) -> None:
        self.process = subprocess.Popen(command, text=True, **streams)
        self.seconds = 0.0

    def halt(self) -> None:
        """Stop it until its next turn, unless it has ended."""
        if self.process.poll() is None:
            os.kill(self.process.pid, signal.SIGSTOP)

    def turn(self, seconds: float) -> bool:
        """Let it run; return whether it has ended, successfully."""
        started = time.monotonic()
        os.kill(self.process.pid, signal.SIGCONT)
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.halt()
        self.seconds += time.monotonic() - started
        if self.process.returncode:
            raise SystemExit(f"failed: {' '.join(map(str, self.process.args))}")
        return self.process.returncode is not None


def start_bare(model: Path, windows: int, threads: int) -> Halted:
    """Start a bare `model.predict` up to its first batch."""
    numbers = map(str, (windows, WINDOW, BATCH, threads))
    command = [sys.executable, "-c", BARE, str(model), *numbers]
    bare = Halted(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    pipes = bare.process
    if pipes.stdin is None or pipes.stdout is None or not pipes.stdout.readline():
        raise SystemExit("the bare network did not start")
    bare.halt()
    pipes.stdin.write("\n")
    pipes.stdin.close()
    return bare


def start_stage(sheet: Path, model: Path, threads: int) -> tuple[Halted, float]:
    """Start the stage until it has loaded the network; return the seconds of that too."""
    log = sheet.with_suffix(".log")
    started = time.monotonic()
    stage = Halted(stage_command(sheet, model, threads, "--log", str(log)))
    while not (log.exists() and " loaded in " in log.read_text(encoding="utf-8")):
        if stage.process.poll() is not None:
            raise SystemExit("the stage did not start")
        time.sleep(0.02)
    stage.halt()
    return stage, time.monotonic() - started


def measure_speed(folder: Path, side: int, threads: int) -> None:
    model = folder / "model.keras"
    reach = write_model(model, bands=3, unet=True)
    sheet = folder / "large.tif"
    grid = write_sheet(sheet, side, 3)
    small = folder / "small.tif"
    write_sheet(small, 100, 3)
    lattice = Lattice.of(WINDOW, None, 16, reach)
    columns, rows = lattice.spans(grid)
    windows = len(columns) * len(rows)
    batches = -(-windows // BATCH)
    one_batch, _ = run_stage(stage_command(small, model, threads))
    bare = start_bare(model, batches * BATCH, threads)
    stage, start = start_stage(sheet, model, threads)
    waiting = [stage, bare]
    while waiting:
        waiting = [process for process in waiting if not process.turn(TURN)]
    # Of the classes, too, what is not start-up.
    classes = run_stage(classify_command(sheet, model))[0]
    classes -= run_stage(classify_command(small, model))[0]
    seconds = stage.seconds + max(classes, 0.0)
    pixels = batches * BATCH * WINDOW**2 / 1e6
    print(f"{windows} windows of {WINDOW} pixels, a halo of {lattice.margin}, {threads} threads")
    print(f"start-up: {start:.1f} s until the network is loaded, {one_batch:.1f} s with one batch")
    print(f"stage: {seconds:.1f} s, {pixels / seconds:.3f} million pixels a second")
    print(f"  of which the class raster: {classes:.1f} s")
    print(f"model.predict: {bare.seconds:.1f} s, {pixels / bare.seconds:.3f}")
    print(f"ratio: {bare.seconds / seconds:.3f}")


def measure_memory(folder: Path, side: int, threads: int) -> None:
    model = folder / "model.keras"
    write_model(model, bands=4, unet=False)
    peaks = []
    for edge in (SMALL, side):
        write_sheet(folder / f"{edge}.tif", edge, 4)
        sheet = folder / f"{edge}.tif"
        seconds, peak = run_stage(stage_command(sheet, model, threads, "--prediction.overlap=96"))
        peaks.append(peak)
        print(f"{edge} x {edge} x 4: {seconds:.0f} s, {peak / GIB:.2f} GiB at most")
    print(f"beyond the loaded model: {(peaks[1] - peaks[0]) / GIB:.2f} GiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("speed", "memory"))
    parser.add_argument("--side", type=int, help="pixels of the large sheet")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if arguments.what == "speed":
            measure_speed(Path(folder), arguments.side or 5000, arguments.threads)
        else:
            measure_memory(Path(folder), arguments.side or 20_000, arguments.threads)


if __name__ == "__main__":
    main()
