"""Identifiers: time-ordered UUIDs (version 7, RFC 9562) with a prefix that says what they name.

Minted by the application, never by the database: no sequence has to be shared between shards.
"""

from __future__ import annotations

import os
import re
import threading
import time
from datetime import datetime
from typing import Final

PREFIXES: Final = ("pay", "att", "re", "evt", "tr", "chg", "ins", "rej", "req")

_SHAPE: Final = re.compile(rf"({'|'.join(PREFIXES)})_[0-9a-f]{{32}}")

#: Random bits taken from the operating system at a time: one call serves many ids.
_POOL_BYTES: Final = 4_096

#: Bytes of randomness in one id (62 bits of tail, the rest is time, counter and version).
_TAIL_BYTES: Final = 8

#: 12 bits beside the millisecond order ids within it; it starts low, so that 2,048 or more fit.
_COUNTER_LIMIT: Final = 0xFFF


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
            value = (self._last_ms << 80) | (0x7 << 76) | (self._counter << 64)
        return f"{value | (0b10 << 62) | (tail >> 2):032x}"


_MINTER: Final = _Minter()


def new_id(prefix: str) -> str:
    """A new id such as ``pay_0190…``: later ids of one process sort after earlier ones."""
    return f"{prefix}_{_MINTER.mint()}"


def is_id(prefix: str, text: str) -> bool:
    """Whether ``text`` has the shape of one of our ids with this prefix."""
    return text.startswith(prefix + "_") and _SHAPE.fullmatch(text) is not None


def id_floor(prefix: str, moment: datetime) -> str:
    """The smallest id of the millisecond of ``moment``: lists by time are lists by id."""
    milliseconds = max(0, int(moment.timestamp() * 1000))
    return f"{prefix}_{milliseconds << 80:032x}"
