"""Stage `masks`: the label of each scene, by one of four methods."""

from roadmask.masks.command import add_arguments, run

__all__ = ["add_arguments", "run"]
