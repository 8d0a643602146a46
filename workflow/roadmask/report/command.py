"""The command of stage `report`."""

from __future__ import annotations

import argparse
import logging
import re
from pathlib import Path

from roadmask.errors import SettingError
from roadmask.files import write_text
from roadmask.raster import environment
from roadmask.report.page import render
from roadmask.report.reading import Paths, read_sources

log = logging.getLogger("roadmask.report")

# Keys whose values are files or folders.
PATHS = re.compile(r"(^results|\.paths?|\.review|^prediction\.model)$")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``python -m roadmask report``.

    Scenes are given by name and not as files: thousands of paths would not fit into one
    command.
    """
    parser.add_argument("--results", type=Path, required=True, help="the results folder")
    parser.add_argument("--output", type=Path, required=True, help="the HTML page")
    parser.add_argument(
        "--predicted", nargs="+", required=True, metavar="SCENE", help="scenes with a prediction"
    )
    parser.add_argument(
        "--labelled", nargs="*", default=[], metavar="SCENE", help="scenes with a mask"
    )
    parser.add_argument(
        "--model",
        dest="models",
        type=Path,
        nargs="+",
        required=True,
        help="the .keras files that predicted",
    )
    parser.add_argument("--history", type=Path, help="history.csv, where the model was trained")
    parser.add_argument("--selection", type=Path, help="summary.json of stage selection")
    parser.add_argument("--dataset", type=Path, help="dataset.json; split.gpkg lies beside it")
    parser.add_argument("--evaluation", type=Path, help="metrics.json; tiles.csv lies beside it")
    parser.add_argument("--vectors", type=Path, help="vectors.json of stage vectors")
    parser.add_argument("--network", type=Path, help="network.json of stage vectors")
    parser.add_argument(
        "--changes", type=Path, help="summary.json of stage changes; changes.gpkg lies beside it"
    )
    parser.add_argument(
        "--setting",
        dest="settings",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a setting of the run, to be shown",
    )


def run(arguments: argparse.Namespace) -> None:
    """Write the page."""
    paths = Paths(
        results=arguments.results,
        predicted=tuple(sorted(arguments.predicted)),
        labelled=tuple(sorted(arguments.labelled)),
        models=tuple(arguments.models),
        history=arguments.history,
        selection=arguments.selection,
        dataset=arguments.dataset,
        evaluation=arguments.evaluation,
        vectors=arguments.vectors,
        network=arguments.network,
        changes=arguments.changes,
    )
    settings = parse_settings(arguments.settings)
    with environment():
        page = render(read_sources(paths), settings)
    write_text(arguments.output, page)
    log.info("%s: %.1f MB", arguments.output, arguments.output.stat().st_size / 1e6)


def parse_settings(texts: list[str]) -> dict[str, str]:
    """Read ``key=value``, in the order given.

    A path is shortened to its last part: a page that is passed on should not tell where
    its maker keeps files, and should be the same wherever they lie.

    Raises
    ------
    SettingError
        If a text holds no ``=``.
    """
    settings = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise SettingError("--setting", f"{text!r} has no =", "Write KEY=VALUE")
        settings[key] = shortened(value) if PATHS.search(key) else value
    return settings


def shortened(paths: str) -> str:
    """Return the last parts of one path or of several with commas between."""
    return ", ".join(path.rstrip("/").rpartition("/")[2] for path in paths.split(","))
