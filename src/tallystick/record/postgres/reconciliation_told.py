"""What merchants are told of settlement rows: which evidence waits for it, and what was told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import asyncpg
import msgspec
from msgspec import Struct

from tallystick.decisions.reconciliation_messages import SETTLED_PARTS, Compared
from tallystick.decisions.settlements import BatchName
from tallystick.domain.kinds import RECONCILIATION_KIND
from tallystick.domain.reconciliation import EXCEPTION_REASONS, Reconciliation
from tallystick.domain.settlement_evidence import CoveredPosting
from tallystick.record.postgres import sql
from tallystick.record.postgres.structs import structs_of
from tallystick.record.postgres.subject_reads import reader

_STATEMENTS: Final = sql.load("reconciliation_told.sql")

#: Rows that are read at once.
PAGE: Final = 500

#: How the ids of sets of later evidence begin, a person's or a comparison's: they are of no file.
_OF_LATER: Final = ("rsl_", "rcm_")

#: How the id of the set of what a withdrawal took back begins.
_OF_WITHDRAWAL: Final = "wdr_"

#: What looking for sets may take.
_LONG_S: Final = 60.0

#: Which comparison something follows from: file, position and version.
Comparison = tuple[str, int, int]


class SetToTell(Struct, frozen=True, kw_only=True):
    """The evidence of one file, of a later word or of a withdrawal, about one batch."""

    file_id: str
    provider: str
    account: str
    batch: str
    currency: str

    @property
    def name(self) -> BatchName:
        """The batch."""
        return BatchName(provider=self.provider, account=self.account, batch=self.batch, currency=self.currency)

    @property
    def is_withdrawal(self) -> bool:
        """Whether it takes back what a file said."""
        return self.file_id.startswith(_OF_WITHDRAWAL)


class Settling(Struct, frozen=True):
    """A row that has a movement by now, with its batch and the set in which it counts there."""

    row: Compared
    name: BatchName
    set_id: str


class ToldBook:
    """Over a pool of connections. Its methods raise what asyncpg raises."""

    def __init__(self, pool: asyncpg.Pool, merchant_id: str) -> None:
        self._pool, self._merchant_id = pool, merchant_id

    async def sets(self) -> Sequence[SetToTell]:
        """What is posted and was not told, the oldest first."""
        return structs_of(
            await self._pool.fetch(_STATEMENTS["sets_to_tell"], self._merchant_id, timeout=_LONG_S), SetToTell
        )

    async def page(self, of: SetToTell, after: int) -> Sequence[Compared]:
        """Rows of a set that are about merchants' payments, after a position. A later word's set is one page. Of a
        withdrawal each row is what it came to before, with the version of what it comes to now."""
        batch, parts, reasons = (of.file_id, of.batch, of.currency), sorted(SETTLED_PARTS), list(EXCEPTION_REASONS)
        name: str
        given: tuple[Any, ...]
        if of.is_withdrawal:
            name, given = "withdrawn_to_tell", (*batch, after, PAGE, parts)
        elif not of.file_id.startswith(_OF_LATER):
            name, given = "evidence_to_tell", (*batch, after, PAGE, parts, reasons)
        elif after:
            return []
        else:
            name, given = "later_evidence_to_tell", (*batch, parts, reasons)
        return [_compared(row) for row in await self._pool.fetch(_STATEMENTS[name], *given, timeout=_LONG_S)]

    async def said(self, names: Sequence[tuple[str, str]]) -> Mapping[str, Reconciliation]:
        """What was said last of these (merchant, id), by id."""
        given = ([merchant for merchant, _ in names], [id_ for _, id_ in names])
        read = reader(RECONCILIATION_KIND)
        found = await self._pool.fetch(_STATEMENTS["said_last"], *given, timeout=_LONG_S)
        return {row["reconciliation_id"]: read(row) for row in found}

    async def superseded(self, comparisons: Sequence[Comparison]) -> frozenset[Comparison]:
        """Which of these another comparison has superseded."""
        given = ([file for file, _, _ in comparisons], [at for _, at, _ in comparisons], [n for _, _, n in comparisons])
        found = await self._pool.fetch(_STATEMENTS["superseded"], *given, timeout=_LONG_S)
        return frozenset((row["file_id"], row["position"], row["version"]) for row in found)

    async def settling(self, rows: Sequence[Compared]) -> Sequence[Settling]:
        """What the payments of these rows are settled by now, of whichever file: by their newest evidence."""
        payments = sorted({(row.merchant_id, row.payment_id) for row in rows})
        given = ([merchant for merchant, _ in payments], [payment for _, payment in payments])
        found = await self._pool.fetch(_STATEMENTS["settling"], *given, sorted(SETTLED_PARTS), timeout=_LONG_S)
        return [_settling(row) for row in found]

    async def close(self, of: SetToTell, at: datetime) -> None:
        """Merchants were told everything of a set."""
        await self._pool.execute(_STATEMENTS["insert_told"], of.file_id, of.batch, of.currency, at)


def _compared(row: Any) -> Compared:
    held = {name: row[name] for name in Compared.__struct_fields__}
    if held["further"] is not None:
        held["further"] = msgspec.json.decode(held["further"], type=tuple[CoveredPosting, ...])
    return Compared(**held)


def _settling(row: Any) -> Settling:
    name = BatchName(provider=row["provider"], account=row["account"], batch=row["batch"], currency=row["currency"])
    return Settling(_compared(row), name, row["set_id"])
