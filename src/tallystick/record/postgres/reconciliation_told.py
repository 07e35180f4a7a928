"""What merchants are told of settlement rows: which evidence waits for it, and what was told."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import asyncpg
import msgspec
from msgspec import Struct

from tallystick.decisions.reconciliation_messages import SETTLED_PARTS, Compared
from tallystick.decisions.settlements import BatchName
from tallystick.domain.reconciliation import EXCEPTION_REASONS
from tallystick.domain.settlement_evidence import CoveredPosting
from tallystick.record.postgres import sql
from tallystick.record.postgres.structs import structs_of

_STATEMENTS: Final = sql.load("reconciliation_told.sql")

#: Rows that are read at once.
PAGE: Final = 500

#: How the ids of sets of later evidence begin, a person's or a comparison's: they are of no file.
_OF_LATER: Final = ("rsl_", "rcm_")

#: What looking for sets may take.
_LONG_S: Final = 60.0


class SetToTell(Struct, frozen=True, kw_only=True):
    """The evidence of one file, or of a later word, about one batch."""

    file_id: str
    provider: str
    account: str
    batch: str
    currency: str

    @property
    def name(self) -> BatchName:
        """The batch."""
        return BatchName(provider=self.provider, account=self.account, batch=self.batch, currency=self.currency)


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
        """Rows of a set that are about merchants' payments, after a position. A later word's set is one page."""
        given: tuple[Any, ...]
        wanted = (sorted(SETTLED_PARTS), list(EXCEPTION_REASONS))
        if of.file_id.startswith(_OF_LATER):
            if after:
                return []
            name, given = "later_evidence_to_tell", (of.file_id, of.batch, of.currency, *wanted)
        else:
            name, given = "evidence_to_tell", (of.file_id, of.batch, of.currency, after, PAGE, *wanted)
        return [_compared(row) for row in await self._pool.fetch(_STATEMENTS[name], *given, timeout=_LONG_S)]

    async def told(self, names: Sequence[tuple[str, str]]) -> frozenset[str]:
        """Which of these (merchant, id) were told."""
        given = ([merchant for merchant, _ in names], [id_ for _, id_ in names])
        return frozenset(
            row["reconciliation_id"] for row in await self._pool.fetch(_STATEMENTS["told_already"], *given)
        )

    async def close(self, of: SetToTell, at: datetime) -> None:
        """Merchants were told everything of a set."""
        await self._pool.execute(_STATEMENTS["insert_told"], of.file_id, of.batch, of.currency, at)


def _compared(row: Any) -> Compared:
    held = dict(row)
    if held["further"] is not None:
        held["further"] = msgspec.json.decode(held["further"], type=tuple[CoveredPosting, ...])
    return Compared(**held)
