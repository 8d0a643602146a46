"""Bytes of a file, wherever GDAL can reach it."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self
from xml.sax.saxutils import escape

import rasterio
from rasterio.errors import RasterioError
from rasterio.windows import Window

from roadmask.errors import InputError

# A remote file is shown to GDAL as a raw raster of bytes, this many to a line.
LINE = 4096
LINES = 2**30


class _ClosedAtLast(ABC):
    """What ``with`` closes."""

    @abstractmethod
    def close(self) -> None:
        """Close the file."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class LocalBytes(_ClosedAtLast):
    """Bytes of a file on a disk.

    Attributes
    ----------
    size
        The file's length in bytes.
    """

    def __init__(self, path: str) -> None:
        try:
            self._file = open(path, "rb")  # noqa: SIM115, PTH123 (closed by close)
        except OSError as error:
            raise InputError(path, f"can't be opened ({error.strerror})") from error
        self.size: int | None = os.fstat(self._file.fileno()).st_size

    def read(self, offset: int, count: int) -> bytes:
        """Return `count` bytes from `offset` on, fewer at the end of the file."""
        self._file.seek(offset)
        return self._file.read(count)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class RemoteBytes(_ClosedAtLast):
    """Bytes of a file inside an archive or on a server (``/vsizip/``, ``/vsicurl/`` …).

    rasterio has no call that reads bytes, but GDAL's raw raster format maps bytes to
    pixels, in any place that GDAL reads. Only the lines asked for are fetched.

    Attributes
    ----------
    size
        None: GDAL does not tell. Past the end all bytes are zero.
    """

    def __init__(self, path: str) -> None:
        description = (
            f'<VRTDataset rasterXSize="{LINE}" rasterYSize="{LINES}">'
            '<VRTRasterBand dataType="Byte" band="1" subClass="VRTRawRasterBand">'
            f'<SourceFilename relativetoVRT="0">{escape(path)}</SourceFilename>'
            f"<ImageOffset>0</ImageOffset><PixelOffset>1</PixelOffset><LineOffset>{LINE}</LineOffset>"
            "</VRTRasterBand></VRTDataset>"
        )
        try:
            self._raster = rasterio.open(description)
        except RasterioError as error:
            raise InputError(path, f"can't be opened ({error})") from error
        self.size: int | None = None

    def read(self, offset: int, count: int) -> bytes:
        """Return `count` bytes from `offset` on; zeros past the end of the file."""
        first, last = offset // LINE, (offset + count - 1) // LINE
        window = Window(0, first, LINE, last - first + 1)
        lines: bytes = self._raster.read(1, window=window).tobytes()
        start = offset - first * LINE
        return lines[start : start + count]

    def close(self) -> None:
        """Close the file."""
        self._raster.close()


Bytes = LocalBytes | RemoteBytes


def is_remote(path: str) -> bool:
    """Tell whether `path` is one that GDAL alone understands."""
    return path.startswith("/vsi")


def open_bytes(path: str) -> Bytes:
    """Open a file for reading its bytes.

    Parameters
    ----------
    path
        A path on disk or one of GDAL's (``/vsizip/…``).

    Raises
    ------
    InputError
        If there is no such file.
    """
    return RemoteBytes(path) if is_remote(path) else LocalBytes(path)
