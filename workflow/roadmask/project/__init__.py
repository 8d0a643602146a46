"""Stage `project`: a QGIS project over all results, written without QGIS."""

from roadmask.project.command import add_arguments, run

__all__ = ["add_arguments", "run"]
