"""The trace of a payment, as an operator sees it: all that there is. A merchant sees a part of it (``merchant.py``)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import asyncpg
from msgspec import Struct

from tallystick.oversight.trace.entries import Entry
from tallystick.oversight.trace.facts import Facts, facts_of
from tallystick.oversight.trace.first_line import first_line
from tallystick.oversight.trace.missing import Missing, missing_of
from tallystick.oversight.trace.rebuild import ProvidersWord, Rebuild, rebuild
from tallystick.oversight.trace.timeline import timeline
from tallystick.oversight.trace.waiting import Role, Waiting, waiting_on
from tallystick.record.postgres.trace_find import merchant_of
from tallystick.record.postgres.trace_parts import TraceRows
from tallystick.record.postgres.trace_rows import trace_rows
from tallystick.settings.load import Settings

#: Where the money of a payment is.
MoneyState = Literal["moved", "held", "in_doubt", "none"]


class NextActor(Struct, frozen=True, kw_only=True):
    """Who acts next, on what, and until when."""

    actor: Role
    what: str
    until: datetime | None


class PaymentTrace(Struct, frozen=True, kw_only=True):
    """All that an operator sees. ``rebuilt`` None: it was not asked for."""

    payment_id: str
    merchant_id: str
    provider: str
    says: str
    facts: Facts
    money: MoneyState
    next: NextActor | None
    waiting: list[Waiting]
    missing: list[Missing]
    timeline: list[Entry]
    as_of: datetime
    rebuilt: Rebuild | None = None


async def traced_payment(
    pool: asyncpg.Pool, merchant_id: str | None, payment_id: str, settings: Settings
) -> PaymentTrace | None:
    """The trace of a merchant's payment, or of whichever merchant has it; None where there is no such payment. On one
    connection of the pool, since each that is given back is a round trip as well: three in all, and four where the
    merchant is looked for. Raises what the pool raises."""
    async with pool.acquire() as connection:
        owner = merchant_id or await merchant_of(connection, payment_id)
        rows = None if owner is None else await trace_rows(connection, owner, payment_id, settings.clock_shift_ms)
    return None if rows is None else trace_of(rows, settings)


def trace_of(rows: TraceRows, settings: Settings) -> PaymentTrace:
    """What the rows say."""
    payment, facts, waiting = rows.record.payment, facts_of(rows), waiting_on(rows, settings)
    return PaymentTrace(
        payment_id=payment.payment_id,
        merchant_id=payment.merchant_id,
        provider=payment.provider,
        says=first_line(facts),
        facts=facts,
        money=money_state(facts),
        next=_next(waiting),
        waiting=waiting,
        missing=missing_of(rows, settings),
        timeline=timeline(rows),
        as_of=rows.now,
    )


def rebuilt_trace(rows: TraceRows, settings: Settings, word: Sequence[ProvidersWord] | None = None) -> PaymentTrace:
    """The same, with the history folded and compared. ``word``: what the provider says now, if it was asked."""
    trace = trace_of(rows, settings)
    fields = {name: getattr(trace, name) for name in PaymentTrace.__struct_fields__}
    return PaymentTrace(**fields | {"rebuilt": rebuild(rows, settings, word)})


def money_state(facts: Facts) -> MoneyState:
    """Where the money is; what is in doubt comes first."""
    if facts.in_doubt:
        return "in_doubt"
    if facts.amount:
        return "moved"
    return "held" if facts.held else "none"


def _next(waiting: list[Waiting]) -> NextActor | None:
    if not waiting:
        return None
    first = waiting[0]
    return NextActor(actor=first.actor, what=first.what, until=first.until)
