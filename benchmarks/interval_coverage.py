"""How often the evaluation's 95 % intervals hold the truth, by the number of test blocks.

Blocks are drawn from ground whose IoU is known: their road differs in size (lognormal) and the
network's errors differ from block to block (beta, 14 % on average). Beside the Poisson weights
that the evaluation takes stand those of the classic bootstrap, which are narrower.

    python benchmarks/interval_coverage.py
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow"))

from roadmask.evaluation.bootstrap import interval, times_drawn

TRIALS = 1000
Floats = npt.NDArray[np.float64]


def blocks(random: np.random.Generator, number: int) -> tuple[Floats, Floats]:
    """Return each block's intersection and union."""
    union = random.lognormal(0, 0.7, number)
    return union * (1 - random.beta(2, 12, number)), union


def holds(weights: Floats, hit: Floats, union: Floats, truth: float) -> bool:
    total = weights @ union
    ious = np.divide(weights @ hit, total, out=np.full(len(total), np.nan), where=total > 0)
    limits = interval(ious, len(hit))
    return limits is not None and limits[0] <= truth <= limits[1]


def main() -> None:
    random = np.random.default_rng(0)
    hit, union = blocks(random, 4_000_000)
    truth = float(hit.sum() / union.sum())
    for number in (4, 10, 20, 50, 100):
        weights = np.stack([times_drawn(str(index)) for index in range(number)], axis=1)
        draws = len(weights) - 1
        held = [0, 0]
        for _ in range(TRIALS):
            found = blocks(random, number)
            classic = random.multinomial(number, np.ones(number) / number, draws)
            classic = np.vstack([np.ones(number), classic])
            held[0] += holds(weights, *found, truth)
            held[1] += holds(classic, *found, truth)
        poisson, classic_share = (100 * count / TRIALS for count in held)
        print(f"{number} blocks: {poisson:.0f} % hold the truth, classic {classic_share:.0f} %")


if __name__ == "__main__":
    main()
