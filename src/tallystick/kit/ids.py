"""Identifiers: time-ordered UUIDs (version 7, RFC 9562) with a prefix for what they identify. The prefixes in use
are in ``domain.id_prefixes``.

The application mints them, never the database: shards share no sequence.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Final

#: What follows the prefix and its underscore.
_DIGITS: Final = re.compile(r"[0-9a-f]{32}")

#: Random bits taken from the operating system at a time: one call serves many ids.
_POOL_BYTES: Final = 4_096

#: Bytes taken for one id's random tail, 62 bits of which are used; the rest is time, version, counter and variant.
_TAIL_BYTES: Final = 8

#: 12 bits beside the millisecond order the ids within it; the 4,097th borrows the next millisecond (RFC 9562, 6.2).
_COUNTER_LIMIT: Final = 0xFFF

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)

#: Version 7 and the variant of RFC 9562, without time, counter and tail.
_FIXED_BITS: Final = (0x7 << 76) | (0b10 << 62)


class _Minter:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last_ms = 0
        self._counter = 0
        self._pool = b""
        self._at = 0
        self._pid = 0

    def mint(self) -> str:
        with self._lock:
            now_ms = time.time_ns() // 1_000_000
            if now_ms > self._last_ms:
                self._last_ms, self._counter = now_ms, 0
            else:
                self._counter += 1
                if self._counter > _COUNTER_LIMIT:
                    self._last_ms, self._counter = self._last_ms + 1, 0
            if self._at >= len(self._pool) or self._pid != os.getpid():
                self._pool, self._at, self._pid = os.urandom(_POOL_BYTES), 0, os.getpid()
            tail = int.from_bytes(self._pool[self._at : self._at + _TAIL_BYTES], "big")
            self._at += _TAIL_BYTES
            value = (self._last_ms << 80) | _FIXED_BITS | (self._counter << 64)
        return f"{value | (tail >> 2):032x}"


_MINTER: Final = _Minter()


def new_id(prefix: str) -> str:
    """A new id such as ``pay_0190…``: later ids of one process sort after earlier ones."""
    return f"{prefix}_{_MINTER.mint()}"


def sibling_id(prefix: str, of: str) -> str:
    """The id of a second thing that is made together with ``of``: the same bits, another prefix."""
    return f"{prefix}_{of[of.index('_') + 1 :]}"


def derived_id(prefix: str, *names: str) -> str:
    """The id of something that already has a name elsewhere: the same names always give the same id (a UUID of version
    8, RFC 9562 section 5.8), so two processes that see it at the same time agree."""
    digest = hashlib.sha256("\x1f".join(names).encode()).digest()
    value = int.from_bytes(digest[:16], "big")
    value = value & ~(0xF << 76) & ~(0b11 << 62) | (0x8 << 76) | (0b10 << 62)
    return f"{prefix}_{value:032x}"


def is_id(prefix: str, text: str) -> bool:
    """Whether ``text`` has the shape of one of our ids with this prefix."""
    return text.startswith(prefix + "_") and _DIGITS.fullmatch(text, len(prefix) + 1) is not None


def id_floor(prefix: str, moment: datetime) -> str:
    """The smallest id of the millisecond of ``moment`` (aware): lists by time are lists by id.

    Raises TypeError for a naive ``moment``.
    """
    milliseconds = max(0, (moment - _EPOCH) // _MILLISECOND)
    return f"{prefix}_{(milliseconds << 80) | _FIXED_BITS:032x}"
