"""Stage `predictions`: class and probability rasters on the scenes' own grids."""

from roadmask.predictions.command import add_arguments, run

__all__ = ["add_arguments", "run"]
