"""The whole demo city, from its seed to its files."""

from __future__ import annotations

import logging
from pathlib import Path

import shapely
from shapely.geometry.base import BaseGeometry

from roadmask.demo import layout
from roadmask.demo.changes import Changes, cleared, plan_changes
from roadmask.demo.files import write_geopackage, write_shapefile, write_sheet
from roadmask.demo.pavement import Pavement, pave
from roadmask.demo.picture import render
from roadmask.demo.streets import Network, plan_network, sheets_ground
from roadmask.demo.vectors import Feature, Gap, break_lines, centerlines, pavement_edges

log = logging.getLogger("roadmask.demo")


def make_city(folder: Path, seed: int, broken_lines: float) -> None:
    """Make a city and write its sheets, its map and its truth, which is what the sheets show.

    Parameters
    ----------
    folder : pathlib.Path
        Where the files go, named as in `roadmask.demo.layout`.
    seed : int
        Which city.
    broken_lines : float
        Share of the street lines that get a gap, 0 to 1.
    """
    network = plan_network(seed)
    agreed = pave(network)
    changes = plan_changes(network, agreed, seed)
    shown, mapped = changes.pictured(network), changes.paved_on_map(network)
    pavement, map_pavement = pave(shown, agreed), pave(mapped, agreed)
    edges, gaps = break_lines(pavement_edges(mapped, map_pavement), broken_lines, seed)
    lines = centerlines(changes.drawn_on_map(network), seed)

    folder.mkdir(parents=True, exist_ok=True)
    write_shapefile(folder / Path(layout.STREET_LINES.path).name, edges, heights=True)
    write_shapefile(folder / Path(layout.CENTERLINES.path).name, lines, heights=False)
    roads = [Feature(part, {"id": k}) for k, part in enumerate(pavement.roads.geoms, start=1)]
    write_geopackage(folder / Path(layout.TRUTH.path).name, {"roads": roads})
    write_geopackage(
        folder / Path(layout.PLANTED).name,
        planted(network, map_pavement, gaps, planted_changes(changes, pavement, map_pavement)),
    )
    log.info(
        "map: %d street lines, %d of them broken; %d centerlines", len(edges), len(gaps), len(lines)
    )
    picture = render(shown, pavement, cleared(changes, pavement), seed)
    for sheet in layout.SHEETS:
        top = round((layout.HEIGHT - sheet.south - sheet.height) / layout.PIXEL)
        left = round(sheet.west / layout.PIXEL)
        rows, columns = round(sheet.height / layout.PIXEL), round(sheet.width / layout.PIXEL)
        path = folder / "imagery" / f"{sheet.name}.jp2"
        write_sheet(path, sheet, picture[:, top : top + rows, left : left + columns])
        log.info("sheet: %s", path)
    ground = sheets_ground()
    share = shapely.area(shapely.intersection(pavement.roads, ground)) / ground.area
    log.info("road covers %.1f %% of the sheets", 100 * share)


def planted_changes(changes: Changes, pavement: Pavement, map_pavement: Pavement) -> list[Feature]:
    """Outline the streets on which map and picture disagree.

    Parameters
    ----------
    changes : Changes
        The streets.
    pavement, map_pavement : Pavement
        What the picture shows, and what the map has.

    Returns
    -------
    list of Feature
        Polygons with the kind, the name on the map (empty where it has none) and the width.
    """
    both = shapely.union(pavement.roads, map_pavement.roads)
    common = shapely.intersection(pavement.roads, map_pavement.roads)
    found = []
    for kind, roads, has, lacks in (
        ("demolished", changes.demolished, map_pavement.roads, pavement.roads),
        ("new", changes.new, pavement.roads, map_pavement.roads),
    ):
        for road in roads:
            # Wider than the road: its rounded corners belong to it.
            near = road.line.buffer(road.width, cap_style="square")
            found.append((kind, road, shapely.difference(has, lacks).intersection(near)))
    for road in changes.paper:
        strip = road.line.buffer(road.width / 2, cap_style="flat")
        found.append(("paper", road, strip.difference(both)))
    return [
        Feature(
            ground,
            {
                "id": k,
                "kind": kind,
                "name": "" if kind == "new" else road.name,
                "width_ft": float(road.width),
                "length_ft": round(float(road.line.difference(common).length), 3),
            },
        )
        for k, (kind, road, ground) in enumerate(found, start=1)
    ]


def planted(
    network: Network, pavement: Pavement, gaps: list[Gap], changes: list[Feature]
) -> dict[str, list[Feature]]:
    """Collect what was planted to be hard, a layer for each kind.

    Parameters
    ----------
    network : Network
        The axes on which map and picture agree.
    pavement : Pavement
        The map's roadbeds.
    gaps : list of Gap
        Where pavement edges are broken.
    changes : list of Feature
        Where map and picture disagree.

    Returns
    -------
    dict
        Features by layer; a kind without any is left out.
    """

    def layer(geometries: list[BaseGeometry] | tuple[BaseGeometry, ...]) -> list[Feature]:
        return [Feature(geometry, {"id": k}) for k, geometry in enumerate(geometries, start=1)]

    ends = [road for road in network.roads if road.open_start or road.open_end]
    layers = {
        "paper_streets": layer(network.paper_streets),
        "tunnels": layer(network.tunnels),
        "ferries": layer(network.ferries),
        "footpaths": layer(network.footpaths),
        "gaps": [
            Feature(gap.line, {"id": k, "width_ft": round(gap.width, 3)})
            for k, gap in enumerate(gaps, start=1)
        ],
        "medians": layer(pavement.medians),
        "islands": layer(pavement.islands),
        "alleys": layer(list(pavement.alleys.geoms)),
        "dead_ends": [
            Feature(road.line, {"id": k, "name": road.name}) for k, road in enumerate(ends, start=1)
        ],
        "crossing_levels": layer(
            [
                part
                for part in shapely.get_parts(pavement.low.intersection(pavement.high))
                if part.geom_type == "Polygon"
            ]
        ),
        "upper_roadbeds": layer(list(pavement.high.geoms)),
        "changes": changes,
    }
    return {name: features for name, features in layers.items() if features}
