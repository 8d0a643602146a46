"""Which ground trains, which validates, which tests.

Every 4 x 4 blocks of the lattice form a group, in which the blocks are dealt out to the
splits in the proportion of their shares, by a permutation that depends on nothing but the
seed and the group's place. So a block belongs to its split for good: more sheets add
blocks, and move none. A tile belongs to the split of the blocks it lies on, and to none
where these differ. In pixel mode there is no ground: the block is the picture.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import shapely

from roadmask.dataset.lattice import GROUP, Block, Ground, Lattice, reprojected
from roadmask.distance import Distance
from roadmask.errors import SettingError

SPLITS = ("train", "val", "test")
# How the reason begins where a tile's ground belongs to several splits.
TOUCHES = "it touches blocks of"
# Where two splits claim one ground in two CRSs, the first of these keeps it.
STRICTEST = ("test", "val", "train")
# Sizes tried in place of a block size that leaves a split empty, nearest first.
FACTORS = tuple(
    factor
    for step in (4 / 3, 3 / 2, 2, 8 / 3, 3, 4, 6, 8, 12, 16, 32, 64)
    for factor in (1 / step, step)
)


@dataclass(frozen=True)
class Shares:
    """How much of the ground each split gets.

    Attributes
    ----------
    train, val, test
        Shares from 0 to 1, which add up to 1. A share of 0 leaves that split empty.
    """

    train: float
    val: float
    test: float

    def __post_init__(self) -> None:
        shares = (self.train, self.val, self.test)
        if min(shares) < 0 or abs(sum(shares) - 1) > 1e-6:
            raise SettingError(
                "split",
                f"train, val and test are {self.train:g}, {self.val:g} and {self.test:g}",
                "Write shares from 0 to 1 that add up to 1",
            )
        if self.train == 0:
            raise SettingError("split.train", "it is 0, which leaves nothing to train on")

    def of(self, split: str) -> float:
        """Return the share of a split by its name."""
        return {"train": self.train, "val": self.val, "test": self.test}[split]

    @property
    def wanted(self) -> tuple[str, ...]:
        """The splits whose share is not 0."""
        return tuple(split for split in SPLITS if self.of(split) > 0)


def fraction(*key: object) -> float:
    """Return a number in [0, 1) that depends on `key` alone, whatever machine or version."""
    text = "/".join(map(str, key))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6]) / 2**48


@lru_cache(maxsize=65536)
def deal_group(row: int, column: int, shares: Shares, seed: int) -> tuple[str, ...]:
    """Deal the blocks of one group out to the splits.

    Parameters
    ----------
    row, column
        The group's place in the lattice of groups.
    shares
        Each split gets its share of the 16 blocks, rounded up or down: which of the two
        depends on the group, such that over many groups the mean is the share. None
        whose share is above 0 gets less than one.
    seed
        ``split.seed``.

    Returns
    -------
    tuple of str
        The split of each block, row by row.
    """
    blocks = GROUP * GROUP
    counts = _rounded(shares, blocks, fraction("round", seed, row, column))
    order = sorted(range(blocks), key=lambda cell: fraction("deal", seed, row, column, cell))
    names = [split for split in SPLITS for _ in range(counts[split])]
    dealt = [""] * blocks
    for cell, split in zip(order, names, strict=True):
        dealt[cell] = split
    return tuple(dealt)


def _rounded(shares: Shares, blocks: int, offset: float) -> dict[str, int]:
    """Round the shares of `blocks` by systematic sampling that starts at `offset`."""
    counts, end, place = {}, 0, 0.0
    for split in SPLITS:
        place += shares.of(split) * blocks
        # Rounded first: 0.7 + 0.15 + 0.15 is a little less than 1.
        next_end = math.floor(round(place, 6) + offset)
        counts[split] = next_end - end
        end = next_end
    for split in shares.wanted:
        if counts[split] == 0:
            counts[max(SPLITS, key=lambda name: counts[name])] -= 1
            counts[split] = 1
    return counts


def split_of(block: Block, shares: Shares, seed: int) -> str:
    """Return the split that a block was dealt to."""
    dealt = deal_group(block.row // GROUP, block.column // GROUP, shares, seed)
    return dealt[block.row % GROUP * GROUP + block.column % GROUP]


def split_pictures(names: Iterable[str], shares: Shares, seed: int) -> dict[str, str]:
    """Deal pictures that lie nowhere on the ground out to the splits.

    A hash of seed and name, as a number from 0 to 1, picks the split whose share covers
    it; so a picture keeps its split whatever is added. Only where that leaves a split
    without any picture does the picture nearest to its share move there, from a split that
    has more than one; that ends as soon as pictures of its own have come.

    Parameters
    ----------
    names
        The pictures' names.
    shares, seed
        As in the config.

    Returns
    -------
    dict
        Name to split. With at least as many pictures as splits, none is empty.
    """
    places = {name: fraction("picture", seed, name) for name in sorted(set(names))}
    ends = np.cumsum([shares.of(split) for split in SPLITS])
    splits = {
        name: SPLITS[int(np.searchsorted(ends, place, side="right").clip(max=2))]
        for name, place in places.items()
    }
    for empty in reversed(shares.wanted):
        held = Counter(splits.values())
        movable = [name for name, split in splits.items() if held[split] > 1]
        if held[empty] or not movable:
            continue
        middle = ends[SPLITS.index(empty)] - shares.of(empty) / 2
        nearest = min(movable, key=lambda name: (abs(places[name] - middle), name))
        splits[nearest] = empty
    return splits


@dataclass(frozen=True)
class Candidate:
    """A tile that asks for its split.

    Attributes
    ----------
    scene, tile
        Their names.
    key
        Its CRS, as by `crs_key`.
    ground
        Where it lies; without meaning in pixel mode.
    dropped
        Why no split may have it, or nothing.
    dropped_from_train
        Why training may not have it, or nothing.
    """

    scene: str
    tile: str
    key: str
    ground: Ground
    dropped: str = ""
    dropped_from_train: str = ""


@dataclass(frozen=True)
class Placement:
    """What became of a tile: its split, or none and the reason."""

    split: str
    reason: str


@dataclass(frozen=True)
class Plan:
    """The split of everything.

    Attributes
    ----------
    blocks
        By CRS, all blocks that any scene touches, with their split. Empty in pixel mode.
    pictures
        In pixel mode, the split of each scene; else empty.
    tiles
        What became of each tile, by its name.
    """

    blocks: Mapping[str, Mapping[Block, str]]
    pictures: Mapping[str, str]
    tiles: Mapping[str, Placement]

    def counts(self) -> dict[str, int]:
        """Return how many tiles each split has."""
        held = Counter(placement.split for placement in self.tiles.values())
        return {split: held[split] for split in SPLITS}

    def block_counts(self) -> dict[str, int]:
        """Return how many blocks, or pictures, each split has."""
        held = Counter(self.pictures.values())
        for blocks in self.blocks.values():
            held.update(blocks.values())
        return {split: held[split] for split in SPLITS}


def plan_pictures(
    pictures: Iterable[str], candidates: Sequence[Candidate], shares: Shares, seed: int
) -> Plan:
    """Split pictures, and with them their tiles.

    Parameters
    ----------
    pictures
        The scenes' names.
    candidates
        Their tiles.
    shares, seed
        As in the config.
    """
    # A picture of which nothing can be used must not be the only one of its split.
    usable = {candidate.scene for candidate in candidates if not candidate.dropped}
    splits = {name: split_pictures([name], shares, seed)[name] for name in pictures}
    splits |= split_pictures(usable, shares, seed)
    tiles = {
        candidate.tile: place_tile(candidate, {splits[candidate.scene]}) for candidate in candidates
    }
    return Plan(blocks={}, pictures=splits, tiles=tiles)


def plan_ground(
    scenes: Mapping[str, Sequence[Ground]],
    candidates: Sequence[Candidate],
    lattices: Mapping[str, Lattice],
    shares: Shares,
    seed: int,
) -> Plan:
    """Split the ground into blocks, and with it the tiles.

    Parameters
    ----------
    scenes
        By CRS, the ground of each scene.
    candidates
        The tiles of all scenes.
    lattices
        By CRS, its blocks.
    shares, seed
        As in the config.
    """
    blocks = {}
    for key, grounds in scenes.items():
        held = {block for ground in grounds for block in lattices[key].touched_by(ground)}
        blocks[key] = {block: split_of(block, shares, seed) for block in sorted(held)}
    foreign = {key: _foreign_blocks(key, blocks, lattices) for key in blocks}
    tiles = {}
    for candidate in candidates:
        touched = lattices[candidate.key].touched_by(candidate.ground)
        splits = {split_of(block, shares, seed) for block in touched}
        placement = place_tile(candidate, splits)
        claimed = foreign[candidate.key].claims(candidate.ground, placement.split)
        tiles[candidate.tile] = Placement("", claimed) if claimed else placement
    return Plan(blocks=blocks, pictures={}, tiles=tiles)


def place_tile(candidate: Candidate, splits: set[str]) -> Placement:
    """Decide on a tile that touches blocks of `splits`."""
    if candidate.dropped:
        return Placement("", candidate.dropped)
    if len(splits) > 1:
        names = " and ".join(split for split in SPLITS if split in splits)
        return Placement("", f"{TOUCHES} {names}")
    (split,) = splits
    if split == "train" and candidate.dropped_from_train:
        return Placement("", f"{candidate.dropped_from_train} (in training only)")
    return Placement(split, "")


@dataclass(frozen=True)
class _ForeignBlocks:
    """Blocks of other CRSs, in the coordinates of one, by split."""

    trees: Mapping[str, shapely.STRtree]

    def claims(self, ground: Ground, split: str) -> str:
        """Say which stricter split of another CRS has ground of a tile of `split`, if any."""
        if not split:
            return ""
        for stricter in STRICTEST[: STRICTEST.index(split)]:
            tree = self.trees.get(stricter)
            if tree is not None and len(tree.query(ground.inner, predicate="intersects")):
                return f"{TOUCHES} {split}, and of {stricter} in another CRS"
        return ""


def _foreign_blocks(
    key: str, blocks: Mapping[str, Mapping[Block, str]], lattices: Mapping[str, Lattice]
) -> _ForeignBlocks:
    """Bring the blocks of all other CRSs into the CRS `key`."""
    polygons: dict[str, list[shapely.Polygon]] = defaultdict(list)
    for other, others in blocks.items():
        if other == key:
            continue
        for block, split in others.items():
            polygons[split].append(reprojected(lattices[other].polygon(block), other, key))
    return _ForeignBlocks({split: shapely.STRtree(found) for split, found in polygons.items()})


def require_filled(
    plan: Plan, shares: Shares, block: Distance, replan: Callable[[Distance], Plan] | None
) -> None:
    """Refuse a plan that leaves a split empty, and name a block size that does not.

    Parameters
    ----------
    plan
        The split at hand.
    shares, block
        As in the config.
    replan
        Plans anew with another block size; None in pixel mode.

    Raises
    ------
    SettingError
        If a split with a share above 0 has no tile.
    """
    counts = plan.counts()
    empty = [split for split in shares.wanted if not counts[split]]
    if not empty:
        return
    if replan is None:
        raise SettingError(
            "split",
            f"{len(plan.pictures)} pictures leave {' and '.join(empty)} without any tile",
            "Give more pictures, try another split.seed, loosen what selection drops, "
            "or set split.val or split.test to 0",
        )
    problem = f'blocks of "{block}" leave {" and ".join(empty)} without any tile'
    for factor in FACTORS:
        other = Distance(float(f"{block.value * factor:.3g}"), block.unit)
        counts = replan(other).counts()
        if all(counts[split] for split in shares.wanted):
            found = ", ".join(f"{counts[split]} tiles for {split}" for split in shares.wanted)
            raise SettingError("split.block", problem, f'"{other}" works and gives {found}')
    raise SettingError(
        "split.block",
        f"{problem}, and no other size of block from {min(FACTORS):.2g} to {max(FACTORS):g} times "
        f"that fills all splits: {len(plan.tiles)} tiles, "
        f"{sum(not placement.split for placement in plan.tiles.values())} of them left out",
        "Give more ground, make tiles.size smaller, loosen what selection drops, "
        "or set split.val or split.test to 0",
    )
