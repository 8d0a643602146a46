"""What a JPEG 2000 file says about itself, read before a single pixel is decoded.

glymur reads the boxes and the header of the codestream; the walk over the tile-parts,
which tells whether the file is complete, is done here, since glymur opens a truncated
file without a word.
"""

from __future__ import annotations

import logging
import math
import struct
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import glymur

from roadmask.binary import Bytes, is_remote
from roadmask.errors import InputError

log = logging.getLogger(__name__)

JP2_SIGNATURE = b"\x00\x00\x00\x0cjP  \r\n\x87\n"
CODESTREAM_SIGNATURE = b"\xff\x4f\xff\x51"
START_OF_TILE_PART = b"\xff\x90"
END_OF_CODESTREAM = b"\xff\xd9"
GEOJP2_UUID = "b14bf8bd-083d-4b43-a5ae-8cd7d5a6ce03"

GIB = 2**30
LARGEST_SIDE = 2**31 - 1  # GDAL counts pixels in 32 signed bits
# What one decoded tile may take. Larger ones can't be read by windows.
DECODING_BUDGET = GIB
# An empty picture does compress this far; one that is also huge is a trap, not a picture.
HUGE_BYTES = 4 * GIB
HIGHEST_COMPRESSION = 100_000
# Boxes other than the codestream are metadata; a longer one is not read from afar.
LONGEST_BOX_FROM_AFAR = 16 * 2**20
LONGEST_MAIN_HEADER = 2**20


@dataclass(frozen=True)
class Component:
    """One component of the codestream, which is one band unless there is a palette.

    Attributes
    ----------
    bits
        Bit depth.
    signed
        Whether values may be negative.
    step
        Horizontal and vertical subsampling, (1, 1) where each pixel has a value.
    """

    bits: int
    signed: bool
    step: tuple[int, int]


@dataclass(frozen=True)
class Jpeg2000:
    """A JPEG 2000 file's own description.

    Attributes
    ----------
    width, height
        Size of the picture in pixels.
    components
        In the file's order.
    tile_width, tile_height
        Size of its tiles, which may exceed the picture's.
    tiles
        How many there are.
    geojp2
        Number of GeoJP2 boxes (GeoTIFF keys in a UUID box).
    gmljp2
        Whether there is a GMLJP2 box.
    palette
        Whether values are entries of a palette.
    """

    width: int
    height: int
    components: tuple[Component, ...]
    tile_width: int
    tile_height: int
    tiles: int
    geojp2: int
    gmljp2: bool
    palette: bool

    @property
    def pixel_bytes(self) -> int:
        """Bytes of one pixel when decoded, all bands together."""
        return sum(math.ceil(component.bits / 8) for component in self.components)

    def __str__(self) -> str:
        depths = ", ".join(
            f"{component.bits} bit{' signed' if component.signed else ''}"
            for component in self.components
        )
        boxes = [f"{self.geojp2} GeoJP2"] if self.geojp2 else []
        boxes += ["GMLJP2"] if self.gmljp2 else []
        return (
            f"JPEG 2000, {self.width} x {self.height}, {len(self.components)} components "
            f"({depths}), {self.tiles} tiles of {self.tile_width} x {self.tile_height}, "
            f"georeference boxes: {' and '.join(boxes) or 'none'}"
        )


@dataclass(frozen=True)
class _Box:
    kind: bytes
    start: int
    content: int  # where its content begins
    end: int | None  # None: to the end of the file


def is_jpeg2000(head: bytes) -> bool:
    """Tell by a file's first bytes whether it is JPEG 2000, whatever its name."""
    return head.startswith((JP2_SIGNATURE, CODESTREAM_SIGNATURE))


def inspect(path: str, data: Bytes) -> Jpeg2000:
    """Read what a JPEG 2000 file says about itself and check that it can be true.

    Parameters
    ----------
    path
        The file's name, on disk or one of GDAL's.
    data
        Its bytes.

    Returns
    -------
    Jpeg2000
        Its description; all of its tile-parts are there.

    Raises
    ------
    InputError
        If the file is truncated or damaged, or claims a size that can't be decoded.
    """
    codestream = _find_codestream(path, data)
    description = _describe(path, data, codestream)
    _check_size(path, description, data.size)
    check_tile_parts(path, data, codestream.content, codestream.end, description.tiles)
    return description


def _find_codestream(path: str, data: Bytes) -> _Box:
    if data.read(0, 4) == CODESTREAM_SIGNATURE:
        return _Box(b"jp2c", 0, 0, data.size)
    for box in _boxes(data):
        if box.kind == b"jp2c":
            return box
    raise InputError(
        path,
        "this JPEG 2000 file holds no codestream: it is truncated or damaged",
        "Fetch it again",
    )


def _boxes(data: Bytes) -> Iterator[_Box]:
    """Walk the boxes of the outermost level, until the file ends or makes no sense."""
    position = 0
    while len(head := data.read(position, 16)) >= 8:
        length, kind = struct.unpack(">I4s", head[:8])
        content = position + 8
        if length == 1 and len(head) == 16:
            length = struct.unpack(">Q", head[8:])[0]
            content = position + 16
        if not kind.strip(b"\0"):  # zeros: past the end of a file whose size is not known
            return
        end = data.size if length == 0 else position + length
        if end is not None and end < content:
            return
        yield _Box(kind, position, content, end)
        if length == 0 or end is None:
            return
        position = end


def _describe(path: str, data: Bytes, codestream: _Box) -> Jpeg2000:
    """Let glymur read boxes and codestream header."""
    with tempfile.TemporaryDirectory() as folder:
        readable = path
        if is_remote(path):
            readable = str(Path(folder) / "skeleton.jp2")
            _write_skeleton(Path(readable), data, codestream)
        try:
            return _read_with_glymur(path, readable)
        except Exception as error:  # noqa: BLE001 (glymur meets damage with any error)
            # A box that glymur can't parse is no reason to refuse a picture.
            log.warning(
                "%s: its boxes can't be parsed (%s: %s); only the header of the codestream is read",
                path,
                type(error).__name__,
                error,
            )
        alone = Path(folder) / "codestream.j2k"
        alone.write_bytes(data.read(codestream.content, LONGEST_MAIN_HEADER))
        try:
            return _read_with_glymur(path, str(alone))
        except Exception as error:
            raise InputError(
                path,
                f"the header of this JPEG 2000 file can't be read ({error})",
                "It is damaged or truncated: fetch it again",
            ) from error


def _write_skeleton(path: Path, data: Bytes, codestream: _Box) -> None:
    """Write a sparse copy of a remote file, without its picture, since glymur reads from disk."""
    with path.open("wb") as file:
        boxes = [codestream] if codestream.content == 0 else list(_boxes(data))
        for box in boxes:
            longest = LONGEST_MAIN_HEADER if box.kind == b"jp2c" else LONGEST_BOX_FROM_AFAR
            end = box.end if box.end is not None else box.content + longest
            file.seek(box.start)
            file.write(data.read(box.start, min(end, box.content + longest) - box.start))
            file.truncate(end)


def _read_with_glymur(path: str, readable: str) -> Jpeg2000:
    """Read a file's header; glymur meets damage with whatever error comes first."""
    with warnings.catch_warnings(record=True) as complaints:
        warnings.simplefilter("always")
        file = glymur.Jp2k(readable)
        boxes = list(_flattened(file.box))
        size = file.get_codestream(header_only=True).segment[1]
    for complaint in complaints:
        log.debug("%s: glymur: %s", path, complaint.message)
    across, down = size.xtsiz, size.ytsiz
    return Jpeg2000(
        width=size.xsiz - size.xosiz,
        height=size.ysiz - size.yosiz,
        components=tuple(
            Component(bits, signed, (step_x, step_y))
            for bits, signed, step_x, step_y in zip(
                size.bitdepth, size.signed, size.xrsiz, size.yrsiz, strict=True
            )
        ),
        tile_width=across,
        tile_height=down,
        tiles=math.ceil((size.xsiz - size.xtosiz) / across)
        * math.ceil((size.ysiz - size.ytosiz) / down),
        geojp2=sum(str(getattr(box, "uuid", "")) == GEOJP2_UUID for box in boxes),
        gmljp2=any(str(getattr(box, "label", "")).strip("\0") == "gml.data" for box in boxes),
        palette=any(box.box_id == "pclr" for box in boxes),
    )


def _flattened(boxes: Sequence[Any]) -> Iterator[Any]:
    for box in boxes:
        yield box
        yield from _flattened(getattr(box, "box", []))


def _check_size(path: str, description: Jpeg2000, file_bytes: int | None) -> None:
    """Refuse what can't be decoded, before memory is spent on trying."""
    width, height = description.width, description.height
    if not (0 < width <= LARGEST_SIDE and 0 < height <= LARGEST_SIDE):
        raise InputError(
            path,
            f"its header claims {width} x {height} pixels, and GDAL reads no side beyond "
            f"{LARGEST_SIDE}",
            "The header is damaged: fetch the file again",
        )
    decoded = width * height * description.pixel_bytes
    if file_bytes and decoded > HUGE_BYTES and decoded > HIGHEST_COMPRESSION * file_bytes:
        raise InputError(
            path,
            f"its header claims {width} x {height} pixels, {decoded / GIB:,.0f} GiB, in a file of "
            f"{file_bytes:,} bytes, which no picture gives",
            "The header is damaged: fetch the file again",
        )
    tile_pixels = min(description.tile_width, width) * min(description.tile_height, height)
    # OpenJPEG decodes into 32 bits per value and GDAL keeps a second copy. A single tile
    # is different: GDAL reads it in blocks.
    needed = tile_pixels * (4 * len(description.components) + description.pixel_bytes)
    if description.tiles > 1 and needed > DECODING_BUDGET:
        raise InputError(
            path,
            f"one of its tiles ({description.tile_width} x {description.tile_height}, "
            f"{len(description.components)} components) takes {needed / GIB:.1f} GiB to decode, "
            f"more than the {DECODING_BUDGET / GIB:.0f} GiB allowed",
            "Write it anew with smaller tiles: gdal_translate -of JP2OpenJPEG "
            "-co BLOCKXSIZE=1024 -co BLOCKYSIZE=1024 -co REVERSIBLE=YES -co QUALITY=100",
        )


def check_tile_parts(path: str, data: Bytes, start: int, end: int | None, tiles: int) -> None:
    """Walk the tile-parts of a codestream and make sure that none is missing.

    Each tile-part begins with a marker that holds its tile's number and its own length,
    so the walk reads twelve bytes for each and no picture.

    Parameters
    ----------
    path
        The file's name, for messages.
    data
        Its bytes.
    start, end
        Where the codestream begins and where its box says that it ends; None if only the
        end of the file ends it and that is not known.
    tiles
        How many tiles the header announces.

    Raises
    ------
    InputError
        If the file ends too early, tiles are missing, or markers are not where they
        should be.
    """
    if data.size is not None:
        end = data.size if end is None else min(end, data.size)
    position = _end_of_main_header(path, data, start)
    found: Counter[int] = Counter()
    announced: dict[int, int] = {}
    while (marker := data.read(position, 2)) == START_OF_TILE_PART:
        tile_part = data.read(position + 2, 10)
        if len(tile_part) < 10:
            raise _truncated(path, f"it ends at byte {position + 2 + len(tile_part):,}")
        _, tile, length, _, parts = struct.unpack(">HHIBB", tile_part)
        if tile >= tiles or 0 < length < 14:
            raise _truncated(path, f"the tile-part at byte {position:,} makes no sense")
        found[tile] += 1
        if parts:
            announced[tile] = parts
        if length == 0:  # the last one, which reaches to the end of the codestream
            marker = END_OF_CODESTREAM
            break
        position += length
        if end is not None and position > end:
            raise _truncated(
                path, f"it ends at byte {end:,}, tile {tile} reaches to byte {position:,}"
            )
    missing = tiles - len(found)
    short = sum(found[tile] < parts for tile, parts in announced.items())
    if missing or short:
        raise _truncated(
            path,
            f"of {tiles} tiles {missing} are missing and {short} incomplete, from byte "
            f"{position:,} on",
        )
    if marker != END_OF_CODESTREAM:  # OpenJPEG does not decode without it
        raise _truncated(path, f"no end marker at byte {position:,}")


def _end_of_main_header(path: str, data: Bytes, start: int) -> int:
    """Return where the first tile-part begins."""
    position = start + 2
    while len(marker := data.read(position, 4)) == 4:
        if marker[:2] == START_OF_TILE_PART:
            return position
        if marker[0] != 0xFF:
            break
        position += 2 + struct.unpack(">H", marker[2:])[0]
    raise _truncated(path, f"no tile after its header, at byte {position:,}")


def _truncated(path: str, finding: str) -> InputError:
    return InputError(
        path, f"this JPEG 2000 file is truncated or damaged: {finding}", "Fetch it again"
    )
