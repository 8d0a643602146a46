"""Every exception that a stage raises on purpose.

The command line prints their message alone; the traceback goes to the log.
"""

from __future__ import annotations

from pathlib import Path


class RoadmaskError(Exception):
    """Base of all errors that are the input's or the setting's, not the program's."""


class InputError(RoadmaskError):
    """A file that can't be used.

    Parameters
    ----------
    path
        The file at fault.
    problem
        What is wrong with it, without the final full stop.
    remedy
        What the user can do, without the final full stop.
    """

    def __init__(self, path: str | Path, problem: str, remedy: str = "") -> None:
        self.path = str(path)
        self.problem = problem
        self.remedy = remedy
        super().__init__(_sentence(self.path, problem, remedy))


class OutOfReachError(InputError):
    """A file of the map that ends before a scene does begin."""


class SettingError(RoadmaskError):
    """A config value that can't be used, named by its dotted key.

    Parameters
    ----------
    key
        The key as it stands in ``config.yaml``, such as ``tiles.size``.
    problem
        What is wrong with its value, without the final full stop.
    remedy
        What to write instead, without the final full stop.
    """

    def __init__(self, key: str, problem: str, remedy: str = "") -> None:
        self.key = key
        self.problem = problem
        self.remedy = remedy
        super().__init__(_sentence(key, problem, remedy))


def _sentence(subject: str, problem: str, remedy: str) -> str:
    return f"{subject}: {problem}. {remedy}." if remedy else f"{subject}: {problem}."
