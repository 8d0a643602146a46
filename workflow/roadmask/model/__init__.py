"""Stage `model`: a network learns the labels from the tiles."""

from roadmask.model.command import add_arguments, run

__all__ = ["add_arguments", "run"]
