"""Files as they are delivered: plain, gzipped, or a zip with one file in it. What unpacks has a bound."""

from __future__ import annotations

import gzip
import hashlib
import io
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from tallystick.flows.reconciliation.formats.base import FileRefused

_GZIP: Final = b"\x1f\x8b"
_ZIP: Final = b"PK\x03\x04"

#: As everybody packs. What is packed in another way may ask for gigabytes before it gives a byte.
_WAYS: Final = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})

#: Read at a time.
_PIECE_BYTES: Final = 1 << 20

_BROKEN: Final = (OSError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError, NotImplementedError, ValueError)


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class _Bounded(io.RawIOBase):
    """Reads at most so many bytes from another file, and calls ``tell`` after each piece."""

    def __init__(self, source: _Readable, most_bytes: int) -> None:
        self._source, self._left = source, most_bytes

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # of a raw file, narrower
        try:
            piece = self._source.read(len(buffer))
        except _BROKEN:
            raise FileRefused("broken_file", "the file cannot be unpacked to its end") from None
        self._left -= len(piece)
        if self._left < 0:
            raise FileRefused("too_large", "the file unpacks to more than is allowed")
        buffer[: len(piece)] = piece
        return len(piece)


def digest_of(path: Path, most_bytes: int) -> tuple[str, int]:
    """SHA-256 of a file's bytes, in hexadecimal, and how many they are. Raises FileRefused and OSError."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            digest.update(piece)
            size += len(piece)
            if size > most_bytes:
                raise FileRefused("too_large", f"the file has more than {most_bytes} bytes")
    return digest.hexdigest(), size


@contextmanager
def unpacked(path: Path, most_bytes: int) -> Iterator[tuple[BinaryIO, Callable[[], int]]]:
    """The file's content as a stream, and how many of the delivered bytes were read so far. Raises FileRefused, at the
    latest while it is read, and OSError."""
    with path.open("rb") as file:
        head = file.read(4)
        file.seek(0)
        source: _Readable = file
        if head.startswith(_GZIP):
            source = gzip.GzipFile(fileobj=file)
        elif head == _ZIP:
            source = _only_member(file)
        bounded = io.BufferedReader(_Bounded(source, most_bytes), _PIECE_BYTES // 8)
        yield bounded, file.tell


def _only_member(file: BinaryIO) -> _Readable:
    try:
        archive = zipfile.ZipFile(file)
        members = [each for each in archive.infolist() if not each.is_dir()]
        if len(members) != 1:
            raise FileRefused("several_files", "the zip does not hold one file: import each for itself")
        if members[0].compress_type not in _WAYS:
            raise FileRefused("broken_file", "the zip is packed in a way that is not read: pack it as usual")
        return archive.open(members[0])
    except _BROKEN:
        raise FileRefused("broken_file", "the zip cannot be read") from None
