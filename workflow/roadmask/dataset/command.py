"""The command ``dataset``."""

from __future__ import annotations

import argparse
import csv
import io
import json
import logging
import os
import re
import shutil
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from roadmask import __version__
from roadmask.classes import ClassTable
from roadmask.dataset.lattice import PIXEL_KEY, Ground, Lattice, crs_key, lattice_for, tile_grid
from roadmask.dataset.split import (
    SPLITS,
    TOUCHES,
    Candidate,
    Plan,
    Shares,
    plan_ground,
    plan_pictures,
    require_filled,
)
from roadmask.dataset.split_file import write_split
from roadmask.distance import Distance, parse_distance
from roadmask.errors import InputError, SettingError
from roadmask.files import sha256, write_json, write_text
from roadmask.grid import Tile, TileGrid
from roadmask.quality.columns import read_table
from roadmask.selection import VERDICT
from roadmask.style import UNKNOWN, class_colours
from roadmask.tile_pairs import PairedTiles
from roadmask.tone.counts import joined

if TYPE_CHECKING:
    from roadmask.dataset.records import Sample, Shard, Statistics

log = logging.getLogger(__name__)

TABLE = ("tile", "road_share", *VERDICT)
SHARD_BYTES = 64 * 2**20
SHARD_NAME = re.compile(r"(train|val|test)-\d{5}-of-\d{5}\.tfrecord")
# Of the tiles that selection keeps; above it the block is small for the tiles.
MUCH_LEFT_OUT = 0.5


@dataclass(frozen=True)
class Scene:
    """A scene, its tiles and the verdicts on them."""

    pairs: PairedTiles
    rows: Mapping[str, Mapping[str, str]]

    @property
    def name(self) -> str:
        """The scene's name."""
        return self.pairs.images.scene

    @property
    def key(self) -> str:
        """Its CRS, as by `crs_key`."""
        return crs_key(self.pairs.images.grid.crs)

    def candidates(self) -> Iterator[Candidate]:
        """Yield all its tiles, row by row, those that were never cut included."""
        images = self.pairs.images
        key = self.key
        for tile in TileGrid(images.scene, images.grid, images.size, images.overlap):
            row = self.rows[tile.name]
            dropped = row["verdict"] == "drop"
            for_all = row["scope"] == "all"
            yield Candidate(
                scene=images.scene,
                tile=tile.name,
                key=key,
                ground=Ground.of(tile_grid(images.grid, tile.x, tile.y, tile.size)),
                dropped=row["reason"] if dropped and for_all else "",
                dropped_from_train=row["reason"] if dropped and not for_all else "",
            )


def read_scenes(
    tiles: Sequence[Path], masks: Sequence[Path], tables: Sequence[Path]
) -> list[Scene]:
    """Match the files of each scene.

    Returns
    -------
    list of Scene
        By name.

    Raises
    ------
    InputError
        If a scene lacks one, a table does not tell of just its tiles, or the scenes were
        not cut in one way.
    """
    masks_of = {path.stem: path for path in masks}
    tables_of = {path.stem: path for path in tables}
    scenes = []
    for path in sorted(tiles, key=lambda path: path.stem):
        for name, others in (("masks", masks_of), ("selection", tables_of)):
            if path.stem not in others:
                raise InputError(path, f"no --{name} is given for this scene")
        pairs = PairedTiles.open(path, masks_of[path.stem])
        images = pairs.images
        rows = {row["tile"]: row for row in read_table(tables_of[path.stem], TABLE)}
        expected = {
            tile.name for tile in TileGrid(images.scene, images.grid, images.size, images.overlap)
        }
        if rows.keys() != expected:
            raise InputError(
                tables_of[path.stem],
                f"its tiles are not those of {path}",
                "Remove it and run again",
            )
        scenes.append(Scene(pairs, rows))
    first = scenes[0].pairs.images
    for scene in scenes:
        for name in ("size", "overlap", "bands", "scale"):
            if getattr(scene.pairs.images, name) != getattr(first, name):
                raise InputError(
                    scene.pairs.images_path,
                    f"{name} differs from that in {scenes[0].pairs.images_path}",
                    "Remove both and run again",
                )
    if len({scene.key == PIXEL_KEY for scene in scenes}) > 1:
        raise InputError(
            next(scene.pairs.images_path for scene in scenes if scene.key == PIXEL_KEY),
            "this scene lies nowhere on the ground, but others do",
            "Make two data sets of them",
        )
    return scenes


def require_classes(scenes: Sequence[Scene], names: Sequence[str]) -> None:
    """Refuse labels without any class, before a split is blamed for having no tile.

    Raises
    ------
    SettingError
        If all that is known of all tiles is ``other``.
    """
    if any(float(row["road_share"]) > 0 for scene in scenes for row in scene.rows.values()):
        return
    raise SettingError(
        "labels",
        f"no tile of any scene has a label of {' or '.join(names[1:])}, so there is nothing to "
        "learn",
        "Look at the masks, and at what logs/masks/ warns of: values in classes, labels.threshold "
        "or a filter may be wrong",
    )


@dataclass(frozen=True)
class Splitting:
    """What determines the split: the scenes and the settings."""

    scenes: Sequence[Scene]
    candidates: Sequence[Candidate]
    shares: Shares
    seed: int

    @property
    def in_pixels(self) -> bool:
        """Whether the scenes lie nowhere on the ground."""
        return self.scenes[0].key == PIXEL_KEY

    def lattices(self, block: Distance) -> dict[str, Lattice]:
        """Return the lattice of each CRS."""
        if self.in_pixels:
            return {}
        grids = defaultdict(list)
        for scene in self.scenes:
            grids[scene.key].append(scene.pairs.images.grid)
        return {key: lattice_for(found[0].crs, block, found) for key, found in grids.items()}

    def grounds(self) -> dict[str, Ground]:
        """Return the ground of each scene."""
        return {scene.name: Ground.of(scene.pairs.images.grid) for scene in self.scenes}

    def plan(self, block: Distance) -> Plan:
        """Split all with a block size."""
        grounds = self.grounds()
        if self.in_pixels:
            return plan_pictures(grounds, self.candidates, self.shares, self.seed)
        by_crs = defaultdict(list)
        for scene in self.scenes:
            by_crs[scene.key].append(grounds[scene.name])
        return plan_ground(by_crs, self.candidates, self.lattices(block), self.shares, self.seed)


def pixel_metres(scenes: Sequence[Scene]) -> float | None:
    """Return the median over the scenes of a pixel's edge on the ground; None in pixel mode."""
    if scenes[0].key == PIXEL_KEY:
        return None
    edges = [scene.pairs.images.grid.ground_sample_distance for scene in scenes]
    return round(statistics.median(edges), 6)


def class_weights(pixels: Mapping[str, int]) -> dict[str, float]:
    """Weigh classes by inverse frequency.

    Parameters
    ----------
    pixels
        By class, its pixels in the training split.

    Returns
    -------
    dict
        All pixels / (classes present x pixels of the class), which is 1 on average over the
        pixels; 0 for a class without any.
    """
    present = [count for count in pixels.values() if count]
    total = sum(present)
    return {
        name: round(total / (len(present) * count), 6) if count else 0.0
        for name, count in pixels.items()
    }


def describe_split(
    plan: Plan, split: str, shards: Sequence[Shard], held: Statistics, names: Sequence[str]
) -> dict[str, Any]:
    """Return what ``dataset.json`` says of one split."""
    foreign = np.flatnonzero(held.pixels[len(names) : UNKNOWN]) + len(names)
    if len(foreign):
        raise SettingError(
            "classes",
            f"the masks hold {', '.join(map(str, foreign))}, but the classes are "
            f"{', '.join(f'{index} {name}' for index, name in enumerate(names))}",
            "Remove these masks and run again",
        )
    pixels = {name: int(held.pixels[index]) for index, name in enumerate(names)}
    return {
        "tiles": plan.counts()[split],
        "blocks": plan.block_counts()[split],
        "pixels": {**pixels, "unknown": int(held.pixels[UNKNOWN])},
        "shards": [
            {
                "name": shard.path.name,
                "records": shard.records,
                "bytes": shard.bytes,
                "sha256": sha256(shard.path),
            }
            for shard in shards
        ],
    }


def find_faults(splits: Mapping[str, Mapping[str, Any]], names: Sequence[str]) -> list[str]:
    """Name classes that a split lacks, which training or scoring would stumble over.

    Labels of several classes may leave no ground as ``other``: no fault where all do.
    """
    held = [described["pixels"] for described in splits.values()]
    if len(names) > 2 and not any(pixels[names[0]] for pixels in held):
        names = names[1:]
    return [
        f"{split} has no pixel of class {name} in its {described['tiles']} tiles"
        for split, described in splits.items()
        if described["tiles"]
        for name in names
        if not described["pixels"][name]
    ]


def write_tiles_table(path: Path, plan: Plan, candidates: Sequence[Candidate]) -> None:
    """Write what became of every tile as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("scene", "tile", "split", "reason"))
    for candidate in candidates:
        placement = plan.tiles[candidate.tile]
        writer.writerow((candidate.scene, candidate.tile, placement.split, placement.reason))
    write_text(path, text.getvalue())


@contextmanager
def staging(output: Path) -> Iterator[Path]:
    """Give a folder whose files take the place of an earlier run's on success.

    `output` itself goes first and comes last, so that it never stands beside shards of
    another run. Other files in its folder are let be.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    folder = output.parent / f".{output.stem}.part"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
        output.unlink(missing_ok=True)
        for path in output.parent.iterdir():
            if SHARD_NAME.fullmatch(path.name):
                path.unlink()
        for path in sorted(folder.iterdir(), key=lambda path: path.name == output.name):
            path.replace(output.parent / path.name)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``dataset``."""
    for name, what in (
        ("tiles", "manifests of the image tiles"),
        ("masks", "manifests of the label tiles"),
        ("selection", "tables of stage selection"),
    ):
        parser.add_argument(
            f"--{name}", type=Path, nargs="+", required=True, help=f"{what}, one a scene"
        )
    parser.add_argument(
        "--tones", type=Path, nargs="*", default=[], help="counts of stage tone, one a scene"
    )
    parser.add_argument("--output", type=Path, required=True, help="dataset.json")
    for split in SPLITS:
        parser.add_argument(f"--split.{split}", dest=split, type=float, required=True)
    parser.add_argument("--split.block", dest="block", required=True, metavar="DISTANCE")
    parser.add_argument("--split.seed", dest="seed", type=int, required=True)
    parser.add_argument("--classes", required=True, help="the config's classes as JSON")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--shard-bytes", type=int, default=SHARD_BYTES, help="no shard is larger")


def run(arguments: argparse.Namespace) -> None:
    """Split, write, verify."""
    table = ClassTable.parse(json.loads(arguments.classes))
    names = table.all_names
    block = parse_distance(arguments.block, "split.block")
    shares = Shares(arguments.train, arguments.val, arguments.test)
    scenes = read_scenes(arguments.tiles, arguments.masks, arguments.selection)
    tone = joined(arguments.tones).moments() if arguments.tones else ()
    candidates = [candidate for scene in scenes for candidate in scene.candidates()]
    splitting = Splitting(scenes, candidates, shares, arguments.seed)
    plan = splitting.plan(block)
    log_left_out(plan)
    require_classes(scenes, names)
    require_filled(plan, shares, block, None if splitting.in_pixels else splitting.plan)
    with staging(arguments.output) as folder:
        write_tiles_table(folder / "tiles.csv", plan, candidates)
        write_split(
            folder / "split.gpkg",
            plan,
            candidates,
            splitting.lattices(block),
            splitting.grounds(),
            scenes[0].key,
        )
        written = write_records(
            folder, plan, scenes, arguments.seed, arguments.threads, arguments.shard_bytes
        )
        splits = {
            split: describe_split(plan, split, shards, held, names)
            for split, (shards, held) in written.items()
        }
        warnings = find_faults(splits, names)
        for warning in warnings:
            log.warning("%s", warning)
        train = written["train"][1]
        pixels = {name: splits["train"]["pixels"][name] for name in names}
        images = scenes[0].pairs.images
        write_json(
            folder / arguments.output.name,
            {
                "version": __version__,
                "bands": list(images.bands),
                "scale": None if images.scale is None else [list(pair) for pair in images.scale],
                "tile_size": images.size,
                "tile_overlap": images.overlap,
                "pixel_metres": pixel_metres(scenes),
                "classes": list(names),
                "colours": [list(rgb) for rgb in class_colours(len(table.names), table.colours)],
                "unknown": UNKNOWN,
                "split": {split: shares.of(split) for split in SPLITS}
                | {"block": str(block), "seed": arguments.seed},
                "splits": splits,
                "class_weights": class_weights(pixels),
                "channels": {
                    "mean": [round(float(value), 6) for value in train.mean],
                    "deviation": [round(float(value), 6) for value in train.deviation],
                },
                # Of all ground of the scenes, as it is measured of those to predict on.
                "tone": {
                    "mean": [mean for mean, _ in tone],
                    "deviation": [deviation for _, deviation in tone],
                }
                if tone
                else None,
                "left_out": left_out(plan),
                "warnings": warnings,
            },
        )


def write_records(
    folder: Path, plan: Plan, scenes: Sequence[Scene], seed: int, threads: int, shard_bytes: int
) -> dict[str, tuple[list[Shard], Statistics]]:
    """Write the shards of all splits; return them with what they hold."""
    # No job of this stage needs a GPU, and TensorFlow would take all its memory.
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # TensorFlow takes seconds to import: not before the split is known to be right.
    from roadmask.dataset import records  # noqa: PLC0415

    located: dict[str, tuple[Scene, Tile]] = {
        tile.name: (scene, tile) for scene in scenes for tile in scene.pairs.images.tiles
    }

    def load(name: str) -> Sample:
        scene, tile = located[name]
        return records.Sample(scene.name, tile.name, scene.pairs.read(tile))

    images = scenes[0].pairs.images
    written = {}
    for split in SPLITS:
        tiles = records.shuffled(
            (name for name, placement in plan.tiles.items() if placement.split == split), seed
        )
        sizes = records.shard_sizes(len(tiles), images.size, len(images.bands), shard_bytes)
        written[split] = records.write_shards(
            folder, split, tiles, sizes, load, bands=len(images.bands), threads=threads
        )
        log.info("%s: %d tiles in %d shards, verified", split, len(tiles), len(sizes))
    return written


def left_out(plan: Plan) -> dict[str, int]:
    """Count the tiles in no split by what kept them out."""
    reasons = Counter(
        "touches two splits" if placement.reason.startswith(TOUCHES) else "selection"
        for placement in plan.tiles.values()
        if not placement.split
    )
    return dict(sorted(reasons.items()))


def log_left_out(plan: Plan) -> None:
    """Say how many tiles no split has, and when that is more than need be."""
    counts = left_out(plan)
    for reason, count in counts.items():
        log.info("%d of %d tiles left out: %s", count, len(plan.tiles), reason)
    straddling = counts.get("touches two splits", 0)
    kept = len(plan.tiles) - counts.get("selection", 0)
    if straddling > MUCH_LEFT_OUT * kept:
        log.warning(
            "%d of %d tiles touch blocks of two splits; a larger split.block, or one that "
            "the tiles divide, leaves out fewer",
            straddling,
            kept,
        )
