"""Finds the real QGIS and has it open projects; the tests that need it are skipped without."""

from __future__ import annotations

import functools
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

# Debian's bindings are for Debian's Python, not for the one that the tests run in.
PYTHON = Path("/usr/bin/python3")
SCRIPT = Path(__file__).with_name("qgis_look.py")
TIMEOUT = 120


@functools.cache
def has_qgis() -> bool:
    """Tell whether QGIS's Python bindings are installed."""
    if not PYTHON.exists():
        return False
    done = subprocess.run(
        [str(PYTHON), "-c", "import qgis.core"],
        capture_output=True,
        check=False,
        env=_environment(),
    )
    return done.returncode == 0


def look(project: Path, output: Path, *arguments: str) -> dict[str, Any]:
    """Open a project in QGIS, headless; return what it tells, see `qgis_look.py`.

    Parameters
    ----------
    project
        The ``.qgz`` file.
    output
        A folder for the PNGs, and for what QGIS keeps of its own.
    arguments
        Further ones of the script.
    """
    if not has_qgis():
        pytest.skip("no QGIS: apt-get install --no-install-recommends qgis python3-qgis")
    output.mkdir(exist_ok=True)
    done = subprocess.run(
        [str(PYTHON), str(SCRIPT), str(project), str(output), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT,
        env=_environment() | {"HOME": str(output), "XDG_RUNTIME_DIR": str(output)},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def _environment() -> dict[str, str]:
    # What points this Python to its packages and data would mislead the other one.
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
