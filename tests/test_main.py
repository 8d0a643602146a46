"""The command line: one message for the user, the traceback in the log, no stale surroundings."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from roadmask.__main__ import COMMANDS, expand_scenes

WORKFLOW = Path(__file__).parent.parent / "workflow"


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "roadmask", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(WORKFLOW), "PATH": os.environ["PATH"]} | variables,
    )


def test_patterns_stand_for_the_path_of_every_scene():
    given = ["dataset", "--scenes=a b/c", "--tiles", "r/{scene}.json", "--threads", "2"]
    expected = ["dataset", "--tiles", "r/a b.json", "r/c.json", "--threads", "2"]
    assert expand_scenes(given) == expected
    assert expand_scenes(["masks", "x/{scene}.tif"]) == ["masks", "x/{scene}.tif"]
    both = [
        "changes",
        "--scenes=a/b",
        "--mapped-scenes=c",
        "--masks",
        "{scene}.tif",
        "{mapped}.tif",
    ]
    assert expand_scenes(both) == ["changes", "--masks", "a.tif", "b.tif", "c.tif"]


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_explains_its_arguments(command):
    done = run(command, "--help")
    assert done.returncode == 0, done.stderr
    assert "--log" in done.stdout


def test_an_error_is_one_message_and_the_log_has_the_traceback(tmp_path):
    log = tmp_path / "logs" / "scene.log"
    missing = tmp_path / "nowhere.jp2"
    done = run(
        "scenes", str(missing), "--output", str(tmp_path / "x.tif"),
        "--imagery.georeference=required", "--log", str(log),
    )  # fmt: skip
    assert done.returncode == 1
    assert "error: " in done.stderr
    assert "nowhere.jp2" in done.stderr
    assert "Traceback" not in done.stderr
    text = log.read_text()
    assert "Traceback" in text
    assert "nowhere.jp2" in text.splitlines()[-1]


def test_a_job_ends_when_its_parent_is_killed(tmp_path):
    """The parent is a shell that waits, so that only the kernel can tell the job."""
    child = (
        "import sys, time; sys.path.insert(0, sys.argv[1]);"
        "from roadmask.__main__ import prepare_process; prepare_process();"
        "print('ready', flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen(
        [
            sys.executable, "-c",
            "import subprocess, sys; p = subprocess.Popen(sys.argv[1:]);"
            "print(p.pid, flush=True); p.wait()",
            sys.executable, "-c", child, str(WORKFLOW),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    lines = {parent.stdout.readline().strip(), parent.stdout.readline().strip()}
    assert "ready" in lines
    (pid,) = (int(line) for line in lines - {"ready"})
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    for _ in range(100):
        if not Path(f"/proc/{pid}").exists() or "Z" in _state(pid):
            return
        time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    pytest.fail("the job outlived its parent")


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return "Z"
