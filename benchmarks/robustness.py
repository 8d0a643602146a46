"""How a network does on pictures from elsewhere: ``robustness.py MODEL PICTURES MASKS``.

Changes pictures of a folder as other cameras and light would, predicts on each set with
`prediction.tone` none and match, through the package's own commands, and prints road IoU of
all pixels together. MASKS has a picture of each name, above 127 road. Give pictures that the
network was not trained on (--only FILE: their names, one a line).
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
import rasterio
from affine import Affine
from standins import AS_IT_IS, STANDINS, Score

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "workflow"))

from roadmask.__main__ import main as roadmask  # noqa: E402
from roadmask.grid import Grid  # noqa: E402
from roadmask.raster import write_cog  # noqa: E402

THRESHOLD = 127


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("masks", type=Path)
    parser.add_argument("--only", type=Path, help="file of names")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    pairs = read_pairs(arguments.pictures, arguments.masks, arguments.only)
    logging.disable(logging.INFO)
    print(f"{len(pairs)} pictures\n")
    print("| pictures | none | match |\n| --- | --- | --- |", flush=True)
    rows = {}
    for number, (name, change) in enumerate(STANDINS.items()):
        rng = np.random.default_rng(100 + number)
        changed = {scene: change(*pair, rng) for scene, pair in pairs.items()}
        with tempfile.TemporaryDirectory() as folder:
            rows[name] = score(changed, arguments.model, Path(folder), arguments.threads)
        print(f"| {name} | {rows[name][0]:.3f} | {rows[name][1]:.3f} |", flush=True)
    others = np.array([values for name, values in rows.items() if name != AS_IT_IS])
    for what, values in (("mean", others.mean(0)), ("worst", others.min(0))):
        print(f"| {what} of the {len(others)} changed | {values[0]:.3f} | {values[1]:.3f} |")


def read_pairs(
    pictures: Path, masks: Path, only: Path | None
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Read pictures as red, green and blue, and their labels as 0 and 1."""
    names = sorted(path.stem for path in pictures.iterdir())
    if only is not None:
        wanted = set(only.read_text(encoding="utf-8").split())
        names = [name for name in names if name in wanted]
    pairs = {}
    for name in names:
        [picture], [mask] = list(pictures.glob(f"{name}.*")), list(masks.glob(f"{name}.*"))
        rgb = cv2.cvtColor(cv2.imread(str(picture)), cv2.COLOR_BGR2RGB)
        label = cv2.imread(str(mask), cv2.IMREAD_GRAYSCALE) > THRESHOLD
        pairs[name] = (rgb, label.astype(np.uint8))
    return pairs


def score(
    changed: dict[str, tuple[np.ndarray, np.ndarray]],
    model: Path,
    folder: Path,
    threads: int,
) -> tuple[float, float]:
    """Return the road IoU of one set of pictures, as they are and matched."""
    scenes = []
    for name, (picture, _) in changed.items():
        grid = Grid(picture.shape[1], picture.shape[0], Affine.identity(), None)
        scenes.append(folder / "scenes" / f"{name}.tif")
        write_cog(scenes[-1], grid, np.moveaxis(picture, -1, 0))
    tones = [folder / "tone" / f"{path.stem}.json" for path in scenes]
    for scene, tone in zip(scenes, tones, strict=True):
        call("tone", scene, "--model", model, "--output", tone)
    flight = folder / "flight.json"
    # Each picture is one window; the command widens it to what the network's stride divides.
    window = max(max(label.shape) for _, label in changed.values())
    call("flight", *tones, "--output", flight)
    found = []
    for tone, extra in (("none", ()), ("match", ("--flights", flight))):
        call(
            *("predictions", *scenes, "--model", model, "--output-folder", folder / tone),
            *(f"--prediction.window={window}", "--prediction.overlap=0"),
            *("--threads", threads, *extra),
        )
        probability = (folder / tone / "probability" / path.name for path in scenes)
        call("classes", *probability, "--model", model, "--output-folder", folder / tone)
        total = Score()
        for name, (_, label) in changed.items():
            with rasterio.open(folder / tone / f"{name}.tif") as dataset:
                total += Score.of(dataset.read(1), label)
        found.append(total.iou)
    return found[0], found[1]


def call(*arguments: object) -> None:
    """Run a command of the package, whose progress is not shown."""
    if roadmask([*map(str, arguments)]):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
