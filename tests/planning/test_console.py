"""The console stays readable for thousands of sheets, and free of TensorFlow's chatter."""

from __future__ import annotations

import logging
import subprocess
from pathlib import Path

import pytest
from snakemake_interface_logger_plugins.common import LogEvent

from planning.console import HEAD, TAIL, few, last_error, plain, shorten, shortened
from planning.shell import job_prefix

NAMES = [f"results/masks/sheet_{number}.tif" for number in range(2000)]
SHORT = "results/masks/sheet_0.tif, results/masks/sheet_1.tif, results/masks/sheet_2.tif"


@pytest.mark.parametrize(
    "start", ["Updated input files", "Input files updated by another job", "Missing output files"]
)
def test_few_files_are_named_as_reason(start: str) -> None:
    assert shortened(f"{start}: {', '.join(NAMES)}") == f"{start}: {SHORT}, … and 1997 more"


def test_what_changed_stays_whole() -> None:
    reason = "Params have changed since last execution: before: '--tiles.size=256' now: '--b'"
    assert shortened(reason) == reason
    long = f"{reason} {' '.join(NAMES)} the end"
    assert shortened(long).startswith(reason)
    assert shortened(long).endswith("the end")
    assert len(shortened(long)) == HEAD + TAIL + 3


def test_a_single_name_is_not_counted() -> None:
    assert few(list("abcd")) == list("abcd")
    assert few(list("abcde")) == ["a", "b", "c", "… and 2 more"]


def test_records_are_kept_and_shortened() -> None:
    info = logging.makeLogRecord(
        {
            "event": LogEvent.JOB_INFO,
            "input": NAMES,
            "reason": f"Updated input files: {SHORT}; Code",
        }
    )
    error = logging.makeLogRecord(
        {"event": LogEvent.JOB_ERROR, "input": NAMES, "output": ["a"], "shellcmd": "x" * 9999}
    )
    assert shorten(info) and shorten(error) and shorten(logging.makeLogRecord({"msg": "x"}))
    assert info.__dict__["reason"] == f"Updated input files: {SHORT}; Code"
    assert info.__dict__["input"] == NAMES  # which is not printed
    assert error.__dict__["input"] == [*NAMES[:3], "… and 1997 more"]
    assert error.__dict__["output"] == ["a"]
    assert len(error.__dict__["shellcmd"]) == HEAD + TAIL + 3


LOG = """\
2026-11-22 05:11:18,480 INFO roadmask.masks: a.tif: ERROR roadmask: error: no such line
2026-11-22 05:11:18,485 DEBUG roadmask: traceback
Traceback (most recent call last):
  File "raster.py", line 121, in raster_labels
rasterio.errors.RasterioIOError: Read Error
2026-11-22 05:11:18,487 ERROR roadmask: error: m/b.png: unreadable
(Read Error). Fetch it again
"""


def test_a_failed_job_says_what_is_wrong_without_a_traceback(tmp_path: Path) -> None:
    log = tmp_path / "b.log"
    log.write_text("2" * 70_000 + "\n" + LOG, encoding="utf-8")
    missing = str(tmp_path / "gone.log")
    assert last_error([missing, str(log)]) == (
        "error: m/b.png: unreadable\n(Read Error). Fetch it again"
    )
    log.write_text(LOG.partition("2026-11-22 05:11:18,487")[0], encoding="utf-8")
    for silent in ([str(log)], [missing], []):
        assert last_error(silent).startswith("its log holds no error")


def test_errors_say_what_is_wrong_and_not_where_in_the_code() -> None:
    problems = "tiles.sise: there is no such key.\nsplit.block: too large"
    places = '\n  File "/x/Snakefile", line 21, in <module>\n  File "/x/y.py", line 7, in load'
    assert plain(f'PlanningError in file "/x/Snakefile", line 21:\n{problems}{places}') == problems
    nested = 'InputFunctionException in rule a in file "b.smk", line 8:\nError:\n'
    tail = '\nWildcards:\n  scene=x\nTraceback:\n  File "c.smk", line 1, in y (rule a)'
    assert plain(f"{nested}  PlanningError:\n    one\n    two{tail}") == "one\ntwo"
    other = f"{nested}  KeyError: x{tail}"
    assert plain(other) == other
    failed = "RuleException:\nCalledProcessError in file 'a.smk', line 4:\nCommand 'set -e; it's' "
    assert plain(f"{failed}died with <Signals.SIGKILL: 9>.").endswith(
        "line 4:\nThe command died with <Signals.SIGKILL: 9>."
    )


def test_a_job_keeps_its_messages_and_drops_tensorflows() -> None:
    said = """\
WARNING: All log messages before absl::InitializeLog() is called are written to STDERR
I0000 00:00:1795266724.807422   16790 port.cc:153] oneDNN custom operations are on.
epoch 1
E0000 00:00:1795263898.2 21848 util.cc:131] oneDNN supports DT_UINT8 only on platforms with AVX-512.
E0000 00:00:1795263898.2 21848 cuda.cc:1] no memory
W0000 00:00:1795263898.2 21848 cuda.cc:1] slow
error: a.tif: it is no picture"""
    prefix = job_prefix(Path("workflow"), own_python=True).format()
    done = subprocess.run(
        ["bash", "-c", f'{prefix}bash -c \'echo out; echo "$0" >&2; exit 3\' "$1"', "", said],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    assert done.stdout == "out\n"
    assert done.stderr.splitlines() == [said.splitlines()[line] for line in (2, 4, 5, 6)]
