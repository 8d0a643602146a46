"""The whole demo city, from its seed to its files."""

from __future__ import annotations

import logging
from pathlib import Path

import shapely
from shapely.geometry.base import BaseGeometry

from roadmask.demo import layout
from roadmask.demo.files import write_geopackage, write_shapefile, write_sheet
from roadmask.demo.pavement import Pavement, pave
from roadmask.demo.picture import render
from roadmask.demo.streets import Network, plan_network, sheets_ground
from roadmask.demo.vectors import Feature, Gap, break_lines, centerlines, pavement_edges

log = logging.getLogger("roadmask.demo")


def make_city(folder: Path, seed: int, broken_lines: float) -> None:
    """Make a city and write its sheets, its map and its truth.

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
    pavement = pave(network)
    edges, gaps = break_lines(pavement_edges(network, pavement), broken_lines, seed)
    lines = centerlines(network, seed)

    folder.mkdir(parents=True, exist_ok=True)
    write_shapefile(folder / Path(layout.STREET_LINES.path).name, edges, heights=True)
    write_shapefile(folder / Path(layout.CENTERLINES.path).name, lines, heights=False)
    roads = [Feature(part, {"id": k}) for k, part in enumerate(pavement.roads.geoms, start=1)]
    write_geopackage(folder / Path(layout.TRUTH.path).name, {"roads": roads})
    write_geopackage(folder / Path(layout.PLANTED).name, planted(network, pavement, gaps))
    log.info(
        "map: %d street lines, %d of them broken; %d centerlines", len(edges), len(gaps), len(lines)
    )
    picture = render(network, pavement, seed)
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


def planted(network: Network, pavement: Pavement, gaps: list[Gap]) -> dict[str, list[Feature]]:
    """Collect what was planted to be hard, a layer for each kind.

    Parameters
    ----------
    network : Network
        The axes.
    pavement : Pavement
        The roadbeds.
    gaps : list of Gap
        Where pavement edges are broken.

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
    }
    return {name: features for name, features in layers.items() if features}
