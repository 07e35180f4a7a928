"""Rows of settlement files that the inbox is told of, with the events that tell of them: in the transaction that has
found them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from tallystick.domain.settlement_evidence import Candidate
from tallystick.record.postgres import sql
from tallystick.record.postgres.arrival_keys import new_key, wrapped
from tallystick.record.postgres.arrivals import ArrivalRow
from tallystick.record.postgres.inbox import STATEMENTS
from tallystick.record.postgres.inbox_rows import EventName

NEWS_STATEMENTS: Final = sql.load("reconciliation_news.sql")

#: A row of a file: the file, and its place there.
RowName = tuple[str, int]

#: What a statement over a whole file may take.
_LONG_S: Final = 600.0


class NewsRows:
    """In a transaction that has its turn with the provider: nobody else tells of its rows until it ends. Over a pool of
    connections only to look."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def told(self, file_id: str) -> frozenset[int]:
        """The rows of a file that the inbox was told of."""
        found = await self._connection.fetch(NEWS_STATEMENTS["told_rows"], file_id, timeout=_LONG_S)
        return frozenset([row["position"] for row in found])

    async def waits(self, file_id: str, limit: int) -> bool:
        """Whether the inbox has not decided on news of the file, and it waited for less than ``limit`` rounds: this is
        one more."""
        return bool(await self._connection.fetch(NEWS_STATEMENTS["count_tries"], file_id, limit, timeout=_LONG_S))

    async def taken_back(self, names: Sequence[EventName]) -> frozenset[EventName]:
        """Of these events, those that only withdrawn files told of."""
        if not names:
            return frozenset()
        found = await self._connection.fetch(NEWS_STATEMENTS["taken_back"], *_columns(names), timeout=_LONG_S)
        return frozenset([(row["provider"], row["account"], row["provider_event_id"]) for row in found])

    async def told_of(self, rows: Sequence[RowName]) -> frozenset[RowName]:
        """Those of these rows that the inbox was told of."""
        names = ([file_id for file_id, _ in rows], [position for _, position in rows])
        found = await self._connection.fetch(NEWS_STATEMENTS["told_of_these"], *names, timeout=_LONG_S)
        return frozenset([(row["file_id"], row["position"]) for row in found])

    async def known_charges(self, provider: str, account: str, charges: Sequence[str]) -> Mapping[str, Candidate]:
        """Of these names of charges, those that an attempt of ours has, and its payment has not: it has no outcome, or
        none that took money."""
        given = (provider, account, list(charges))
        found = await self._connection.fetch(NEWS_STATEMENTS["known_charges"], *given, timeout=_LONG_S)
        return {
            row["charge"]: Candidate(
                found_by="payment_reference",
                merchant_id=row["merchant_id"],
                payment_id=row["payment_id"],
                subject_id=row["payment_id"],
                state="unknown",
            )
            for row in found
        }

    async def tell(
        self, rows: Sequence[tuple[RowName, EventName]], arrivals: Sequence[ArrivalRow], at: datetime, shift_ms: int
    ) -> int:
        """Write which event tells of each row, and the events that the inbox does not have. Returns how many it did not
        have."""
        told = [(*row, *name) for row, name in rows]
        await self._connection.execute(NEWS_STATEMENTS["insert_news"], *_columns(told), at, timeout=_LONG_S)
        names = [each.name for each in arrivals]
        known = await self._connection.fetch(NEWS_STATEMENTS["known_names"], *_columns(names), timeout=_LONG_S)
        had = {tuple(row) for row in known}
        new = sorted((each for each in arrivals if each.name not in had), key=lambda each: each.name)
        if not new:
            return 0
        keys = [new_key() for _ in new]
        events = [
            (*each.name, each.event_id, each.digest, *each.event, key) for each, key in zip(new, keys, strict=True)
        ]
        await self._connection.execute(STATEMENTS["insert_events"], *_columns(events), shift_ms, timeout=_LONG_S)
        deliveries = [
            (
                *each.name,
                each.delivery_id,
                *each.times,
                "first",
                each.digest,
                wrapped(key, each.sealed, (*each.name, each.delivery_id)),
            )
            for each, key in zip(new, keys, strict=True)
        ]
        await self._connection.execute(STATEMENTS["insert_deliveries"], *_columns(deliveries), timeout=_LONG_S)
        return len(new)


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
