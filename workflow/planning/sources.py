"""Files that others made: which there are, what belongs to them, and whether they changed."""

from __future__ import annotations

import glob
import re
import tarfile
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path, PurePosixPath

from planning.errors import PlanningError

REMOTE = re.compile(r"/vsi(s3|curl|gs|az|adls|oss|swift|hdfs|webhdfs)(_streaming)?[/?]|\w+://|PG:")
ARCHIVE = re.compile(r"/vsi(zip|tar)/")
ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".kmz", ".shz")

# What a folder is searched for: the formats that stage `scenes` takes.
PICTURE_SUFFIXES = (".jp2", ".j2k", ".tif", ".tiff", ".png")
# What GDAL reads beside a picture, and what a vector file consists of. In small letters.
PICTURE_SIDECARS = frozenset(
    {".aux.xml", ".wld", ".j2w", ".jpw", ".jp2w", ".jpgw", ".tfw", ".tifw", ".tiffw", ".pgw"}
    | {".pngw", ".prj", ".tab", ".msk"}
)
VECTOR_SIDECARS = frozenset(
    {".shx", ".dbf", ".prj", ".cpg", ".qix", ".sbn", ".sbx", ".dat", ".map", ".id", ".ind"}
    | {".csvt", ".vrt"}
)
# SQLite keeps what was written last here until it is folded into the file itself.
JOURNAL = "-wal"

# Snakemake reads braces as wildcards and angle brackets as variables; the rest are those that
# shells and libraries expand.
FORBIDDEN = re.compile(r"[{}<>*?\\\x00-\x1f\x7f\ud800-\udfff]")


@dataclass(frozen=True)
class Source:
    """A file of the user's, with all that is read along with it.

    Attributes
    ----------
    path
        As GDAL opens it.
    files
        What has to exist on disk: the file itself first and its sidecars, or the archive that
        holds it; nothing where it is remote.
    """

    path: str
    files: tuple[str, ...]

    @property
    def fingerprint(self) -> str:
        """Size and time of every file, which change when one is replaced by an older one too."""
        return "; ".join(map(_fingerprint, self.files))


def _fingerprint(path: str) -> str:
    """Describe the state of a file, or of all files in a folder."""
    place = Path(path)
    members = [place, *sorted(place.rglob("*"))] if place.is_dir() else [place]
    states = [member.stat() for member in members]
    size = sum(state.st_size for state in states)
    newest = max(state.st_mtime_ns for state in states)
    time = datetime.fromtimestamp(newest // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{path} {size} bytes {time}.{newest % 10**9:09d}"


@dataclass
class Catalogue:
    """Looks files up, and reads each folder once."""

    _folders: dict[Path, dict[str, list[tuple[str, str]]]] = field(default_factory=dict)

    def picture(self, key: str, path: str) -> Source:
        """Return the picture at `path`.

        Raises
        ------
        PlanningError
            Naming `key` and the file that is not there, or is a folder.
        """
        _refuse_folder(key, path, f"Name the pictures in it, such as {path.rstrip('/')}/*.tif")
        return self._source(key, path, PICTURE_SIDECARS)

    def layer(self, key: str, path: str) -> Source:
        """Return the vector file at `path`; errors as in `picture`."""
        return self._source(key, path, VECTOR_SIDECARS)

    def table(self, key: str, path: str) -> Source:
        """Return a file that stands alone; errors as in `picture`."""
        _refuse_folder(key, path, "Name the file")
        return self._source(key, path, frozenset())

    def pictures(self, key: str, patterns: Sequence[str]) -> dict[str, Source]:
        """Return the pictures that paths, folders and globs name, by their stems, in their order.

        Parameters
        ----------
        key
            The config key of `patterns`, for messages.
        patterns
            Paths, folders and globs, ``/vsizip/…/*.jp2`` among them.

        Raises
        ------
        PlanningError
            If a path leads nowhere, a folder or glob holds nothing, or two files have one stem.
        """
        problems: list[str] = []
        paths: dict[str, None] = {}
        for pattern in patterns:
            try:
                paths |= dict.fromkeys(self._expand(key, pattern))
            except PlanningError as error:
                problems += error.problems
        by_stem: dict[str, list[str]] = {}
        for path in paths:
            by_stem.setdefault(stem(path), []).append(path)
        for name, same in by_stem.items():
            if len(same) > 1:
                problems.append(
                    f"{key}: {' and '.join(same)} would both be the scene {name!r}. "
                    "Rename one or leave it out"
                )
            elif f"{name}.json" in by_stem:
                problems.append(
                    f"{key}: {same[0]} and {name}.json can't both be scenes. Rename one"
                )
        sources = {}
        for path in paths:
            try:
                sources[stem(path)] = self.picture(key, path)
            except PlanningError as error:
                problems += error.problems
        if problems:
            raise PlanningError(*problems)
        return sources

    def _source(self, key: str, path: str, sidecars: frozenset[str]) -> Source:
        path = normal(path)
        check_name(key, path)
        if REMOTE.search(path):
            return Source(path, ())
        if ARCHIVE.match(path):
            archive, _ = self._split_archive(key, path)
            return Source(path, (archive,))
        if not Path(path).exists():
            raise PlanningError(f"{key}: there is no file {path!r} (looked in {Path.cwd()})")
        return Source(path, (path, *self._beside(Path(path), sidecars)))

    def _beside(self, path: Path, sidecars: frozenset[str]) -> list[str]:
        """Return the files that belong to `path`, by name."""
        names = self._names(path.parent)
        found = {
            name
            for start in (path.name, path.stem)
            for rest, name in names.get(start, [])
            if rest in sidecars and name != path.name
        }
        journal = path.with_name(path.name + JOURNAL)
        if journal.is_file() and journal.stat().st_size:
            found.add(journal.name)
        return [str(path.parent / name) for name in sorted(found)]

    def _names(self, folder: Path) -> dict[str, list[tuple[str, str]]]:
        """Return the names in a folder by each of their beginnings that ends at a dot."""
        if folder not in self._folders:
            names: dict[str, list[tuple[str, str]]] = {}
            for entry in folder.iterdir():
                for dot in (place for place, letter in enumerate(entry.name) if letter == "."):
                    rest = entry.name[dot:].lower()
                    names.setdefault(entry.name[:dot], []).append((rest, entry.name))
            self._folders[folder] = names
        return self._folders[folder]

    def _expand(self, key: str, pattern: str) -> list[str]:
        pattern = normal(pattern)
        is_glob = glob.has_magic(pattern)
        if REMOTE.search(pattern):
            # A `?` begins the query of an address, and no listing can be had.
            if "*" in pattern:
                raise PlanningError(
                    f"{key}: {pattern!r}: globs are for local files and archives. "
                    "Name the remote files one by one"
                )
            return [pattern]
        if ARCHIVE.match(pattern):
            found = self._members(key, pattern)
        elif Path(pattern).is_dir():
            return self._pictures_in(key, pattern)
        elif not is_glob or Path(pattern).exists():
            return [pattern]
        else:
            found = [
                normal(path)
                for path in _matches(pattern)
                if is_picture(path) and Path(path).is_file()
            ]
        if not found:
            raise PlanningError(f"{key}: nothing matches {pattern!r} (looked in {Path.cwd()})")
        return found

    def _pictures_in(self, key: str, folder: str) -> list[str]:
        """Return the pictures in a folder, not those in folders in it."""
        found = sorted(
            normal(str(path))
            for path in Path(folder).iterdir()
            if path.suffix.lower() in PICTURE_SUFFIXES and path.is_file()
        )
        if not found:
            raise PlanningError(
                f"{key}: the folder {folder!r} holds no picture ({', '.join(PICTURE_SUFFIXES)}). "
                f"For those in folders in it, write {folder}/**/*.jp2"
            )
        return found

    def _members(self, key: str, pattern: str) -> list[str]:
        """Return the pictures in one or more archives that a ``/vsizip/`` glob names."""
        prefix = pattern[: ARCHIVE.match(pattern).end()]  # type: ignore[union-attr]
        archive_pattern, inner = self._split_archive(key, pattern)
        archives = (
            [archive_pattern] if Path(archive_pattern).exists() else _matches(archive_pattern)
        )
        wanted = re.compile(_translated(inner))
        return [
            f"{prefix}{archive}/{name}"
            for archive in archives
            for name in _names_in(key, archive)
            if name == inner or (wanted.fullmatch(name) and is_picture(name))
        ]

    def _split_archive(self, key: str, path: str) -> tuple[str, str]:
        """Split ``/vsizip/a/b.zip/c/d.jp2`` into the archive and the member."""
        rest = ARCHIVE.sub("", path, count=1)
        parts = PurePosixPath(rest).parts
        for count in range(1, len(parts) + 1):
            archive = str(PurePosixPath(*parts[:count]))
            is_named = archive.lower().endswith(ARCHIVE_SUFFIXES)
            if Path(archive).is_file() or (is_named and glob.has_magic(archive)):
                inner = "/".join(parts[count:])
                if not inner and key.endswith("paths"):
                    raise PlanningError(
                        f"{key}: {path!r} names an archive. Name the pictures inside: {path}/*.jp2"
                    )
                return archive, inner
        raise PlanningError(f"{key}: there is no archive on the way to {path!r}")


def _refuse_folder(key: str, path: str, remedy: str) -> None:
    if not REMOTE.search(path) and Path(path).is_dir():
        raise PlanningError(f"{key}: {path!r} is a folder. {remedy}")


def normal(path: str) -> str:
    """Return a path without ``./`` and double slashes, which Snakemake warns about."""
    if REMOTE.search(path):
        return path
    absolute_archive = re.match(r"(/vsi\w+/)(/?.*)", path, re.DOTALL)
    if absolute_archive:
        return absolute_archive[1] + str(PurePosixPath(absolute_archive[2]))
    return str(PurePosixPath(path))


def stem(path: str) -> str:
    """Return the name of the scene that a picture becomes."""
    return PurePosixPath(path.partition("?")[0] if REMOTE.search(path) else path).stem


def check_name(key: str, path: str) -> None:
    """Refuse names that can't be passed on safely."""
    text = path.replace("?", "") if REMOTE.search(path) else path
    found = FORBIDDEN.search(text)
    if found:
        raise PlanningError(f"{key}: {path!a} has {found[0]!a} in its name. Rename it")
    if text.startswith("-") or PurePosixPath(text).name.startswith("-"):
        raise PlanningError(f"{key}: {path!r} begins like an option. Rename it")


def is_picture(path: str) -> bool:
    """Return whether a file that a glob matched may be a picture, not a sidecar of one."""
    name = path.lower()
    sidecars: Iterable[str] = PICTURE_SIDECARS
    return not (name.endswith("/") or name.endswith((*sidecars, ".ovr", ".xml", ".txt", ".csv")))


def _matches(pattern: str) -> list[str]:
    # `Path.glob` takes no absolute patterns.
    return sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207


def _names_in(key: str, archive: str) -> list[str]:
    try:
        if archive.lower().endswith((".tar", ".tar.gz", ".tgz")):
            with tarfile.open(archive) as opened:
                return sorted(member.name for member in opened if member.isfile())
        with zipfile.ZipFile(archive) as opened_zip:
            return sorted(opened_zip.namelist())
    except (OSError, zipfile.BadZipFile, tarfile.TarError) as error:
        raise PlanningError(f"{key}: {archive} can't be read as an archive: {error}") from None


def _translated(pattern: str) -> str:
    """Return a glob as a regular expression in which ``*`` stops at slashes and ``**`` does not."""
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[!?\]?[^\]]*\])", pattern)
    known = {"**/": r"(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "".join(
        known.get(part)
        or (re.sub(r"^\[!", "[^", part) if re.match(r"\[.+\]$", part) else re.escape(part))
        for part in parts
    )


@dataclass(frozen=True)
class Scenes:
    """The scenes of a run, by name.

    Attributes
    ----------
    training
        Those that get labels, tiles and a place in the data set.
    prediction
        Those that the network is applied to.
    """

    training: dict[str, Source]
    prediction: dict[str, Source]

    def __post_init__(self) -> None:
        """Refuse two files for one scene.

        Raises
        ------
        PlanningError
            Naming both files.
        """
        problems = [
            f"prediction.paths: {other.path} and {self.training[name].path} of imagery.paths would "
            f"both be the scene {name!r}. Rename one or leave it out"
            for name, other in self.prediction.items()
            if name in self.training and not _is_same(other.path, self.training[name].path)
        ]
        if problems:
            raise PlanningError(*problems)

    @cached_property
    def all(self) -> dict[str, Source]:
        """Every scene, those to train on first."""
        return self.training | {
            name: source for name, source in self.prediction.items() if name not in self.training
        }


def _is_same(first: str, second: str) -> bool:
    if first == second:
        return True
    paths = Path(first), Path(second)
    return all(path.exists() for path in paths) and paths[0].samefile(paths[1])
