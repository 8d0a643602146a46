"""Where map and picture disagree: roads that only one of the two has."""

from roadmask.changes.command import add_arguments, run

__all__ = ["add_arguments", "run"]
