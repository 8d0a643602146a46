"""One page on which a person goes through the doubtful tiles, worst first."""

from roadmask.review.command import add_arguments, run

__all__ = ["add_arguments", "run"]
