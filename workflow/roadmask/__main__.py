"""The command line: ``python -m roadmask STAGE …``, one stage a process."""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import sys
from pathlib import Path

from roadmask.errors import RoadmaskError
from roadmask.processes import end_with_parent

# A command's name and the module that holds its `add_arguments` and `run`.
COMMANDS = {
    "demo": "roadmask.demo",
    "scenes": "roadmask.scenes",
    "tone": "roadmask.tone.command",
    "flight": "roadmask.tone.flight",
    "tiles": "roadmask.tiles",
    "cut": "roadmask.cut",
    "lines": "roadmask.lines",
    "masks": "roadmask.masks",
    "mosaic": "roadmask.mosaic",
    "learn-looks": "roadmask.looks.learning",
    "see-looks": "roadmask.looks.seeing",
    "measure": "roadmask.quality.command",
    "offsets": "roadmask.quality.offsets",
    "selection": "roadmask.selection",
    "score": "roadmask.quality.reference",
    "selection-summary": "roadmask.selection_summary",
    "review": "roadmask.review",
    "dataset": "roadmask.dataset",
    "model": "roadmask.model",
    "exports": "roadmask.model.exports",
    "neighbours": "roadmask.predictions.neighbours",
    "predictions": "roadmask.predictions",
    "classes": "roadmask.predictions.classes",
    "evaluation": "roadmask.evaluation",
    "vectors": "roadmask.vectors",
    "score-vectors": "roadmask.vectors.score",
    "join-pieces": "roadmask.project.pieces",
    "project": "roadmask.project",
    "changes": "roadmask.changes",
    "report": "roadmask.report",
}

log = logging.getLogger("roadmask")

# Scenes' names go to commands over all scenes once, and their paths as patterns: a city's
# paths written out are longer than a shell takes as one command.
SCENE_FIELDS = {"--scenes=": "{scene}", "--mapped-scenes=": "{mapped}"}


def main(argv: list[str] | None = None) -> int:
    """Run one stage.

    Parameters
    ----------
    argv
        The command's name and its arguments; those of the process by default.

    Returns
    -------
    int
        0, or 1 where the input or a setting can't be used, which is printed as one message.
    """
    prepare_process()
    arguments_text = expand_scenes(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(prog="python -m roadmask", description=__doc__)
    subparsers = parser.add_subparsers(dest="command", required=True)
    command = arguments_text[0] if arguments_text else ""
    for name, module_name in COMMANDS.items():
        # Only the stage asked for is imported: some pull TensorFlow, which takes seconds.
        module = importlib.import_module(module_name) if name == command else None
        subparser = subparsers.add_parser(name, help=module.__doc__ if module else None)
        if module is not None:
            subparser.add_argument(
                "--log", type=Path, help="also write a log file, with tracebacks"
            )
            module.add_arguments(subparser)
            subparser.set_defaults(run=module.run)
    arguments = parser.parse_args(arguments_text)
    start_logging(arguments.log)
    try:
        arguments.run(arguments)
    except RoadmaskError as error:
        # The message comes last in the log, where Snakemake's excerpt shows it.
        log.debug("traceback", exc_info=True)
        log.error("error: %s", error)  # noqa: TRY400 (the traceback is in the log file above)
        return 1
    except Exception as error:
        log.debug("traceback", exc_info=True)
        log.error("error in the program, not in its input: %r", error)  # noqa: TRY400
        return 1
    return 0


def expand_scenes(argv: list[str]) -> list[str]:
    """Write out arguments that stand for one path of each scene.

    Parameters
    ----------
    argv
        Arguments, among them perhaps ``--scenes=a/b/c`` and ``--mapped-scenes=d/e``.

    Returns
    -------
    list of str
        With one of these, every argument that holds its field, ``{scene}`` or ``{mapped}``,
        becomes one for each name, and the option itself is gone. Without them, `argv`.
    """
    for option, field in SCENE_FIELDS.items():
        names = [
            name
            for argument in argv
            if argument.startswith(option)
            for name in argument.removeprefix(option).split("/")
        ]
        if names:
            argv = [
                argument.replace(field, name)
                for argument in argv
                if not argument.startswith(option)
                for name in (names if field in argument else names[:1])
            ]
    return argv


def prepare_process() -> None:
    """Shut out what the caller's shell says about PROJ and GDAL, and die with the parent."""
    # Each wheel carries its own PROJ and GDAL data; another installation's breaks them.
    for variable in ("PROJ_DATA", "PROJ_LIB", "GDAL_DATA", "GDAL_DRIVER_PATH"):
        os.environ.pop(variable, None)
    # GeoPackages and shapefiles carry the time of writing unless told another.
    os.environ.setdefault("OGR_CURRENT_DATE", "2000-01-01T00:00:00.000Z")
    end_with_parent()


def start_logging(path: Path | None) -> None:
    """Send progress to the terminal and, with tracebacks, to the log file.

    Parameters
    ----------
    path
        The log file, or None for the terminal alone.
    """
    log.setLevel(logging.DEBUG)
    log.handlers.clear()
    terminal = logging.StreamHandler()
    terminal.setLevel(logging.INFO)
    terminal.setFormatter(_ForTerminal())
    log.addHandler(terminal)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = logging.FileHandler(path, mode="w", encoding="utf-8")
        file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        log.addHandler(file)
        # What libraries log (rasterio, glymur, TensorFlow) belongs in the file too.
        root = logging.getLogger()
        root.addHandler(file)
        log.propagate = False
        logging.captureWarnings(True)


class _ForTerminal(logging.Formatter):
    """Formats a record by its message alone; the log file has the traceback."""

    def format(self, record: logging.LogRecord) -> str:
        mark = "warning: " if record.levelno == logging.WARNING else ""
        return mark + record.getMessage()


if __name__ == "__main__":
    sys.exit(main())
