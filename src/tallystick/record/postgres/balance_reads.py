"""Balances that providers and banks state, beside what the ledger has of them: reads alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final

import asyncpg
from msgspec import Struct

from tallystick.decisions.bank_matching import Payout
from tallystick.domain.bank_statement import STATEMENT_FORMATS
from tallystick.record.postgres import sql
from tallystick.record.postgres.bank_book import STATEMENTS as BANK
from tallystick.record.postgres.bank_book import payouts_of
from tallystick.record.postgres.structs import structs_of

STATEMENTS: Final = sql.load("balances.sql")

#: What a statement over all files may take.
_LONG_S: Final = 600.0

_FORMATS: Final = list(STATEMENT_FORMATS)


class Stated(Struct, frozen=True, kw_only=True):
    """One statement of a balance. ``moved``: what is posted of it; None: nothing yet."""

    provider: str
    account: str
    balance_account: str | None
    currency: str
    batch: str
    file_id: str
    sequence: str | None
    from_on: date | None
    to_on: date | None
    opening: int
    closing: int
    rows: int
    imported_at: datetime
    is_bank: bool
    moved: int | None
    doubled: bool


class NotStated(Struct, frozen=True, kw_only=True):
    """Batches that are posted, and in no statement of a balance."""

    currency: str
    batches: int
    moved: int
    absolute: int


class EntrySum(Struct, frozen=True, kw_only=True):
    """What entries of one bank account came to."""

    currency: str
    account: str
    part: str
    status: str
    reason: str
    entries: int
    net: int
    absolute: int


class Balances(Struct, frozen=True, kw_only=True):
    """Of one provider or bank, from one snapshot. ``ledger``: (account, currency) -> debits less credits."""

    statements: Sequence[Stated]
    not_stated: Sequence[NotStated]
    payouts: Sequence[Payout]
    entries: Sequence[EntrySum]
    ledger: Mapping[tuple[str, str], int]


class BalanceReads:
    """Over a pool of connections. They raise what asyncpg raises."""

    def __init__(self, pool: asyncpg.Pool, merchant_id: str) -> None:
        self._pool, self._merchant_id = pool, merchant_id

    async def stating_providers(self) -> Sequence[str]:
        """Providers, and no banks, whose files state a balance."""
        found = await self._pool.fetch(STATEMENTS["stating_providers"], _FORMATS, timeout=_LONG_S)
        return [row["provider"] for row in found]

    async def stated(self, provider: str, accounts: Sequence[str]) -> Balances:
        """What a provider states, and the ledger, without payouts and entries."""
        return await self._read(provider, accounts, with_movements=False)

    async def of(self, provider: str, accounts: Sequence[str]) -> Balances:
        """``accounts``: those of the ledger that are wanted, besides the bank's own."""
        return await self._read(provider, accounts, with_movements=True)

    async def _read(self, provider: str, accounts: Sequence[str], *, with_movements: bool) -> Balances:
        async with (
            self._pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):

            async def read(of: Mapping[str, str], name: str, *given: Any) -> Any:
                return await connection.fetch(of[name], *given, timeout=_LONG_S)

            statements = await read(STATEMENTS, "stated", provider, self._merchant_id, _FORMATS)
            found = structs_of(statements, Stated)
            ledger = await read(STATEMENTS, "ledger", self._merchant_id, list(accounts))
            return Balances(
                statements=found,
                not_stated=structs_of(await read(STATEMENTS, "not_stated", provider, self._merchant_id), NotStated),
                payouts=payouts_of(await read(BANK, "payouts", _FORMATS, provider, None)) if with_movements else [],
                entries=structs_of(await read(STATEMENTS, "entries", provider), EntrySum)
                if with_movements and any(each.is_bank for each in found)
                else [],
                ledger={(row["account"], row["currency"]): row["net"] for row in ledger},
            )
