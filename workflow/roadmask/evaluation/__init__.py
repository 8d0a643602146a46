"""Stage `evaluation`: predictions and masks, scored on ground that training never saw."""

from roadmask.evaluation.command import add_arguments, run

__all__ = ["add_arguments", "run"]
