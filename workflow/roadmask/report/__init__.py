"""Stage `report`: one page that says what was made, how good it is, and shows it."""

from roadmask.report.command import add_arguments, run

__all__ = ["add_arguments", "run"]
