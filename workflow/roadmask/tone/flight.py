"""Stage `flight`: mean and deviation of the scenes of one flight together."""

from __future__ import annotations

import argparse
import json
import logging
from dataclasses import dataclass
from pathlib import Path

from roadmask.errors import InputError
from roadmask.files import write_json
from roadmask.tone.counts import joined

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Flight:
    """Scenes that one camera took in one light.

    Attributes
    ----------
    name
        For messages: the file's.
    scenes
        Their names.
    pixels
        How many pixels with a picture they have.
    moments
        Mean and standard deviation of each band over these, in levels of 0 to 255.
    """

    name: str
    scenes: tuple[str, ...]
    pixels: int
    moments: tuple[tuple[float, float], ...]

    @classmethod
    def read(cls, path: Path) -> Flight:
        """Read what the command wrote.

        Raises
        ------
        InputError
            If it is missing or damaged.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            return cls(
                name=path.stem,
                scenes=tuple(str(name) for name in content["scenes"]),
                pixels=int(content["pixels"]),
                moments=tuple(
                    (float(mean), float(deviation))
                    for mean, deviation in zip(content["mean"], content["deviation"], strict=True)
                ),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                path, f"it can't be read ({error!r})", "Remove it and run again"
            ) from error


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``python -m roadmask flight``."""
    parser.add_argument("tones", type=Path, nargs="+", help="the scenes' counts, JSON")
    parser.add_argument("--output", type=Path, required=True, help="JSON")


def run(arguments: argparse.Namespace) -> None:
    """Join the counts of all scenes of a flight."""
    tone = joined(arguments.tones)
    moments = tone.moments()
    write_json(
        arguments.output,
        {
            "scenes": sorted(path.stem for path in arguments.tones),
            "pixels": tone.pixels,
            "mean": [mean for mean, _ in moments],
            "deviation": [deviation for _, deviation in moments],
        },
    )
    log.info("%d scenes with %d pixels", len(arguments.tones), tone.pixels)
