"""Fixtures that all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from roadmask.__main__ import prepare_process

REPOSITORY = Path(__file__).resolve().parent.parent
REAL_DATA = Path(os.environ.get("ROADMASK_DATA", REPOSITORY.parent / "shared" / "data"))

# As in every job, before any library reads them.
prepare_process()


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data, which the public does not have."""
    if not REAL_DATA.is_dir():
        pytest.skip(f"no real data at {REAL_DATA}; name its folder in ROADMASK_DATA")
    return REAL_DATA


@pytest.fixture(scope="session")
def repository() -> Path:
    """The top folder of this checkout."""
    return REPOSITORY
