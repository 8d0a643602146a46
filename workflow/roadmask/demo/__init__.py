"""The demo city: sheets, street map and truth, made from a seed."""

from roadmask.demo.command import add_arguments, run

__all__ = ["add_arguments", "run"]
