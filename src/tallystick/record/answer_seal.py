"""Seals what providers answered: with the process's key, and once more with a key of its own that an erasure takes.

It is bound to the change that it was written with.
"""

from __future__ import annotations

from typing import Final

from tallystick.record.postgres.arrival_keys import is_wrapped, new_key, unwrapped, wrapped
from tallystick.record.sealing import SealBroken, Sealer, delivery_row

#: Stands where arrivals have their provider: no provider has this name.
_KIND: Final = "provider answer"

#: Merchant, payment and change.
AnswerName = tuple[str, str, str]


def sealed_answer(sealer: Sealer, plain: bytes, name: AnswerName) -> tuple[bytes, bytes]:
    """The bytes as they are stored, and the key of their own. Raises SealingRefused."""
    key, row = new_key(), (_KIND, *name)
    return wrapped(key, sealer.seal(plain, delivery_row(*row)), row), key


def opened_answer(sealer: Sealer, sealed: bytes, key: bytes | None, name: AnswerName) -> bytes:
    """The bytes. Raises SealBroken, also where the key is erased."""
    row = (_KIND, *name)
    inner = unwrapped(key, sealed, row) if is_wrapped(sealed) else b""
    if not inner:
        raise SealBroken("its key is not there, or is another's")
    return sealer.open(inner, delivery_row(*row))
