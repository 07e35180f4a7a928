"""Identifiers: time-ordered UUIDs (version 7, RFC 9562) with a prefix for what they identify. The prefixes in use
are in ``domain.id_prefixes``.

The application mints them, never the database: shards share no sequence.
"""

from __future__ import annotations

import hashlib
import os
import re
import struct
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

#: What follows the prefix and its underscore.
_DIGITS: Final = re.compile(r"[0-9a-f]{32}")

#: Random tails taken from the operating system at a time: one call serves 512 ids. 62 bits of the 64 are used; the rest
#: of an id is time, version, counter and variant.
_TAILS: Final = struct.Struct(">512Q")

#: 12 bits beside the millisecond order the ids within it; the 4,097th borrows the next millisecond (RFC 9562, 6.2).
_COUNTER_LIMIT: Final = 0xFFF

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)

#: Version 7 and the variant of RFC 9562, without time, counter and tail.
_VARIANT: Final = 0b10 << 62
_FIXED_BITS: Final = (0x7 << 76) | _VARIANT

#: A hexadecimal digit with its two highest bits replaced by the variant of RFC 9562.
_VARIANT_OF: Final = {f"{digit:x}": f"{digit & 0b0011 | 0b1000:x}" for digit in range(16)}


class _Minter:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last_ms = 0
        self._counter = 0
        self._tails: Iterator[int] = iter(())

    def forget(self) -> None:
        """Start anew in a forked process: it shares neither random bits nor a lock that another thread held."""
        self._lock = threading.Lock()
        self._tails = iter(())

    def mint(self) -> str:
        with self._lock:
            now_ms = time.time_ns() // 1_000_000
            if now_ms > self._last_ms:
                self._last_ms, self._counter = now_ms, 0
            else:
                self._counter += 1
                if self._counter > _COUNTER_LIMIT:
                    self._last_ms, self._counter = self._last_ms + 1, 0
            milliseconds, counter = self._last_ms, self._counter
            tail = next(self._tails, None)
            if tail is None:
                self._tails = iter(_TAILS.unpack(os.urandom(_TAILS.size)))
                tail = next(self._tails)
        return f"{milliseconds:012x}7{counter:03x}{tail >> 2 | _VARIANT:016x}"


_MINTER: Final = _Minter()
os.register_at_fork(after_in_child=_MINTER.forget)


def new_id(prefix: str) -> str:
    """A new id such as ``pay_0190…``: later ids of one process sort after earlier ones."""
    return f"{prefix}_{_MINTER.mint()}"


def sibling_id(prefix: str, of: str) -> str:
    """The id of a second thing that is made together with ``of``: the same bits, another prefix."""
    return f"{prefix}_{of[of.index('_') + 1 :]}"


def derived_id(prefix: str, *names: str) -> str:
    """The id of something that already has a name elsewhere: the same names always give the same id (a UUID of version
    8, RFC 9562 section 5.8), so two processes that see it at the same time agree."""
    digits = hashlib.sha256("\x1f".join(names).encode()).hexdigest()
    variant = _VARIANT_OF[digits[16]]
    return f"{prefix}_{digits[:12]}8{digits[13:16]}{variant}{digits[17:32]}"


def is_id(prefix: str, text: str) -> bool:
    """Whether ``text`` has the shape of one of our ids with this prefix."""
    return text.startswith(prefix + "_") and _DIGITS.fullmatch(text, len(prefix) + 1) is not None


def id_floor(prefix: str, moment: datetime) -> str:
    """The smallest id of the millisecond of ``moment`` (aware): lists by time are lists by id.

    Raises TypeError for a naive ``moment``.
    """
    milliseconds = max(0, (moment - _EPOCH) // _MILLISECOND)
    return f"{prefix}_{(milliseconds << 80) | _FIXED_BITS:032x}"


def moment_of(minted: str) -> datetime:
    """When an id was minted (``new_id``, and its siblings), to the millisecond. An id that was derived has no time."""
    digits = minted[minted.index("_") + 1 :]
    return _EPOCH + int(digits[:12], 16) * _MILLISECOND


def random_hex(size: int) -> str:
    """An id of so many random bytes as W3C Trace Context has it: never all zeros, which would be no id."""
    while not (found := os.urandom(size)).strip(b"\0"):
        pass
    return found.hex()
