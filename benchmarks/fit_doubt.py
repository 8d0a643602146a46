"""Fit the weights of the doubt's signs to tables of `planted_faults.py`.

Logistic regression on the signs, each brought to 0..1 by `saturated`, with weights that can't
be negative and a slight pull to 0. A sign's half is a high quantile of what good labels show,
so that it speaks only where it is unusual. Prints the table for `quality/doubt.py`.

    python benchmarks/fit_doubt.py FOLDER/demo_51_0.1 FOLDER/demo_52_0.1
"""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow"))

from roadmask.quality.columns import Evidence, PieceSums, Shares
from roadmask.quality.doubt import SIGNS, readings, saturated

Values = NDArray[np.float64]

# What good labels stay below nearly always, and the least that a half may be.
USUAL, LEAST_HALF = 0.97, 0.02
# The pull of the weights to 0, and the most that a weight may be.
PULL, MOST = 0.02, 8.0


def read(folders: list[Path]) -> tuple[pd.DataFrame, NDArray[np.bool_]]:
    """Return the readings of all tiles of some cities, and which of their labels are bad."""
    paths = sorted(path for folder in folders for path in folder.glob("*/tiles.csv"))
    table = pd.concat([pd.read_csv(path) for path in paths], ignore_index=True)
    kinds = (Shares, Evidence, PieceSums)
    rows = []
    for row in table.to_dict("records"):
        known = [kind(**{part.name: row[part.name] for part in fields(kind)}) for kind in kinds]
        rows.append(readings(*known))
    return pd.DataFrame(rows), np.asarray(table["reference_iou"] < 0.9)


def halves(values: pd.DataFrame, bad: NDArray[np.bool_]) -> dict[str, float]:
    """Return the value at which each sign speaks half as loud as it can."""
    usual = values[~bad].fillna(0).clip(lower=0).quantile(USUAL)
    return {name: max(round(float(usual[name]), 2), LEAST_HALF) for name in values}


def fit(signs: Values, bad: NDArray[np.bool_]) -> tuple[float, Values]:
    """Return the base and the weights.

    Parameters
    ----------
    signs
        ``(tiles, signs)`` from 0 to 1.
    bad
        ``(tiles,)``.
    """
    count = signs.shape[1]

    def loss(given: Values) -> tuple[float, Values]:
        odds, weights = given[0] + signs @ given[1:], given[1:]
        apart = expit(odds) - bad
        likelihood = np.logaddexp(0, odds) - bad * odds
        slope = np.concatenate([[apart.sum()], signs.T @ apart + 2 * PULL * weights])
        return float(likelihood.sum() + PULL * (weights**2).sum()), slope

    bounds = [(-10.0, 0.0), *[(0.0, MOST)] * count]
    start = np.concatenate([[-4.0], np.ones(count)])
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    return float(found[0]), found[1:]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("cities", type=Path, nargs="+", help="folders of planted_faults.py")
    values, bad = read(parser.parse_args().cities)
    half = halves(values, bad)
    signs = np.array(
        [[saturated(row[name], half[name]) for name in SIGNS] for row in values.to_dict("records")]
    )
    base, weights = fit(signs, bad)
    print(f"{len(bad)} tiles, {int(bad.sum())} of them bad\nBASE = {base:.2f}")
    for name, weight in zip(SIGNS, weights, strict=True):
        print(f'    "{name}": Sign("{SIGNS[name].words}", {weight:.2f}, {half[name]:g}),')
    order = np.argsort(-(signs @ weights), kind="stable")
    tenth = order[: math.ceil(0.1 * len(bad))]
    print(f"{int(bad[tenth].sum())} of the bad ones in the doubted tenth of all of them")


if __name__ == "__main__":
    main()
