"""A hash of the code that a stage runs, so that editing it reruns the stage.

It covers the stage's module, every module of the package that it imports (inside functions too)
and the data files beside them. Comments, docstrings and layout don't count.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import grimp

from planning.meaning import meaning

PACKAGE = "roadmask"
# Every job runs the launcher, which sets the environment of the stage's code.
LAUNCHER = f"{PACKAGE}.__main__"
DATA_TO_SKIP = ("__pycache__",)


@dataclass
class CodeHashes:
    """Hashes the closures of modules of one package.

    Attributes
    ----------
    folder
        The folder that holds the package.
    """

    folder: Path
    _graph: grimp.ImportGraph | None = None
    _digests: dict[Path, bytes] = field(default_factory=dict)
    _hashes: dict[str, str] = field(default_factory=dict)

    def of(self, module: str) -> str:
        """Return the hash of `module` and all it imports, as 12 hexadecimal digits.

        Parameters
        ----------
        module
            Its dotted name, such as ``roadmask.tiles``.
        """
        if module not in self._hashes:
            digest = hashlib.sha256()
            for path in self.files(module):
                digest.update(path.relative_to(self.folder).as_posix().encode() + b"\0")
                digest.update(self._digest(path))
            self._hashes[module] = digest.hexdigest()[:12]
        return self._hashes[module]

    def files(self, module: str) -> list[Path]:
        """Return the files that `module` runs or reads, sorted.

        Raises
        ------
        ValueError
            If there is no such module.
        """
        if self._graph is None:
            # No cache: it would be a folder where the user stands.
            self._graph = grimp.build_graph(PACKAGE, cache_dir=None)
        if module not in self._graph.modules:
            raise ValueError(f"there is no module {module} in {self.folder}")
        modules: set[str] = set()
        for start in (module, LAUNCHER):
            modules |= {start, *self._graph.find_upstream_modules(start)}
        paths: set[Path] = set()
        for name in modules:
            paths.update(self._sources(name))
            paths.update(self._data(name))
        return sorted(paths)

    def _sources(self, module: str) -> Iterator[Path]:
        """Yield the module's own file and the `__init__` files that run before it."""
        parts = module.split(".")
        for count in range(1, len(parts)):
            yield self.folder.joinpath(*parts[:count], "__init__.py")
        as_file = self.folder.joinpath(*parts).with_suffix(".py")
        yield as_file if as_file.exists() else self.folder.joinpath(*parts, "__init__.py")

    def _data(self, module: str) -> Iterator[Path]:
        """Yield the files in the module's own folder that are no Python."""
        place = self.folder.joinpath(*module.split("."))
        folder = place if place.is_dir() else place.parent
        for path in folder.iterdir():
            if path.is_file() and path.suffix not in (".py", ".pyc"):
                yield path
            elif _holds_data(path):
                yield from (
                    member
                    for member in path.rglob("*")
                    if member.is_file() and not set(DATA_TO_SKIP) & set(member.parts)
                )

    def _digest(self, path: Path) -> bytes:
        if path not in self._digests:
            content = path.read_bytes()
            if path.suffix == ".py":
                content = meaning(content.decode("utf-8"), str(path)).encode()
            self._digests[path] = hashlib.sha256(content).digest()
        return self._digests[path]


def _holds_data(path: Path) -> bool:
    """Return whether a folder is no package, so that all in it are data."""
    return path.is_dir() and path.name not in DATA_TO_SKIP and not (path / "__init__.py").exists()
