"""Stage `dataset`: split the ground, and write TFRecords that carry their place on it."""

from roadmask.dataset.command import add_arguments, run

__all__ = ["add_arguments", "run"]
