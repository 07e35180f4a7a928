"""Two processes that write the same evidence at once: one of the two writes, and the other one looks again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from asyncpg import DeadlockDetectedError, UniqueViolationError

from tallystick.domain.errors import TallystickError
from tallystick.record.postgres.bank_book import PayoutWithdrawn

#: Whoever looks again finds what the other one wrote, and has that much less to do. A person's word may come between
#: once more; what loses this often is no race.
TRIES: Final = 3

_Done = TypeVar("_Done")


class LostRaces(TallystickError):
    """Another version was there each time; nothing was written. The next round tries again."""


async def looked_again(what: str, work: Callable[[], Awaitable[_Done]]) -> _Done:
    """Do ``work``, a transaction that writes evidence, and once more where another process was first. Raises LostRaces,
    which says ``what`` and why."""
    lost = ""
    for _ in range(TRIES):
        try:
            return await work()
        except UniqueViolationError as error:
            lost = str(error.constraint_name)
        except (DeadlockDetectedError, PayoutWithdrawn) as error:
            lost = type(error).__name__
    raise LostRaces(f"{what}: another version was there each of {TRIES} times ({lost})")
