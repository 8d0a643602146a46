"""The tool behind `make env`: it neither makes an environment twice nor destroys a foreign one."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]


STAND_IN = """#!/usr/bin/env bash
case "$1" in
  -c) echo "$0" ;;
  --version) echo "Python 3.12.0" ;;
  *) echo "asked for: $*"; exit 3 ;;
esac
"""


def make_env(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the tool with a Python that makes no environment, so that nothing is installed."""
    python = folder.parent / "stand_in_python"
    python.write_text(STAND_IN)
    python.chmod(0o755)
    return subprocess.run(
        ["bash", REPOSITORY / "workflow/tools/make_env.sh"],
        env=os.environ | {"VENV": str(folder), "PYTHON": str(python)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_same_lock_of_a_newer_checkout_is_made_once(tmp_path: Path) -> None:
    folder = tmp_path / "venv"
    folder.mkdir()
    shutil.copy(REPOSITORY / "requirements.lock", folder / ".made-from")
    os.utime(folder / ".made-from", (0, 0))
    (folder / "own").write_text("kept")
    done = make_env(folder)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (folder / "own").read_text() == "kept"


def test_a_foreign_environment_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "venv"
    folder.mkdir()
    (folder / "own").write_text("kept")
    done = make_env(folder)
    assert done.returncode == 1
    assert "was not made by `make env`" in done.stderr
    assert (folder / "own").read_text() == "kept"


def test_an_environment_of_another_lock_is_made_anew(tmp_path: Path) -> None:
    folder = tmp_path / "venv"
    folder.mkdir()
    (folder / ".made-from").write_text("numpy==1.0\n")
    (folder / "own").write_text("old")
    done = make_env(folder)
    assert "made anew" in done.stdout
    assert f"asked for: -m venv {folder}" in done.stdout
    assert done.returncode == 3
    assert not (folder / "own").exists()
