"""Fixtures that all tests share."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from roadmask.__main__ import prepare_process

REPOSITORY = Path(__file__).resolve().parent.parent
REAL_DATA = Path(os.environ.get("ROADMASK_DATA", REPOSITORY.parent / "shared" / "data"))

# The same examples every time, so that a commit's tests don't hang on luck. New ones are
# searched with HYPOTHESIS_PROFILE=search.
settings.register_profile(
    "same",
    derandomize=True,
    deadline=None,
    database=None,
    # How long drawing examples takes hangs on what else the machine does.
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("search", deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

# As in every job, before any library reads them.
prepare_process()


@pytest.fixture(autouse=True)
def _messages_seen_by_pytest():
    """Undo what a command does to its process: with a log file, its messages end there."""
    yield
    logging.getLogger("roadmask").propagate = True


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
