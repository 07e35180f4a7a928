"""Passwords of operators: argon2id, and what is refused as one. No I/O."""

from __future__ import annotations

import asyncio
import os
import re
import unicodedata
from typing import Final

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from tallystick.domain.errors import TallystickError

#: OWASP's first choice for argon2id: 46 MiB, one pass, one lane; some 60 ms here. More memory would make sign-ins a
#: way to fill a host's memory.
MEMORY_KIB: Final = 47_104
PASSES: Final = 1
LANES: Final = 1

_SALT_BYTES: Final = 16
_HASH_BYTES: Final = 32

#: NIST SP 800-63B-4 asks for 15 where a password stands alone; beside a second factor for 8.
SHORTEST: Final = 12
LONGEST: Final = 256

#: Hashes under way at once in a process: each takes MEMORY_KIB.
AT_ONCE: Final = 2

_COST: Final = f"$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}$"

#: For accounts that do not exist: to find that out takes as long as a wrong password does.
_NOBODY: Final = _COST + "cWAzzn7hlcyg6QhTRLfdbg$gWtkOhBfLqrwPODxWnJlKcYZMPVCJn9ICkfPGKOY5zY"


class PasswordRefused(TallystickError):
    """It is no password that we take; the message says why, and does not repeat it."""


class Passwords:
    """Hashes in threads, a few at a time."""

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def hash(self, password: str) -> str:
        """A salted hash, with its cost in it."""
        async with self._slots:
            return await asyncio.to_thread(_hash, password)

    async def matches(self, password: str, stored: str | None) -> bool:
        """Whether the password has this hash; False, after as long, without one."""
        async with self._slots:
            return await asyncio.to_thread(_verify, password, stored or _NOBODY) and stored is not None


def is_outdated(stored: str) -> bool:
    """Whether the hash was made at another cost than today's."""
    return not stored.startswith(_COST)


def require_password(password: str, operator_id: str) -> None:
    """Raises PasswordRefused."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise PasswordRefused(f"a password has {SHORTEST} to {LONGEST} characters")
    if len(set(password)) < 5 or re.sub(r"\W", "", password.lower()) in (operator_id, operator_id * 2, operator_id * 3):
        raise PasswordRefused("this password is too easy to guess")


def _hash(password: str) -> str:
    return Argon2id(
        salt=os.urandom(_SALT_BYTES), length=_HASH_BYTES, iterations=PASSES, lanes=LANES, memory_cost=MEMORY_KIB
    ).derive_phc_encoded(_bytes(password))


def _verify(password: str, stored: str) -> bool:
    try:
        Argon2id.verify_phc_encoded(_bytes(password), stored)
    except InvalidKey:
        return False
    return True


def _bytes(password: str) -> bytes:
    """Keyboards write the same character in different ways."""
    return unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")
