"""The console stays readable for thousands of sheets, and free of TensorFlow's chatter."""

from __future__ import annotations

import logging
import subprocess
from pathlib import Path

import pytest
from snakemake_interface_logger_plugins.common import LogEvent

from planning.console import HEAD, TAIL, few, shorten, shortened
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
    error = logging.makeLogRecord({"event": LogEvent.JOB_ERROR, "input": NAMES, "output": ["a"]})
    assert shorten(info) and shorten(error) and shorten(logging.makeLogRecord({"msg": "x"}))
    assert info.__dict__["reason"] == f"Updated input files: {SHORT}; Code"
    assert info.__dict__["input"] == NAMES  # which is not printed
    assert error.__dict__["input"] == [*NAMES[:3], "… and 1997 more"]
    assert error.__dict__["output"] == ["a"]


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
