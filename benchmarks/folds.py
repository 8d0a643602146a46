"""Cross-validation over pictures with ready masks: ``folds.py DATA OUTPUT [--folds 5]``.

DATA has ``images`` and ``masks``, files of one name each. Every picture is held out once: in
each fold the workflow's own commands make the data set from the others, train on it with the
settings of --config, and predict on those held out, which are scored all pixels together.
What is done already is not done again, and a training that was killed goes on.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
import yaml
from standins import Score

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "workflow"))

from planning.checks import load  # noqa: E402
from planning.plan import Plan  # noqa: E402
from planning.teaching import chosen  # noqa: E402
from roadmask.__main__ import main as roadmask  # noqa: E402
from roadmask.looks.cells import HALVES  # noqa: E402

EXAMPLE = REPOSITORY / "examples" / "aerial_roads.yaml"


@dataclass(frozen=True)
class Folds:
    """What is the same for all folds.

    Attributes
    ----------
    plan
        Of the settings.
    folder
        Where all is written.
    threads
        Of each command.
    """

    plan: Plan
    folder: Path
    threads: int

    def run(self, *arguments: object, seconds: float | None = None) -> None:
        """Run a command of the package as a process of its own.

        Raises
        ------
        subprocess.TimeoutExpired
            After so many seconds.
        subprocess.CalledProcessError
            If it fails; its message is on the terminal.
        """
        subprocess.run(
            [sys.executable, "-m", "roadmask", *map(str, arguments)],
            env=os.environ | {"PYTHONPATH": str(REPOSITORY / "workflow")},
            check=True,
            timeout=seconds,
        )

    def prepare(self, scene: str) -> None:
        """Make all of a picture that does not depend on the fold."""
        picture = self.folder / "scenes" / f"{scene}.tif"
        mask = self.folder / "masks" / f"{scene}.tif"
        tiles, cut = (self.folder / name / f"{scene}.json" for name in ("tiles", "masks/tiles"))
        if cut.exists():
            return
        plan = self.plan
        source, label = plan.source(scene), plan.label_source(scene)
        if label is None:
            raise SystemExit("labels.method: raster is what the folds need")
        here(
            *("scenes", source.path, "--output", picture),
            *plan.options("imagery.georeference", "imagery.crs", "imagery.nodata"),
        )
        pixels = plan.options("imagery.bands", "imagery.scale")
        here("tone", picture, "--output", self.folder / "tone" / f"{scene}.json", *pixels)
        here("tiles", picture, "--output", tiles, *plan.options("tiles"), *pixels)
        here(
            *("masks", picture, "--output", mask, f"--labels.raster={label.path}"),
            *plan.label_options(),
        )
        here("cut", mask, "--manifest", tiles, "--output", cut)

    def select(self, scene: str, networks: list[Path]) -> None:
        """Judge the tiles of a picture by what networks learned from all."""
        picture = self.folder / "scenes" / f"{scene}.tif"
        mask, looks = (self.folder / name / f"{scene}.tif" for name in ("masks", "looks"))
        tiles, cut = (self.folder / name / f"{scene}.json" for name in ("tiles", "masks/tiles"))
        measures = self.folder / "measures" / f"{scene}.csv"
        verdicts = self.folder / "verdicts" / f"{scene}.csv"
        if verdicts.exists():
            return
        plan = self.plan
        pixels = plan.options("imagery.bands", "imagery.scale")
        here("see-looks", picture, "--networks", *networks, "--output", looks, *pixels)
        here(
            *("measure", picture, "--mask", mask, "--tiles", tiles, "--masks", cut),
            *("--looks", looks, "--output", measures),
            *("--offset", self.folder / "offsets" / f"{scene}.json"),
        )
        limits = [f"selection.{name}" for name in SELECTION]
        here("selection", measures, "--output", verdicts, *plan.options(*limits, "classes"))

    def learn_looks(self, scenes: list[str]) -> list[Path]:
        """Teach the networks that tell how much like road the ground of a picture looks."""
        pictures, masks = (
            [self.folder / name / f"{scene}.tif" for scene in scenes]
            for name in ("scenes", "masks")
        )
        networks = [self.folder / "looks" / f"{half}.onnx" for half in HALVES]
        pixels = self.plan.options("imagery.bands", "imagery.scale")
        for half, network in zip(HALVES, networks, strict=True):
            if not network.exists():
                given = (*pictures, "--masks", *masks, "--half", half, *pixels)
                self.run("learn-looks", *given, "--output", network)
        return networks

    def fold(self, number: int, held: list[str], others: list[str], minutes: float) -> Score:
        """Train without some pictures, predict on these and score them."""
        folder = self.folder / f"fold_{number}"
        dataset, model = folder / "dataset" / "dataset.json", folder / "model" / "model.keras"
        found = folder / "predictions"
        if not dataset.exists():
            self.run(
                *("dataset", f"--scenes={'/'.join(others)}", "--output", dataset),
                *("--tiles", self.folder / "tiles" / "{scene}.json"),
                *("--masks", self.folder / "masks" / "tiles" / "{scene}.json"),
                *("--selection", self.folder / "verdicts" / "{scene}.csv"),
                *("--tones", self.folder / "tone" / "{scene}.json"),
                *(*self.plan.options("split", "classes"), "--threads", self.threads),
            )
        if not model.exists():
            left = 60 * minutes - seconds_of(model.with_name("history.csv"))
            self.run(
                *("model", dataset, "--output", model, *self.plan.options(*NETWORK, "training")),
                *("--threads", self.threads),
                seconds=max(left, 1),
            )
        missing = [name for name in held if is_older(found / f"{name}.tif", model)]
        if missing:
            self.run(
                *("predictions", *(self.folder / "scenes" / f"{name}.tif" for name in missing)),
                *("--model", model, "--output-folder", found),
                *self.plan.options(*PREDICTION),
                *("--threads", self.threads),
            )
            here(
                *("classes", *(found / "probability" / f"{name}.tif" for name in missing)),
                *("--model", model, "--output-folder", found),
                *self.plan.options("prediction.threshold"),
            )
        total = Score()
        for name in held:
            label = read(self.folder / "masks" / f"{name}.tif")
            total += Score.of(read(found / f"{name}.tif"), label)
        return total


def here(*arguments: object) -> None:
    """Run a command of the package in this process: there are many, and none needs TensorFlow."""
    if roadmask([*map(str, arguments)]):
        raise SystemExit(1)


SELECTION = (
    *("min_road_share", "max_road_share", "empty_share"),
    *("max_nodata_share", "max_unknown_share"),
)
NETWORK = ("model.architecture", "model.backbone", "model.output_stride", "model.weights")


PREDICTION = (
    *("prediction.window", "prediction.overlap"),
    "prediction.augmentation",
)


def main() -> None:
    """Print the road IoU of each fold, and their mean."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--config", type=Path, default=EXAMPLE)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--only", type=int, nargs="*", help="these folds alone, from 0")
    parser.add_argument("--minutes", type=float, default=60, help="of training a fold, at most")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0, help="of the folds")
    arguments = parser.parse_args()
    folds = Folds(plan_of(arguments), arguments.output.resolve(), arguments.threads)
    names = sorted(folds.plan.training)
    for name in names:
        folds.prepare(name)
    networks = folds.learn_looks(chosen(names))
    for name in names:
        folds.select(name, networks)
    order = np.random.default_rng(arguments.seed).permutation(len(names))
    scores = []
    for number, part in enumerate(np.array_split(order, arguments.folds)):
        if arguments.only is not None and number not in arguments.only:
            continue
        held = sorted(names[index] for index in part)
        others = [name for name in names if name not in held]
        try:
            score = folds.fold(number, held, others, arguments.minutes)
        except subprocess.TimeoutExpired:
            print(f"fold {number}: not trained within {arguments.minutes:g} minutes", flush=True)
            continue
        scores.append(score.iou)
        took = seconds_of(folds.folder / f"fold_{number}" / "model" / "history.csv") / 60
        print(
            f"fold {number}: {len(held)} pictures, road IoU {score.iou:.4f}, "
            f"{took:.0f} minutes of training",
            flush=True,
        )
    if scores:
        print(f"mean of {len(scores)} folds: road IoU {np.mean(scores):.4f}")


def plan_of(arguments: argparse.Namespace) -> Plan:
    """Return the plan of the settings, with the paths of these data.

    The settings are kept beside what was made with them: what is there already was made with
    those, and must not be taken for another's.
    """
    data = arguments.data.resolve()
    config = yaml.safe_load(arguments.config.read_text(encoding="utf-8"))
    config["imagery"]["paths"] = [str(data / "images" / "*")]
    suffix = Path(config["labels"]["raster"]["path"]).suffix
    config["labels"]["raster"] |= {"path": str(data / "masks" / f"{{scene}}{suffix}")}
    key = {"config": config, "folds": arguments.folds, "seed": arguments.seed}
    made_with = arguments.output / "settings.json"
    if made_with.exists() and json.loads(made_with.read_text(encoding="utf-8")) != key:
        raise SystemExit(f"{arguments.output} was made with other settings: name another folder")
    arguments.output.mkdir(parents=True, exist_ok=True)
    made_with.write_text(json.dumps(key, indent=2), encoding="utf-8")
    return Plan(load(config), REPOSITORY / "workflow")


def is_older(path: Path, other: Path) -> bool:
    """Tell whether a file is missing or was made before another."""
    return not path.exists() or path.stat().st_mtime < other.stat().st_mtime


def seconds_of(history: Path) -> float:
    """Return how long a training took so far."""
    if not history.exists():
        return 0.0
    with history.open(encoding="utf-8", newline="") as file:
        return sum(float(row["seconds"]) for row in csv.DictReader(file))


def read(path: Path) -> np.ndarray:
    """Read the only band of a raster."""
    with rasterio.open(path) as dataset:
        band: np.ndarray = dataset.read(1)
    return band


if __name__ == "__main__":
    main()
