"""The hash of a stage's code changes when what it does changes, and only then."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from working_folder import REPOSITORY

from planning.codehash import CodeHashes
from planning.meaning import meaning

FOLDER = REPOSITORY / "workflow"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("a = 1", "# why\na  =  1 # so\n"),
        ('def f():\n    """Say."""\n    return 1', "def f():\n    return 1"),
        ('"""Top."""\nimport os', "import os"),
        ('class A:\n    """Doc."""', "class A:\n    '''Other.'''"),
        ("x = 'a'", 'x = "a"'),
        ("f(a,\n  b)", "f(a, b)"),
        ("""x = f"{a['k']} {b!r:>{w}}" """, """x = f'{a["k"]} {b!r:>{w}}'"""),
    ],
)
def test_the_same_meaning(first: str, second: str) -> None:
    assert meaning(first) == meaning(second)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("a = 1", "a = 2"),
        ("a = 1", "a = 1.0"),
        ("a = '1'", "a = b'1'"),
        ("x = 'text'", "x = 'Text'"),
        ("def f(a): pass", "def f(b): pass"),
        ("def f(): return 'kept'", "def f(): 'dropped'"),
        ("a < b", "a <= b"),
        ("async def f(): pass", "def f(): pass"),
        ("f(*a)", "f(**a)"),
        ("x = f'{a!r}'", "x = f'{a}'"),
        ("if a:\n  b\nelse:\n  c", "if a:\n  c\nelse:\n  b"),
        ("def f(a, /, b): 0", "def f(a, b, /): 0"),
        ("x = None", "x = False"),
        ("x = [[], [1]]", "x = [[1], []]"),
        ("return_ = lambda: None", "return_ = lambda: (None,)"),
    ],
)
def test_another_meaning(first: str, second: str) -> None:
    assert meaning(first) != meaning(second)


def other_pythons() -> list[str]:
    """Return the Pythons of this machine that the project supports."""
    versions = ("3.11", "3.12", "3.13")
    places = [*Path.home().glob(".pyenv/versions/*/bin"), Path("/usr/bin"), Path("/usr/local/bin")]
    found = {
        version: str(place / f"python{version}")
        for version in versions
        for place in places
        if (place / f"python{version}").exists()
    }
    return list(found.values())


def test_all_pythons_find_the_same_meaning() -> None:
    probe = (
        "import hashlib, pathlib, sys; from meaning import meaning; d = hashlib.sha256()\n"
        "for p in sorted(pathlib.Path(sys.argv[1]).rglob('*.py')):\n"
        "  d.update(meaning(p.read_text(encoding='utf-8')).encode())\n"
        "print(d.hexdigest())"
    )
    pythons = [sys.executable, *other_pythons()]
    hashes = {
        subprocess.run(
            [python, "-B", "-c", probe, str(FOLDER)],
            env={"PYTHONPATH": str(FOLDER / "planning")},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for python in pythons
    }
    assert len(hashes) == 1


def test_a_stage_covers_what_it_imports_and_no_more() -> None:
    names = {
        path.relative_to(FOLDER).as_posix() for path in CodeHashes(FOLDER).files("roadmask.cut")
    }
    expected = {"cut.py", "tilesets.py", "grid.py", "raster.py", "__main__.py", "__init__.py"}
    assert {f"roadmask/{name}" for name in expected} <= names
    assert not {"roadmask/lines.py", "roadmask/dataset/command.py"} & names


def test_stages_differ_and_stay() -> None:
    first, second = CodeHashes(FOLDER), CodeHashes(FOLDER)
    assert first.of("roadmask.cut") == second.of("roadmask.cut")
    assert first.of("roadmask.cut") != first.of("roadmask.mosaic")


def test_a_module_that_does_not_exist_is_no_empty_hash() -> None:
    with pytest.raises(ValueError, match=r"roadmask\.nothing"):
        CodeHashes(FOLDER).of("roadmask.nothing")


PROBE = """
import sys
from pathlib import Path
from planning.codehash import CodeHashes
print(CodeHashes(Path(sys.argv[1])).of("roadmask.stage"))
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A small package with a stage in a subpackage."""
    shutil.copytree(FOLDER / "planning", tmp_path / "planning")
    files = {
        "__init__.py": "VERSION = 1\n",
        "__main__.py": "import importlib\n",
        "used.py": "A = 1\n",
        "late.py": "B = 1\n",
        "idle.py": "C = 1\n",
        "stage/__init__.py": "from roadmask.stage.command import run\n",
        "stage/command.py": "from roadmask import used\ndef run():\n  from roadmask import late",
        "stage/templates/page.html": "<p>",
        "stage/style.css": "p {}",
    }
    # What planning itself imports.
    for name in ("distance.py", "errors.py"):
        files[name] = (FOLDER / "roadmask" / name).read_text(encoding="utf-8")
    for name, text in files.items():
        path = tmp_path / "roadmask" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


def hash_of(folder: Path) -> str:
    # In a process of its own: the package's name is that of the real one.
    command = [sys.executable, "-B", "-c", PROBE, str(folder)]
    done = subprocess.run(
        command,
        cwd=folder,
        env={"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_imports_in_functions_and_data_files_count(package: Path) -> None:
    before = hash_of(package)
    for name, text, counts in [
        ("idle.py", "C = 2\n", False),
        ("used.py", "A = 1  # still\n", False),
        ("used.py", "A = 2\n", True),
        ("late.py", "B = 2\n", True),
        ("__main__.py", "import importlib, os\n", True),
        ("stage/templates/page.html", "<b>", True),
        ("stage/style.css", "b {}", True),
        ("stage/templates/new.html", "<i>", True),
    ]:
        (package / "roadmask" / name).write_text(text, encoding="utf-8")
        after = hash_of(package)
        assert (after != before) == counts, name
        before = after
