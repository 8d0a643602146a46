"""The command ``model``."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from roadmask.model.network_settings import NetworkSettings
from roadmask.model.settings import TrainingSettings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``model``."""
    parser.add_argument("dataset", type=Path, help="dataset.json")
    parser.add_argument("--output", type=Path, required=True, help="model.keras")
    parser.add_argument("--model.architecture", dest="architecture", default="unet")
    parser.add_argument(
        "--model.backbone", dest="backbone", help="encoder, where there is a choice"
    )
    parser.add_argument("--model.output_stride", dest="output_stride", type=int)
    parser.add_argument(
        "--model.weights", dest="weights", help="auto, imagenet or a file; default: random numbers"
    )
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
    network = NetworkSettings(
        arguments.architecture, arguments.backbone, arguments.output_stride, arguments.weights
    )
    # TensorFlow's greetings would hide the progress; its errors still come through.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    # Its import takes seconds: whoever only reads cards or settings does without.
    from roadmask.model.making import make_model, start_tensorflow  # noqa: PLC0415

    start_tensorflow(arguments.threads, settings.seed)
    make_model(arguments.dataset, arguments.output, network, settings, arguments.threads)
