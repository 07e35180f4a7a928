"""The parts of a verification. Together they are the whole record, and one payment is in one part, so each can be
examined by a process of its own."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import asyncpg
from msgspec import Struct

from tallystick.record.postgres.invariant_statements import fetch_all
from tallystick.record.postgres.stream_record import merchants

#: Payments in one part: about a second of work, so that processes end at about the same time.
PART_PAYMENTS: Final = 5_000


class Part(Struct, frozen=True, kw_only=True):
    """One part: what is asked of the platform (without a merchant), or payments of a merchant, or the rest of what is
    asked of a merchant, or both. ``payments``: so many after this id."""

    merchant_id: str | None = None
    payments: tuple[str, int] | None = None
    rest: bool = False


async def planned(connection: asyncpg.Connection, merchant_id: str | None) -> list[Part]:
    """The parts for all merchants or one, in the order of the report."""
    parts = [Part()]
    async for each in merchants(connection, merchant_id):
        rows = await fetch_all(connection, "part_ends", each, PART_PAYMENTS)
        ends: list[tuple[str, int]] = [("", 0), *((row["payment_id"], row["place"]) for row in rows)]
        payments = [(after, upto - place) for (after, place), (_, upto) in pairwise(ends)]
        if len(payments) <= 1:
            parts.append(Part(merchant_id=each, payments=payments[0] if payments else None, rest=True))
        else:
            parts += [Part(merchant_id=each, payments=these) for these in payments]
            parts.append(Part(merchant_id=each, rest=True))
    return parts
