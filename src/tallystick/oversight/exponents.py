"""Whether this release counts as the open payments of the record were made: the exponents of their currencies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import asyncpg
from msgspec import Struct

from tallystick.domain.currencies import EXPONENTS
from tallystick.domain.lifecycles.payment import PAYMENT
from tallystick.domain.money import Exponents
from tallystick.record.postgres import sql

_STATEMENTS: Final = sql.load("exponents.sql")

#: States in which no money of a payment can move through us any more. A captured one can be refunded.
_CLOSED: Final = [state for state in PAYMENT.final if state != "captured"]


class ChangedExponents(Struct, frozen=True, kw_only=True):
    """Open payments that were made when a currency was counted otherwise. ``now``: by the tables of this release, or
    None where they lack the currency."""

    provider: str
    currency: str
    stored: Exponents
    now: Exponents | None
    open_payments: int


async def changed_exponents(
    connection: asyncpg.Connection | asyncpg.Pool, by_provider: Mapping[str, Mapping[str, int]]
) -> Sequence[ChangedExponents]:
    """What a release must not change while such payments are open: balances add up amounts of old and new payments, and
    would mix their units. ``by_provider``: each provider's differences from ISO 4217. Reads every payment; raises what
    asyncpg raises."""
    found = []
    for row in await connection.fetch(_STATEMENTS["open_exponents"], _CLOSED):
        stored = Exponents(row["exponent"], row["provider_exponent"])
        now = _now(row["currency"], by_provider.get(row["provider"], {}))
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


def _now(currency: str, provider_exponents: Mapping[str, int]) -> Exponents | None:
    ours = EXPONENTS.get(currency)
    return None if ours is None else Exponents(ours, provider_exponents.get(currency, ours))
