"""The parts of a verification. Together they are the whole record, and one payment is in one part, so each can be
examined by a process of its own."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Final

import asyncpg
from msgspec import Struct

from tallystick.record.postgres.invariant_statements import fetch_all
from tallystick.record.postgres.stream_record import merchants

#: Payments in one part: a page. See ``in_order_of_time``.
PART_PAYMENTS: Final = 500


class Part(Struct, frozen=True, kw_only=True):
    """One part: what is asked of the platform (without a merchant), or payments of a merchant, or the rest of what is
    asked of a merchant, or both. ``payments``: so many after this id; ``last`` is the id of the last one."""

    merchant_id: str | None = None
    payments: tuple[str, int] | None = None
    last: str = ""
    rest: bool = False


async def planned(connection: asyncpg.Connection, merchant_id: str | None) -> list[Part]:
    """The parts for all merchants or one, in the order of the report."""
    parts = [Part()]
    async for each in merchants(connection, merchant_id):
        rows = await fetch_all(connection, "part_ends", each, PART_PAYMENTS)
        ends: list[tuple[str, int]] = [("", 0), *((row["payment_id"], row["place"]) for row in rows)]
        payments = [
            Part(merchant_id=each, payments=(after, upto - place), last=last)
            for (after, place), (last, upto) in pairwise(ends)
        ]
        if len(payments) <= 1:
            only = payments[0] if payments else Part()
            parts.append(Part(merchant_id=each, payments=only.payments, last=only.last, rest=True))
        else:
            parts += payments
            parts.append(Part(merchant_id=each, rest=True))
    return parts


def in_order_of_time(parts: Iterable[Part]) -> list[tuple[int, Part]]:
    """The parts with their places in the report, in the order in which they are best examined. Tables keep their rows
    in the order of time, as payments' ids are: parts of several merchants that were written at the same time find their
    pages in the database's memory, and each page is read from the disk once. What is asked of a whole merchant takes
    longest, and comes first, so that no process waits for it at the end."""
    return sorted(enumerate(parts), key=lambda each: (each[1].payments is not None, each[1].last))
