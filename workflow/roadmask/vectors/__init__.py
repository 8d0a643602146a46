"""Stage `vectors`: road polygons and a centerline network from the predictions."""

from roadmask.vectors.command import add_arguments, run

__all__ = ["add_arguments", "run"]
