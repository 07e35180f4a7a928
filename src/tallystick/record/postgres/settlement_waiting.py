"""Rows of settlement files that wait for something that the record did not have when they were compared."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final

import asyncpg
from msgspec import Struct

from tallystick.decisions.settlement_matching import TAKES, PaymentKey
from tallystick.decisions.settlement_names import OF_THEIR_CHARGE
from tallystick.domain.bank_statement import STATEMENT_FORMATS
from tallystick.domain.ledger.accounts import provider_account
from tallystick.domain.settlement_evidence import OF_PAYMENTS, Candidate, Evidence, Reason
from tallystick.domain.settlement_row import SettlementRow
from tallystick.record.postgres import sql
from tallystick.record.postgres.settlement_evidence import (
    FOR_LISTS,
    STATEMENTS,
    Comparing,
    EvidenceSet,
    candidate_of,
    evidence_in,
    row_in,
)
from tallystick.record.postgres.settlement_news import NewsRows

_STATEMENTS: Final = sql.load("reconciliation_waiting.sql")

#: Why a row may agree later, with nothing done about it: what it names is not in the record, or no money of its kind
#: moved for it yet.
WAITING: Final[tuple[Reason, ...]] = ("not_in_record", "state", "reference")

#: What a statement over whole tables may take.
_LONG_S: Final = 600.0

_ROW: Final = SettlementRow.__struct_fields__


class WaitingRow(Struct, frozen=True, kw_only=True):
    """A row that waits, and whose it is. ``compared``: the version of its newest evidence."""

    file_id: str
    account: str
    format: str
    parser_version: int
    compared: int
    status: str
    reason: str
    row: SettlementRow


class WaitingRows:
    """One transaction over the waiting rows of one provider."""

    def __init__(self, connection: Any, provider: str) -> None:
        self._connection, self.provider = connection, provider
        self.news = NewsRows(connection)

    async def take_turn(self) -> None:
        """Wait until nobody else says which row has which posting of the provider."""
        await Comparing(self._connection, "").take_turn(self.provider)

    async def rows(self) -> Sequence[tuple[WaitingRow, list[Candidate]]]:
        """Those that name something for which money has moved, in the order of their files, each with its postings; and
        those that name something for which none has, while the inbox was not told of them."""
        found: dict[tuple[str, int], dict[tuple[Any, ...], Candidate]] = {}
        given = (list(WAITING), provider_account(self.provider), sorted(OF_PAYMENTS), sorted(TAKES), OF_THEIR_CHARGE)
        for each in await self._connection.fetch(
            _STATEMENTS["waiting_candidates"], self.provider, *given, timeout=_LONG_S
        ):
            candidate = candidate_of(each)
            of_row = found.setdefault((each["file_id"], each["position"]), {})
            of_row.setdefault((candidate.found_by, *candidate.posting), candidate)
        # All that a row names counts, as in a file: a later stage is not asked where an earlier one names a subject.
        without_money = {name for name, held in found.items() if not has_money(held.values())}
        for name in await self.news.told_of(sorted(without_money)):
            del found[name]
        names = ([file_id for file_id, _ in found], [position for _, position in found])
        rows = await self._connection.fetch(_STATEMENTS["compared_again"], *names, timeout=_LONG_S)
        return [(_waiting(row), list(found[row["file_id"], row["position"]].values())) for row in rows]

    async def with_named_captures(self, payments: Collection[PaymentKey]) -> frozenset[PaymentKey]:
        """Which of these payments have captures with names of their own at the provider."""
        return await Comparing(self._connection, "").with_named_captures(payments)

    async def held(self, file_ids: Sequence[str]) -> frozenset[str]:
        """Which of these files are still imported; they stay so until this transaction ends."""
        return frozenset([file_id for file_id in file_ids if await Comparing(self._connection, file_id).is_held()])

    async def newest(self, row: WaitingRow) -> Evidence:
        """What the row came to last."""
        kept = await self._connection.fetchrow(STATEMENTS["newest_evidence"], row.file_id, row.row.position)
        return evidence_in(kept)

    async def write(
        self,
        set_ids: Mapping[str, str],
        evidence: Sequence[Evidence],
        sets: Mapping[str, Sequence[EvidenceSet]],
        at: datetime,
    ) -> None:
        """The next evidence of rows, and what it comes to by account at the provider. UniqueViolationError where
        another one is their next."""
        await Comparing(self._connection, "").add(evidence)
        for account, of_account in sets.items():
            await Comparing(self._connection, set_ids[account]).close(self.provider, account, of_account, at)


class WaitingBook:
    """Over a pool of connections. Its methods raise what asyncpg raises."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def providers(self) -> Sequence[str]:
        """Providers with rows that wait."""
        given = (list(WAITING), list(STATEMENT_FORMATS))
        return [
            row["provider"] for row in await self._pool.fetch(_STATEMENTS["waiting_providers"], *given, timeout=_LONG_S)
        ]

    @asynccontextmanager
    async def of_provider(self, provider: str) -> AsyncIterator[WaitingRows]:
        """The transaction."""
        async with self._pool.acquire() as connection, connection.transaction():
            for statement in FOR_LISTS:
                await connection.execute(statement)
            yield WaitingRows(connection, provider)


def has_money(found: Iterable[Candidate]) -> bool:
    """Whether money has moved for something that a row may be about."""
    return any(each.amount is not None for each in found)


def _waiting(row: Any) -> WaitingRow:
    return WaitingRow(
        file_id=row["file_id"],
        account=row["account"],
        format=row["format"],
        parser_version=row["parser_version"],
        compared=row["compared"],
        status=row["status"],
        reason=row["reason"],
        row=row_in({name: row[name] for name in _ROW if name in row}),
    )
