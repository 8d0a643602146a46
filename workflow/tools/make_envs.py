"""Write the conda environments in ``envs/`` from ``requirements.lock``.

Conda brings Python, and pip the very versions that the lock holds, so that the two can't drift.

Usage: ``python workflow/tools/make_envs.py`` writes them; with ``--check`` it only says
whether they agree with the lock.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
LOCK = REPOSITORY / "requirements.lock"
PROJECT = REPOSITORY / "pyproject.toml"
FOLDER = REPOSITORY / "envs"
GROUPS = ("geo", "tensorflow")
PYTHON = "3.12"
HEADER = "# Written from requirements.lock by `make lock`. Do not edit.\n"


def main() -> int:
    """Write or check the files, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    lock = LOCK.read_text(encoding="utf-8")
    groups = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["dependency-groups"]
    differing = []
    for group in GROUPS:
        path = FOLDER / f"{group}.yaml"
        text = environment(group, groups, lock)
        if not check:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            differing.append(str(path))
    if differing:
        sys.stderr.write(f"{', '.join(differing)}: differ from the lock. Run make lock\n")
    return 1 if differing else 0


def environment(group: str, groups: dict[str, Any], lock: str) -> str:
    """Return the conda environment of a dependency group as YAML.

    Parameters
    ----------
    group
        Its name in ``pyproject.toml``.
    groups
        All dependency groups there.
    lock
        The content of the lock.
    """
    pins, parents = read_lock(lock)
    wanted = closure(requirements(group, groups), parents)
    lines = [f"      - {json.dumps(pins[name])}" for name in sorted(wanted)]
    head = f"""\
channels:
  - conda-forge
  - nodefaults
dependencies:
  - python ={PYTHON}
  - pip
  - pip:
"""
    return HEADER + head + "\n".join(lines) + "\n"


def requirements(group: str, groups: dict[str, Any]) -> set[str]:
    """Return the names that a group asks for, those of the groups it includes among them."""
    names: set[str] = set()
    for entry in groups[group]:
        if isinstance(entry, dict):
            names |= requirements(entry["include-group"], groups)
        else:
            names.add(normal(re.split(r"[^A-Za-z0-9._-]", entry, maxsplit=1)[0]))
    return names


def read_lock(lock: str) -> tuple[dict[str, str], dict[str, set[str]]]:
    """Return each package's pin with its marker, and the packages that ask for it.

    Raises
    ------
    ValueError
        If a package has no ``# via`` comment, from which the second is read.
    """
    pins: dict[str, str] = {}
    parents: dict[str, set[str]] = {}
    name = ""
    is_via = False
    for line in lock.splitlines():
        if line[:1].isalnum():
            pin = line.removesuffix("\\").strip()
            name = normal(pin.partition("==")[0])
            pins[name] = pin
            parents[name] = set()
            is_via = False
        elif line.startswith("    # via"):
            is_via = True
            parents[name].add(normal(line.removeprefix("    # via").strip()))
        elif is_via and line.startswith("    #   "):
            parents[name].add(normal(line.removeprefix("    #   ").strip()))
    without = [package for package, asking in parents.items() if not asking]
    if without:
        raise ValueError(f"the lock does not say what asks for {', '.join(without)}")
    return pins, parents


def closure(names: set[str], parents: dict[str, set[str]]) -> set[str]:
    """Return `names` and all that they ask for, directly or not."""
    wanted = set(names)
    while True:
        more = {name for name, asking in parents.items() if asking & wanted} - wanted
        if not more:
            return wanted
        wanted |= more


def normal(name: str) -> str:
    """Return a package's name as registries compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    sys.exit(main())
