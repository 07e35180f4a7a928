"""Files as they come broken: every format reads what can be read, or refuses the file, and nothing else; so does what
unpacks them."""

from __future__ import annotations

import bz2
import gzip
import io
import re
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tallystick.flows.reconciliation.formats.base import FileRefused, ReadOptions
from tallystick.flows.reconciliation.unpacking import unpacked
from tests.support.database import DEEP
from tests.support.settlement_files import check_reading, golden_file, golden_names, options_of

pytestmark = pytest.mark.exhaustive

NAMES = golden_names()
UTC: Final = ReadOptions(zone="UTC", mapping=options_of("generic_csv").mapping)

#: Another account: local times, another encoding, and amounts as integers with their direction beside them.
OTHER: Final = ReadOptions(
    zone="America/Los_Angeles",
    encoding="cp1252",
    reversals="inverted",
    mapping={
        "columns": {"gross": "gross", "direction": "type", "currency": "currency", "fee": "fee", "id": "entry_id"},
        "minor_units": True,
        "negate": True,
        "fee_sign": "negative",
        "thousands_mark": ",",
    },
)

_DIGITS: Final = re.compile(rb"\d+")


def _again(content: bytes) -> bytes:
    """In another encoding it has no mark, and golden files are UTF-8 or Latin-1."""
    return content.removeprefix(b"\xef\xbb\xbf")


def _text(content: bytes) -> str:
    return _again(content).decode("latin-1")


#: A way in which a file comes broken -> what it does to one.
BREAKS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "empty": lambda content: b"",
    "mark alone": lambda content: b"\xef\xbb\xbf",
    "half": lambda content: content[: len(content) // 2],
    "without its end": lambda content: content[:-3],
    "its first line twice": lambda content: content.partition(b"\n")[0] + b"\n" + content,
    "each line twice": lambda content: b"".join(line + b"\n" + line + b"\n" for line in content.split(b"\n")),
    "each column twice": lambda content: b"\n".join(line + b"," + line for line in content.split(b"\n")),
    "whole twice": lambda content: content + content,
    "backwards": lambda content: b"\n".join(content.split(b"\n")[::-1]),
    "lines joined": lambda content: content.replace(b"\n", b" "),
    "old line ends": lambda content: content.replace(b"\n", b"\r"),
    "NULs between": lambda content: b"\x00".join(content[at : at + 1] for at in range(len(content))),
    "NULs at line ends": lambda content: content.replace(b"\n", b"\x00\n"),
    "a quote that stays open": lambda content: content.replace(b",", b',"', 1),
    "quotes everywhere": lambda content: content.replace(b",", b'","'),
    "UTF-16": lambda content: _text(content).encode("utf-16"),
    "UTF-16 without a mark": lambda content: _text(content).encode("utf-16-le"),
    "UTF-32": lambda content: _text(content).encode("utf-32"),
    "EBCDIC": lambda content: _text(content).encode("cp037", "replace"),
    "Latin-1": lambda content: _again(content).replace(b"e", b"\xe9"),
    "a mark that is wrong": lambda content: b"\xff\xfe" + content,
    "marks in each line": lambda content: content.replace(b"\n", b"\n\xef\xbb\xbf"),
    "numbers of 25 digits": lambda content: _DIGITS.sub(b"9" * 25, content),
    "numbers of 300 digits": lambda content: _DIGITS.sub(b"9" * 300, content),
    "a number of a hundred thousand digits": lambda content: _DIGITS.sub(b"9" * 100_000, content, count=1),
    "numbers with exponents": lambda content: _DIGITS.sub(b"1e308", content),
    "no numbers": lambda content: _DIGITS.sub(b"NaN", content),
    "digits of others": lambda content: _DIGITS.sub("٣".encode(), content),
    "signs turned": lambda content: _DIGITS.sub(rb"-\g<0>", content),
    "more columns than any header": lambda content: b"," * 3_000 + content,
    "a line that is too long": lambda content: content.replace(b"\n", b"\n" + b"x" * 300_000, 1),
    "a thousand empty lines": lambda content: content.replace(b"\n", b"\n" * 1_000, 1),
}


@pytest.mark.parametrize("how", BREAKS)
def test_a_file_that_comes_broken_is_read_or_refused(how: str) -> None:
    """A file of each format, as every format reads it."""
    for name in NAMES:
        content = BREAKS[how](golden_file(name).read_bytes())
        for options in (UTC, OTHER, replace(options_of(name), encoding="utf-16"))[: 3 if DEEP else 1]:
            check_reading(content, options)


#: No file here unpacks to more.
_MOST_BYTES: Final = 100_000


def check_unpacking(path: Path, content: bytes) -> str | None:
    """It unpacks within its bound, or is refused; for what."""
    path.write_bytes(content)
    size = 0
    try:
        with unpacked(path, _MOST_BYTES) as (source, _):
            while piece := source.read(10_000):
                size += len(piece)
                assert size <= _MOST_BYTES
    except FileRefused as error:
        assert error.reason and len(error.detail) < 400
        return error.reason
    return None


def zipped(members: dict[str, bytes], how: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", how) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


_PLAIN: Final = golden_file("stripe_payouts").read_bytes()
_ZIP: Final = zipped({"a.csv": _PLAIN})
_BOMB: Final = b"\x00" * 5_000_000


def _with_flag(archive: bytes, flag: int) -> bytes:
    """Both headers of its one member say that too."""
    changed = bytearray(archive)
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = archive.index(mark) + at
        changed[place : place + 2] = struct.pack("<H", struct.unpack_from("<H", archive, place)[0] | flag)
    return bytes(changed)


#: What is delivered -> why it is refused; None: it is read.
DELIVERED: Final[dict[str, tuple[bytes, str | None]]] = {
    "plain": (_PLAIN, None),
    "gzip": (gzip.compress(_PLAIN), None),
    "gzip of two parts": (gzip.compress(_PLAIN) + gzip.compress(_PLAIN), None),
    "zip": (_ZIP, None),
    "zip with a directory": (zipped({"d/": b"", "d/a.csv": _PLAIN}), None),
    "zip of nothing": (zipped({}), None),  # which does not begin as one: a format refuses it
    "zip of two files": (zipped({"a.csv": _PLAIN, "b.csv": _PLAIN}), "several_files"),
    "zip of directories": (zipped({"d/": b""}), "several_files"),
    "zip in a way of its own": (zipped({"a.csv": _PLAIN}, zipfile.ZIP_LZMA), "broken_file"),
    "zip with a password": (_with_flag(_ZIP, 1), "broken_file"),
    "zip without its end": (_ZIP[:-30], "broken_file"),
    "zip with another content": (_ZIP.replace(_ZIP[40:60], b"\xff" * 20, 1), "broken_file"),
    "gzip without its end": (gzip.compress(_PLAIN)[:-9], "broken_file"),
    "gzip with another content": (gzip.compress(_PLAIN)[:20] + b"\xff" * 50, "broken_file"),
    "gzip with rubbish after it": (gzip.compress(_PLAIN) + b"rubbish", "broken_file"),
    "gzip bomb": (gzip.compress(_BOMB), "too_large"),
    "zip bomb": (zipped({"a.csv": _BOMB}), "too_large"),
    "bzip2, which nobody unpacks": (bz2.compress(_PLAIN), None),
}


@pytest.mark.parametrize("what", DELIVERED)
def test_what_unpacks_to_no_file_is_refused(what: str, tmp_path: Path) -> None:
    content, reason = DELIVERED[what]
    assert check_unpacking(tmp_path / "file", content) == reason


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_packed_files_with_splices_and_cuts(data: Any, tmp_path: Path) -> None:
    content = data.draw(st.sampled_from([_ZIP, gzip.compress(_PLAIN, mtime=0)]))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content)))
        until = data.draw(st.integers(at, min(len(content), at + 30)))
        content = content[:at] + data.draw(st.binary(max_size=8)) + content[until:]
    check_unpacking(tmp_path / "file", content)
