"""How many planted disagreements of map and picture the stage `changes` finds.

Compares `results/changes/changes.gpkg` with the layer `changes` of `data/demo/planted.gpkg`. A
place is right where it is of a planted street's kind and shares at least half of the smaller
one's ground with it; each street counts once. Everything else that is listed is wrong. The
default run of the demo city must reach a recall of 0.9 at a precision of 0.8.

    python benchmarks/changes.py FOLDER [--results results] [--confidence 0.5]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import geopandas as gpd

RECALL, PRECISION = 0.9, 0.8
SHARED = 0.5


def matches(places: gpd.GeoDataFrame, planted: gpd.GeoDataFrame) -> dict[int, int]:
    """Return the planted street of each place that is right, by their numbers.

    Parameters
    ----------
    places
        With ``place`` and ``kind``, most certain first.
    planted
        With ``id`` and ``kind``.
    """
    found: dict[int, int] = {}
    for place in places.itertuples():
        for street in planted.itertuples():
            if street.kind != place.kind or street.id in found.values():
                continue
            smaller = min(place.geometry.area, street.geometry.area)
            if place.geometry.intersection(street.geometry).area >= SHARED * smaller:
                found[int(place.place)] = int(street.id)
                break
    return found


def main() -> int:
    """Print the figures; 1 where they are too low."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the workflow ran")
    parser.add_argument("--results", default="results")
    parser.add_argument("--confidence", type=float, default=0.0, help="leave out places below")
    arguments = parser.parse_args()
    places = gpd.read_file(
        arguments.folder / arguments.results / "changes" / "changes.gpkg", layer="changes"
    )
    places = places[places["confidence"] >= arguments.confidence]
    planted = gpd.read_file(
        arguments.folder / "data" / "demo" / "planted.gpkg", layer="changes"
    ).to_crs(places.crs)
    right = matches(places, planted)
    for place in places.itertuples():
        street = right.get(int(place.place))
        verdict = "wrong" if street is None else f"planted street {street}"
        print(
            f"{place.confidence:.3f}  {place.kind:<10}  {place.length:6.0f} {place.unit}  {verdict}"
        )
    for street in planted[~planted["id"].isin(right.values())].itertuples():
        print(f"missed: {street.kind} street {street.id}")
    recall = len(right) / len(planted)
    precision = len(right) / len(places) if len(places) else 0.0
    print(f"recall {recall:.2f}, precision {precision:.2f}, of {len(planted)} planted streets")
    return int(recall < RECALL or precision < PRECISION)


if __name__ == "__main__":
    sys.exit(main())
