"""What processes do by themselves: how much, and row by row."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, Literal, get_args

from msgspec import Struct

from tallystick.record.postgres import sql
from tallystick.record.postgres.structs import structs_of
from tallystick.record.postgres.trace_rows import Fetches

STATEMENTS: Final = sql.load("queues.sql")

#: By the names of their statements.
Queue = Literal["attempts_to_settle", "deadlines", "events_to_process", "messages_to_dispatch", "queues_to_send"]

QUEUES: Final[tuple[Queue, ...]] = get_args(Queue)


class QueueItem(Struct, frozen=True, kw_only=True):
    """One row. ``about``: the payment, or the stream that it belongs to. ``due_at``: when it is taken, if a process is
    free. ``amount``: in minor units, where the row has one."""

    item_id: str
    merchant_id: str | None
    about: str | None
    says: str
    due_at: datetime
    amount: int | None
    currency: str | None


#: Rows of a queue are counted up to here: a page that is renewed must cost no more where a process is away.
COUNTED: Final = 10_000


class UnderWay(Struct, frozen=True, kw_only=True):
    """How many rows a queue has, up to ``COUNTED``."""

    what: Queue
    waiting: int

    @property
    def at_least(self) -> bool:
        """Whether there may be more."""
        return self.waiting >= COUNTED


class Asked(Struct, frozen=True, kw_only=True):
    """Attempts in one currency whose outcome nobody knows and recovery asks for. ``amount``: in minor units."""

    currency: str
    waiting: int
    amount: int
    oldest_at: datetime


async def read_under_way(connection: Fetches) -> Sequence[UnderWay]:
    """How much of each there is but deadlines, which all open payments have. Raises what the connection raises."""
    return structs_of(await connection.fetch(STATEMENTS["under_way"], COUNTED), UnderWay)


async def read_asked(connection: Fetches, shift_ms: int) -> Sequence[Asked]:
    """What recovery asks about. Raises what the connection raises."""
    return structs_of(await connection.fetch(STATEMENTS["asking"], shift_ms), Asked)


async def read_queue(connection: Fetches, queue: Queue, limit: int) -> Sequence[QueueItem]:
    """The first rows of it. Raises what the connection raises."""
    return structs_of(await connection.fetch(STATEMENTS[queue], limit), QueueItem)
