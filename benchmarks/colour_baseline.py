"""How far colour alone goes on the demo city: a random forest on pixels.

Features: each pixel's bands, and their mean and standard deviation over 5 x 5 pixels. It is
trained on the ground of the training blocks and scored on that of the test blocks; its
threshold is the best one for the training pixels. The demo city is hard enough where this
stays under a road IoU of 0.60.

    python benchmarks/colour_baseline.py [data/demo] [results/dataset/split.gpkg]

Without a split.gpkg the blocks are dealt out as a stand-in: 256 ft squares anchored at the CRS's
origin, 11 of each 4 x 4 for training and 3 for the test.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import geopandas
import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.features import rasterize
from sklearn.ensemble import RandomForestClassifier

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow"))

BLOCK = 256.0
TRAIN, TEST, OTHER = 1, 2, 0
LIMIT = 0.60


def features(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Return bands, means and deviations, shape (rows, columns, 3 x bands)."""
    values = picture.astype(np.float32)
    mean = cv2.blur(values, (5, 5))
    square = cv2.blur(values * values, (5, 5))
    deviation = np.sqrt(np.maximum(square - mean * mean, 0))
    return np.concatenate([values, mean, deviation], axis=2)


def stand_in_split(dataset: rasterio.DatasetReader, seed: int) -> npt.NDArray[np.uint8]:
    """Deal 256 ft blocks out inside each 4 x 4 group."""
    transform = dataset.transform
    x = transform.c + transform.a * (np.arange(dataset.width) + 0.5)
    y = transform.f + transform.e * (np.arange(dataset.height) + 0.5)
    column, row = (x // BLOCK).astype(int), (y // BLOCK).astype(int)
    split = np.empty((dataset.height, dataset.width), np.uint8)
    for block_row in np.unique(row):
        for block_column in np.unique(column):
            group = [block_row // 4, block_column // 4]
            order = np.random.default_rng([seed, *group]).permutation(16)
            place = order[(block_row % 4) * 4 + block_column % 4]
            part = TRAIN if place < 11 else TEST if place < 14 else OTHER
            split[np.ix_(row == block_row, column == block_column)] = part
    return split


def read_split(dataset: rasterio.DatasetReader, path: Path) -> npt.NDArray[np.uint8]:
    """Burn the blocks of the pipeline's own split."""
    blocks = geopandas.read_file(path, layer="blocks").to_crs(dataset.crs)
    codes = blocks["split"].map({"train": TRAIN, "test": TEST}).fillna(OTHER).astype(int)
    return np.asarray(
        rasterize(
            list(zip(blocks.geometry, codes, strict=True)),
            out_shape=dataset.shape,
            transform=dataset.transform,
            dtype=np.uint8,
        )
    )


def best_threshold(score: npt.NDArray[np.float64], truth: npt.NDArray[np.bool_]) -> float:
    """Return the threshold with the best IoU."""
    steps = np.linspace(0.05, 0.95, 37)
    return float(steps[int(np.argmax([iou(score >= step, truth) for step in steps]))])


def iou(found: npt.NDArray[np.bool_], truth: npt.NDArray[np.bool_]) -> float:
    return float((found & truth).sum() / max(1, (found | truth).sum()))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("data/demo"))
    parser.add_argument("split", nargs="?", type=Path)
    parser.add_argument("--pixels", type=int, default=60_000, help="training pixels")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    roads = geopandas.read_file(arguments.folder / "truth.gpkg", layer="roads")
    rows: dict[int, list[npt.NDArray[np.float32]]] = {TRAIN: [], TEST: []}
    labels: dict[int, list[npt.NDArray[np.bool_]]] = {TRAIN: [], TEST: []}
    for path in sorted((arguments.folder / "imagery").glob("*.jp2")):
        with rasterio.open(path) as dataset:
            picture = np.moveaxis(dataset.read(), 0, 2)
            split = (
                read_split(dataset, arguments.split)
                if arguments.split
                else stand_in_split(dataset, seed=1)
            )
            truth = rasterize(
                roads.geometry, out_shape=dataset.shape, transform=dataset.transform
            ).astype(bool)
        described = features(picture)
        rng = np.random.default_rng(1)
        for part in (TRAIN, TEST):
            inside = np.flatnonzero(split == part)
            # The test is scored on every ninth pixel, which is ample.
            chosen = rng.choice(inside, size=inside.size // (20 if part == TRAIN else 9))
            rows[part].append(described.reshape(-1, described.shape[2])[chosen])
            labels[part].append(truth.reshape(-1)[chosen])
    train, answer = np.concatenate(rows[TRAIN]), np.concatenate(labels[TRAIN])
    test, expected = np.concatenate(rows[TEST]), np.concatenate(labels[TEST])
    rng = np.random.default_rng(2)
    order = rng.permutation(len(train))
    fit, tune = order[: arguments.pixels], order[arguments.pixels : 2 * arguments.pixels]
    forest = RandomForestClassifier(
        n_estimators=60,
        min_samples_leaf=5,
        class_weight="balanced",
        n_jobs=arguments.threads,
        random_state=1,
    ).fit(train[fit], answer[fit])
    threshold = best_threshold(forest.predict_proba(train[tune])[:, 1], answer[tune])
    result = iou(forest.predict_proba(test)[:, 1] >= threshold, expected)
    print(f"random forest on colour: road IoU {result:.3f} (threshold {threshold:.3f})")
    if result >= LIMIT:
        print(f"the demo city is too easy: the limit is {LIMIT}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
