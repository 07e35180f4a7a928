"""Reads bytes that are compressed and do not say so."""

from __future__ import annotations

import re
import zlib
from typing import Final

#: How they may be: with the header of gzip or zlib, or as deflate without one.
_WINDOW_BITS: Final = (47, -15)

#: What only begins like deflate has these bytes when it is read, as no text has.
_NO_TEXT: Final = re.compile(rb"[\x01-\x08\x0b\x0c\x0e-\x1f]")


def inflated(body: bytes, most_bytes: int, *, whole: bool) -> tuple[bytes, bool]:
    """The body, read up to ``most_bytes`` where it is compressed; and whether that is all of it. ``whole``: whether the
    body is. A text of ASCII is not compressed, and what only looks so is as it came."""
    if body.isascii():
        return body, whole
    for bits in _WINDOW_BITS:
        reader = zlib.decompressobj(bits)
        try:
            read = reader.decompress(body, most_bytes)
        except zlib.error:
            continue
        cut_off = not whole or bool(reader.unconsumed_tail)
        if bits > 0:  # a sum stands at its end: that it was right is no chance, whatever follows
            is_one = reader.eof or cut_off
        elif reader.eof:
            is_one = not reader.unused_data
        else:  # letters may be the beginning of deflate by chance
            is_one = cut_off and len(read) > len(body) and _NO_TEXT.search(read) is None
        if read and is_one:
            return read, reader.eof and not reader.unconsumed_tail
    return body, whole
