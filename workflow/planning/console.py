"""What a run says on the console, kept short enough to be read for thousands of sheets."""

from __future__ import annotations

import logging
import re

from snakemake_interface_logger_plugins.common import LogEvent

# How many names of files are written out, and how long another reason may be.
NAMES = 3
HEAD, TAIL = 350, 200
FILES = re.compile(r"[A-Z][\w ]+(?:files|another job): ")


def shorten(record: logging.LogRecord) -> bool:
    """Shorten the reason of a job, and the files of one that failed; a filter of Snakemake's log.

    Returns
    -------
    bool
        True: every record is kept.
    """
    reason = getattr(record, "reason", None)
    if isinstance(reason, str):
        record.reason = "; ".join(map(shortened, reason.split("; ")))
    if getattr(record, "event", None) == LogEvent.JOB_ERROR:
        for name in ("input", "output"):
            files = getattr(record, name, None)
            if files:
                setattr(record, name, few(list(files)))
    return True


def shortened(reason: str) -> str:
    """Return one reason with few names of files, and without the middle of a long one."""
    names = FILES.match(reason)
    if names is not None:
        return names[0] + ", ".join(few(reason[names.end() :].split(", ")))
    if len(reason) <= HEAD + TAIL:
        return reason
    return f"{reason[:HEAD]} … {reason[-TAIL:]}"


def few(names: list[str]) -> list[str]:
    """Return the first names, and how many more there are."""
    more = len(names) - NAMES
    return names if more <= 1 else [*names[:NAMES], f"… and {more} more"]
