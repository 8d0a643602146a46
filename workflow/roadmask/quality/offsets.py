"""Look at the offsets of all sheets, and warn of those that are too large, or stop."""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from roadmask.distance import Distance, parse_distance
from roadmask.errors import InputError, SettingError
from roadmask.files import write_json

log = logging.getLogger(__name__)

# An offset counts as too large if it is so even this many standard errors nearer.
SURE = 2.0
SHOWN = 20


@dataclass(frozen=True)
class Offsets:
    """How far the labels of the sheets lie off their pictures.

    Attributes
    ----------
    records
        By scene, as stage `measure` wrote it.
    limit
        How far is too far.
    """

    records: dict[str, dict[str, Any]]
    limit: Distance

    def too_far(self) -> list[str]:
        """Return the scenes whose offset is surely above the limit, the farthest first."""
        found = [
            (record["metres"], scene)
            for scene, record in self.records.items()
            if record["shift"] is not None and self._excess(record) > 0
        ]
        return [scene for _, scene in sorted(found, key=lambda item: (-item[0], item[1]))]

    def _excess(self, record: Mapping[str, Any]) -> float:
        surely = record["metres"] - SURE * record["sigma_metres"]
        return float(surely - self.limit.on_ground(record["pixel_metres"]))

    def complaint(self) -> str:
        """Say which sheets lie too far off and what would help; nothing where none does."""
        scenes = self.too_far()
        if not scenes:
            return ""
        listed = ", ".join(f"{scene} by {self._words(scene)}" for scene in scenes[:SHOWN])
        more = f" and {len(scenes) - SHOWN} more" if len(scenes) > SHOWN else ""
        return f"labels lie off their pictures: {listed}{more}"

    def _words(self, scene: str) -> str:
        record = self.records[scene]
        shift = ", ".join(f'"{part}"' for part in record["shift"])
        return f"{record['metres']:.2f} ± {record['sigma_metres']:.2f} m (shift: [{shift}])"


REMEDY = (
    "Add the shift to what labels.shift is now, where all sheets agree on one; take lines of the "
    "pictures' year and CRS; or raise labels.max_shift"
)


def read_offsets(paths: Iterable[Path], limit: Distance) -> Offsets:
    """Read what was found of every sheet.

    Raises
    ------
    InputError
        If a file is not what stage `measure` writes.
    """
    records = {path.stem: read_json(path) for path in paths}
    return Offsets(dict(sorted(records.items())), limit)


def read_json(path: Path) -> dict[str, Any]:
    """Read a file of stage `selection`.

    Raises
    ------
    InputError
        If it can't be read.
    """
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(path, f"it can't be read ({error})", "Remove it and run again") from error
    return content


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``offsets``."""
    parser.add_argument("offsets", type=Path, nargs="+", help="of each sheet, JSON")
    parser.add_argument("--output", type=Path, required=True, help="of all sheets, JSON")
    parser.add_argument("--labels.max_shift", dest="max_shift", required=True, metavar="DISTANCE")
    parser.add_argument(
        "--labels.on_shift", dest="on_shift", choices=("warn", "error"), required=True
    )


def run(arguments: argparse.Namespace) -> None:
    """Write what was found of all sheets.

    Raises
    ------
    SettingError
        If labels lie off their pictures, and that is not just to be warned of.
    """
    limit = parse_distance(arguments.max_shift, "labels.max_shift")
    offsets = read_offsets(arguments.offsets, limit)
    complaint = offsets.complaint()
    if complaint and arguments.on_shift == "error":
        raise SettingError("labels.max_shift", complaint, REMEDY)
    if complaint:
        log.warning("labels.max_shift: %s. %s.", complaint, REMEDY)
    write_json(
        arguments.output,
        {"limit": str(limit), "too_far": offsets.too_far(), "scenes": offsets.records},
    )
