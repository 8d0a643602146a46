"""The command ``demo``."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from roadmask.errors import SettingError

log = logging.getLogger("roadmask.demo")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--output", type=Path, required=True, help="folder, such as data/demo")
    parser.add_argument("--demo.seed", dest="seed", type=int, required=True, help="which city")
    parser.add_argument(
        "--demo.broken_lines",
        dest="broken_lines",
        type=float,
        required=True,
        help="share of the street lines that get a gap of 2 to 25 ft",
    )


def run(arguments: argparse.Namespace) -> None:
    """Make the city and write it.

    Raises
    ------
    SettingError
        If the seed is negative or the share is none.
    """
    if arguments.seed < 0:
        raise SettingError("demo.seed", f"{arguments.seed} is negative", "Use 0 or more")
    if not 0 <= arguments.broken_lines <= 1:
        raise SettingError(
            "demo.broken_lines", f"{arguments.broken_lines} is no share", "Use 0 to 1"
        )
    # Planning imports this package for its constants: the libraries stay out until a job runs.
    from roadmask.demo.city import make_city  # noqa: PLC0415

    make_city(arguments.output, arguments.seed, arguments.broken_lines)
