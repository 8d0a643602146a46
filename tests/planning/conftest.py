"""Fixtures for the tests that ask and run the real Snakefile."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from working_folder import REPOSITORY, Folder, own_data, pictures


def copy_code(target: Path) -> Path:
    """Copy all that a run needs and return the Snakefile."""
    for name in ("Snakefile", "config.yaml"):
        shutil.copy(REPOSITORY / name, target)
    for name in ("workflow", "profiles", "envs"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(REPOSITORY / name, target / name, ignore=ignored)
    return target / "Snakefile"


@pytest.fixture(scope="session")
def frozen_snakefile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Snakefile of a copy that stays as it is while somebody edits the checkout."""
    return copy_code(tmp_path_factory.mktemp("checkout"))


@pytest.fixture
def own_snakefile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Snakefile of a copy whose code a test may edit."""
    return copy_code(tmp_path_factory.mktemp("checkout"))


@pytest.fixture
def folder(tmp_path: Path, frozen_snakefile: Path) -> Folder:
    """An empty working folder; the demo city without a config of its own."""
    return Folder(tmp_path, frozen_snakefile)


@pytest.fixture
def own_folder(folder: Folder) -> Folder:
    """A working folder with somebody's own city in it."""
    folder.write_config(own_data(folder.path))
    return folder


@pytest.fixture(scope="module")
def make_done(
    tmp_path_factory: pytest.TempPathFactory, frozen_snakefile: Path
) -> Callable[[str], Folder]:
    """Return a function that gives a folder in which all is done by one way of labelling.

    ``demo`` gives the demo city, ``pictures`` ready masks and no layers. Each is made once.
    """
    made: dict[str, Folder] = {}

    def make(method: str) -> Folder:
        if method not in made:
            folder = Folder(tmp_path_factory.mktemp(method), frozen_snakefile)
            if method == "pictures":
                folder.write_config(pictures(folder.path))
            elif method != "demo":
                folder.write_config(own_data(folder.path, method=method))
            folder.pretend_done()
            made[method] = folder
        return made[method]

    return make
