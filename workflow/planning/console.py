"""What a run says on the console, kept short enough to be read for thousands of sheets."""

from __future__ import annotations

import logging
import re
import textwrap
from collections.abc import Iterable
from pathlib import Path

from snakemake_interface_logger_plugins.common import LogEvent

# How many names of files are written out, and how long another reason may be.
NAMES = 3
HEAD, TAIL = 350, 200
FILES = re.compile(r"[A-Z][\w ]+(?:files|another job): ")
# How `roadmask` writes what ends a job into its log, and how many bytes of it are read.
ENDED = re.compile(r"^[-\d]+ [:,\d]+ ERROR roadmask: (?=error)", re.MULTILINE)
LOG_END = 2**16
# What Snakemake writes around a `PlanningError`: where in the code it was raised.
RAISED_AT = re.compile(r'\n  File "[^\n]*", line \d+, in [^\n]*')
IN_FILE = re.compile(r'PlanningError in file "[^\n]*", line \d+:\n')
IN_FUNCTION = re.compile(
    r"InputFunctionException [^\n]*:\nError:\n  PlanningError:\n(.*)\nWildcards:.*", re.DOTALL
)
# A job's command as Snakemake repeats it, with all that stands before it.
COMMAND = re.compile(r"Command '.*' (?=returned |died )", re.DOTALL)


def shorten(record: logging.LogRecord) -> bool:
    """Leave out of a record what hides what it says; a filter of Snakemake's log.

    The reason of a job and the files of one that failed are shortened; of errors there is left
    what is wrong and what to do.

    Returns
    -------
    bool
        True: every record is kept.
    """
    reason = getattr(record, "reason", None)
    if isinstance(reason, str):
        record.reason = "; ".join(map(shortened, reason.split("; ")))
    event = getattr(record, "event", None)
    if event == LogEvent.JOB_ERROR:
        for name in ("input", "output"):
            files = getattr(record, name, None)
            if files:
                setattr(record, name, few(list(files)))
        command = getattr(record, "shellcmd", None)
        if isinstance(command, str):
            record.shellcmd = without_middle(command)
        record.rule_msg = last_error(getattr(record, "log", None) or ())
    elif event == LogEvent.ERROR and isinstance(record.msg, str):
        record.msg = plain(record.msg)
    return True


def last_error(logs: Iterable[str]) -> str:
    """Return what ended a job, as its logs say, without the traceback before it."""
    for path in map(Path, logs):
        try:
            with path.open("rb") as file:
                file.seek(max(0, path.stat().st_size - LOG_END))
                text = file.read().decode(errors="replace")
        except OSError:
            continue
        *_, message = ENDED.split(text)
        if message != text:
            return message.strip()
    return "its log holds no error: it was killed, as for want of memory, or never began"


def plain(message: str) -> str:
    """Return an error of Snakemake's without what is of no use to who has to mend it.

    Of a `PlanningError` its own words are left, of a failed command how it ended.
    """
    if IN_FILE.match(message):
        return RAISED_AT.sub("", IN_FILE.sub("", message, count=1))
    in_function = IN_FUNCTION.fullmatch(message)
    if in_function is not None:
        return textwrap.dedent(in_function[1])
    return COMMAND.sub("The command ", message)


def shortened(reason: str) -> str:
    """Return one reason with few names of files, and without the middle of a long one."""
    names = FILES.match(reason)
    if names is not None:
        return names[0] + ", ".join(few(reason[names.end() :].split(", ")))
    return without_middle(reason)


def without_middle(text: str) -> str:
    """Return the head and the tail of a long text."""
    return text if len(text) <= HEAD + TAIL else f"{text[:HEAD]} … {text[-TAIL:]}"


def few(names: list[str]) -> list[str]:
    """Return the first names, and how many more there are."""
    more = len(names) - NAMES
    return names if more <= 1 else [*names[:NAMES], f"… and {more} more"]
