"""Whether a PNG file is whole: GDAL reads zeros where its end is missing, without a word."""

from __future__ import annotations

import struct

from roadmask.binary import Bytes
from roadmask.errors import InputError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Before a chunk's content its length and name stand, behind it a checksum.
HEAD = struct.Struct(">I4s")
CHECKSUM = 4
LAST = b"IEND"


def check_whole(path: str, data: Bytes) -> None:
    """Refuse a PNG file that was cut off; other files are none of this function's business.

    The chunks are those of the W3C's PNG specification, section 5. What is damaged within
    them GDAL tells itself.

    Parameters
    ----------
    path
        The file, for the message.
    data
        Its bytes.

    Raises
    ------
    InputError
        If the file ends before its last chunk.
    """
    if data.read(0, len(SIGNATURE)) != SIGNATURE:
        return
    position, name = len(SIGNATURE), b""
    while name != LAST:
        head = data.read(position, HEAD.size)
        # Past the end of a file that GDAL alone reaches all is zero.
        if len(head) < HEAD.size or not head[-4:].isalpha():
            raise InputError(
                path, "this PNG file is truncated: its last chunk is missing", "Fetch it again"
            )
        length, name = HEAD.unpack(head)
        position += HEAD.size + length + CHECKSUM
