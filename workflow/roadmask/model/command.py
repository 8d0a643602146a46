"""The command ``model``."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from roadmask.model.settings import TrainingSettings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``model``."""
    parser.add_argument("dataset", type=Path, help="dataset.json")
    parser.add_argument("--output", type=Path, required=True, help="model.keras")
    parser.add_argument("--model.architecture", dest="architecture", default="unet")
    for name, default in TrainingSettings().leaves().items():
        parser.add_argument(
            f"--training.{name}",
            dest=f"training.{name}",
            type=_boolean if isinstance(default, bool) else type(default),
            default=default,
            help=f"default {default}",
        )
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return text.lower() == "true"


def run(arguments: argparse.Namespace) -> None:
    """Train a network and write it with its card."""
    settings = TrainingSettings.from_leaves(
        {name: getattr(arguments, f"training.{name}") for name in TrainingSettings().leaves()}
    )
    # TensorFlow's greetings would hide the progress; its errors still come through.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # Its import takes seconds: whoever only reads cards or settings does without.
    from roadmask.model.making import make_model, start_tensorflow  # noqa: PLC0415

    start_tensorflow(arguments.threads, settings.seed)
    make_model(
        arguments.dataset, arguments.output, arguments.architecture, settings, arguments.threads
    )
