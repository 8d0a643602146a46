"""Files that appear whole or not at all."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path` and move it into place on success.

    The temporary name keeps the suffix, since GDAL and Keras choose formats by it.
    It is the same in every run, so what a killed run left is overwritten, not piled up.

    Parameters
    ----------
    path
        The final path. Missing parent folders are made.

    Yields
    ------
    pathlib.Path
        Where to write.

    Raises
    ------
    FileNotFoundError
        If the block ended well but wrote nothing.
    """
    final = Path(path)
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = final.with_name(f".{final.stem}.part{final.suffix}")
    remove_with_side_files(temporary)
    try:
        yield temporary
        temporary.replace(final)
    finally:
        remove_with_side_files(temporary)


@contextmanager
def scratch_file(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path`, for what is needed only until `path` is written.

    Parameters
    ----------
    path
        The file that is being made.

    Yields
    ------
    pathlib.Path
        Where to write; removed at the end, with its side files.
    """
    final = Path(path)
    final.parent.mkdir(parents=True, exist_ok=True)
    scratch = final.with_name(f".{final.stem}.scratch{final.suffix}")
    remove_with_side_files(scratch)
    try:
        yield scratch
    finally:
        remove_with_side_files(scratch)


@contextmanager
def replacing_folder(path: str | Path) -> Iterator[Path]:
    """Give a temporary empty folder beside `path` and swap it in on success.

    What the old folder held is gone afterwards, so no file of an earlier run survives.

    Parameters
    ----------
    path
        The final folder. Missing parent folders are made.

    Yields
    ------
    pathlib.Path
        The folder to fill.
    """
    final = Path(path)
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = final.with_name(f".{final.name}.part")
    retired = final.with_name(f".{final.name}.old")
    for leftover in (temporary, retired):
        shutil.rmtree(leftover, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
        if final.exists():
            final.rename(retired)
        temporary.rename(final)
    finally:
        for leftover in (temporary, retired):
            shutil.rmtree(leftover, ignore_errors=True)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` as UTF-8 with Unix line ends, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: str | Path, value: Any) -> None:  # noqa: ANN401 (JSON is any)
    """Write `value` as indented JSON, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def sha256(path: str | Path) -> str:
    """Return the file's SHA-256 as 64 hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remove_with_side_files(path: Path) -> None:
    """Remove `path` and what GDAL and SQLite may have put beside it."""
    path.unlink(missing_ok=True)
    for ending in (".aux.xml", ".ovr", ".msk", ".tmp", "-journal", "-wal", "-shm"):
        path.with_name(path.name + ending).unlink(missing_ok=True)
