"""Fit the weights of the doubt's signs to tables of `planted_faults.py`.

Logistic regression on the signs, each brought to 0..1 by `saturated`, with weights that can't
be negative and are held near those that are in use, so that kinds of faults that are not
planted this time keep their say. A sign's half is a high quantile of what good labels show: it
speaks where it is unusual. The doubt of the tiles beside one follows from the other weights:
both are fitted in turn. Prints the table for `quality/doubt.py`, and how many bad tiles the
doubted tenth holds where each city is judged by weights fitted to the others alone, which know
nothing of those in use.

    python benchmarks/fit_doubt.py FOLDER/demo_51_0.1 FOLDER/demo_52_0.1
"""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow"))

from roadmask.quality.columns import Evidence, PieceSums, Shares
from roadmask.quality.doubt import SIGNS, readings, saturated
from roadmask.quality.reference import GOOD

Values = NDArray[np.float64]

# Where the tiles beside one lie.
ASIDE = ((0, 1), (1, 0), (0, -1), (-1, 0))
# What good labels stay below nearly always, and the least that a half may be.
USUAL, LEAST_HALF = 0.97, 0.05
# The same for those that are metres by a share, for slivers, by what is left of them, and for
# what no city teaches.
LEAST_OF = {"cut": 250.0, "sliver": 2.0, "sheet_off": 0.1}
# Where most tiles that show as much are bad: of those that hold little road many good ones do.
HALF_OF = {"looks": 0.08, "false": 0.06, "lost": 0.05}
# The pull of the weights to those in use, and the most that a weight may be.
PULL, MOST = 0.5, 8.0


BESIDE, BESIDE_HALF = "beside", 0.3
TURNS = 4
# What is doubted most is this share of the tiles.
TENTH = 0.1


@dataclass(frozen=True)
class Tiles:
    """The tiles of some spoiled cities.

    Attributes
    ----------
    values
        The readings, a row a tile.
    bad
        Whether its label is bad.
    beside
        ``(tiles, 4)`` numbers of the tiles beside it, its own where there is none.
    """

    values: pd.DataFrame
    bad: NDArray[np.bool_]
    beside: NDArray[np.int64]


def read(paths: list[Path]) -> Tiles:
    """Read tables of tiles."""
    parts = [pd.read_csv(path).assign(path=str(path)) for path in paths]
    table = pd.concat(parts, ignore_index=True)
    kinds = (Shares, Evidence, PieceSums)
    rows = []
    for row in table.to_dict("records"):
        known = [
            kind(**{part.name: row.get(part.name, math.nan) for part in fields(kind)})
            for kind in kinds
        ]
        rows.append(readings(*known))
    scene = table["path"] + table["tile"].str.rsplit("_", n=2).str[0]
    places = zip(scene, table["row"], table["col"], strict=True)
    number = {place: index for index, place in enumerate(places)}
    beside = [
        [number.get((name, row + down, column + right), own) for down, right in ASIDE]
        for (name, row, column), own in number.items()
    ]
    return Tiles(pd.DataFrame(rows), np.asarray(table["reference_iou"] < GOOD), np.asarray(beside))


def halves(values: pd.DataFrame, bad: NDArray[np.bool_]) -> dict[str, float]:
    """Return the value at which each sign speaks half as loud as it can."""
    usual = values[~bad].fillna(0).clip(lower=0).quantile(USUAL)
    found = {
        name: max(round(float(usual[name]), 2), LEAST_OF.get(name, LEAST_HALF)) for name in values
    }
    return found | {BESIDE: BESIDE_HALF} | HALF_OF


def signs_of(values: pd.DataFrame, half: dict[str, float]) -> Values:
    """Return how far each reading speaks against a label, ``(tiles, signs)`` from 0 to 1."""
    return np.array(
        [[saturated(row[name], half[name]) for name in SIGNS] for row in values.to_dict("records")]
    )


def fit_in_turn(tiles: Tiles, half: dict[str, float], used: Values) -> tuple[float, Values, Values]:
    """Fit the weights and the doubt of the tiles beside each in turn.

    Parameters
    ----------
    tiles
        The tiles.
    half
        The value at which each sign speaks half as loud as it can.
    used
        ``(signs,)`` weights to stay near.

    Returns
    -------
    base : float
    weights : numpy.ndarray
        ``(signs,)``.
    doubts : numpy.ndarray
        ``(tiles,)`` logarithms of the odds.
    """
    signs, at = signs_of(tiles.values, half), list(SIGNS).index(BESIDE)
    signs[:, at] = 0
    base, weights = fit(signs, tiles.bad, used)
    for _ in range(TURNS):
        with_beside(signs, at, tiles.beside, base, weights)
        base, weights = fit(signs, tiles.bad, used)
    return base, weights, with_beside(signs, at, tiles.beside, base, weights)


def with_beside(
    signs: Values, at: int, beside: NDArray[np.int64], base: float, weights: Values
) -> Values:
    """Set the sign of the tiles beside each tile, and return the logarithms of the odds."""
    signs[:, at] = 0
    alone = expit(base + signs @ weights)
    highest = np.where(beside == np.arange(len(beside))[:, None], 0, alone[beside]).max(axis=1)
    signs[:, at] = [saturated(value, BESIDE_HALF) for value in highest]
    return base + signs @ weights


def fit(signs: Values, bad: NDArray[np.bool_], used: Values) -> tuple[float, Values]:
    """Return the base and the weights.

    Parameters
    ----------
    signs
        ``(tiles, signs)`` from 0 to 1.
    bad
        ``(tiles,)``.
    used
        ``(signs,)`` weights to stay near.
    """
    count = signs.shape[1]

    def loss(given: Values) -> tuple[float, Values]:
        odds, weights = given[0] + signs @ given[1:], given[1:]
        apart = expit(odds) - bad
        likelihood = np.logaddexp(0, odds) - bad * odds
        slope = np.concatenate([[apart.sum()], signs.T @ apart + 2 * PULL * (weights - used)])
        return float(likelihood.sum() + PULL * ((weights - used) ** 2).sum()), slope

    bounds = [(-10.0, 0.0), *[(0.0, MOST)] * count]
    start = np.concatenate([[-4.0], np.ones(count)])
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    return float(found[0]), found[1:]


def in_tenth(odds: Values, bad: NDArray[np.bool_]) -> int:
    """Count the bad tiles in the tenth that is doubted most."""
    tenth = np.argsort(-odds, kind="stable")[: math.ceil(TENTH * len(odds))]
    return int(bad[tenth].sum())


def held_out(cities: dict[str, list[Path]]) -> pd.DataFrame:
    """Judge each city by weights fitted to the others.

    Parameters
    ----------
    cities
        The tables of each city's spoiled maps; two cities at least.

    Returns
    -------
    pandas.DataFrame
        A row a tile: ``city``, ``plan``, ``odds`` (logarithm) and ``bad``.
    """
    nothing_known = np.ones(len(SIGNS))
    parts = []
    for city, paths in cities.items():
        others = read([path for name in cities if name != city for path in cities[name]])
        half = halves(others.values, others.bad)
        base, weights, _ = fit_in_turn(others, half, nothing_known)
        for path in paths:
            tiles = read([path])
            signs, at = signs_of(tiles.values, half), list(SIGNS).index(BESIDE)
            odds = with_beside(signs, at, tiles.beside, base, weights)
            place = {"city": city, "plan": path.parent.name}
            parts.append(pd.DataFrame({**place, "odds": odds, "bad": tiles.bad}))
    return pd.concat(parts, ignore_index=True)


def tell_held_out(judged: pd.DataFrame) -> None:
    """Print what the doubted tenths hold, map by map and of all maps together."""
    rows = []
    for (_, plan), tiles in judged.groupby(["city", "plan"]):
        bad = tiles["bad"].to_numpy()
        room = min(int(bad.sum()), math.ceil(TENTH * len(bad)))
        rows.append((plan, in_tenth(tiles["odds"].to_numpy(), bad), int(bad.sum()), room))
    maps = pd.DataFrame(rows, columns=["plan", "caught", "bad", "room"])
    print(maps.groupby("plan").sum().to_string())
    caught, bad, room = maps[["caught", "bad", "room"]].sum()
    print(f"held out, each map's tenth: {caught} of {bad} bad tiles, of {room} there is room for")
    caught = in_tenth(judged["odds"].to_numpy(), judged["bad"].to_numpy())
    print(f"held out, the tenth of all {len(judged)} tiles: {caught} of {bad}")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("cities", type=Path, nargs="+", help="folders of planted_faults.py")
    cities = {str(city): sorted(city.glob("*/tiles.csv")) for city in parser.parse_args().cities}
    tiles = read([path for paths in cities.values() for path in paths])
    half = halves(tiles.values, tiles.bad)
    used = np.array([sign.weight for sign in SIGNS.values()])
    base, weights, odds = fit_in_turn(tiles, half, used)
    print(f"{len(tiles.bad)} tiles, {int(tiles.bad.sum())} of them bad\nBASE = {base:.2f}")
    for name, weight in zip(SIGNS, weights, strict=True):
        print(f'    "{name}": Sign("{SIGNS[name].words}", {weight:.2f}, {half[name]:g}),')
    print(f"{in_tenth(odds, tiles.bad)} of the bad ones in the doubted tenth of all of them")
    if len(cities) > 1:
        tell_held_out(held_out(cities))


if __name__ == "__main__":
    main()
