"""Whether this release counts as the open payments of the record were made: the exponents of their currencies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import asyncpg
from msgspec import Struct

from tallystick.domain.currencies import EXPONENTS
from tallystick.domain.lifecycles.payment import PAYMENT
from tallystick.domain.money import Exponents
from tallystick.domain.subjects import Payment
from tallystick.providers.assembly import exponents_by_provider
from tallystick.record.postgres import sql

_STATEMENTS: Final = sql.load("exponents.sql")

#: In them, money can move only where something is left to refund, or late money has not gone back.
_FINAL: Final = sorted(PAYMENT.final)


class ChangedExponents(Struct, frozen=True, kw_only=True):
    """Open payments that were made when a currency was counted otherwise. ``now``: by the tables of this release, or
    None where they lack the currency."""

    provider: str
    currency: str
    stored: Exponents
    now: Exponents | None
    open_payments: int


async def changed_exponents(connection: asyncpg.Connection) -> Sequence[ChangedExponents]:
    """What a release must not change while such payments are open: balances add up amounts of old and new payments, and
    would mix their units. Empty where the record has no exponents yet. Reads every payment, outside of any transaction
    of the caller; raises what asyncpg raises."""
    try:
        async with connection.transaction(readonly=True):
            # Of a large table it is the one good plan, and connections plan without it.
            await connection.execute("SET LOCAL enable_seqscan = on")
            rows = await connection.fetch(_STATEMENTS["open_exponents"], _FINAL)
    except (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError):  # before the migrations that brought them
        return ()
    found = []
    for row in rows:
        stored = Exponents(row["exponent"], row["provider_exponent"])
        now = current_exponents(row["provider"], row["currency"])
        if now != stored:
            found.append(
                ChangedExponents(
                    provider=row["provider"],
                    currency=row["currency"],
                    stored=stored,
                    now=now,
                    open_payments=row["open_payments"],
                )
            )
    return found


def current_exponents(provider: str, currency: str) -> Exponents | None:
    """A currency's exponents by the tables of this release, or None where they lack the currency."""
    ours = EXPONENTS.get(currency)
    if ours is None:
        return None
    return Exponents(ours, exponents_by_provider().get(provider, {}).get(currency, ours))


def can_still_move(payment: Payment) -> bool:
    """Whether money of the payment can still move through us: it is open, something is left to refund, or late money
    has not gone back. The same condition is in ``exponents.sql``."""
    came = payment.amount_captured + payment.amount_late_accepted - payment.amount_reversed
    return (
        payment.state not in PAYMENT.final
        or came > payment.amount_refunded
        or payment.amount_late > payment.amount_late_accepted + payment.amount_late_returned
    )
