"""Rejected cases in the record: found, listed, grouped; and the rejections that have none yet."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import asyncpg
import msgspec
from msgspec import Struct

from tallystick.domain.change import Rejection
from tallystick.domain.kinds import REJECTED_CASE_KIND
from tallystick.domain.origin import Origin
from tallystick.domain.rejected_case import Category, RejectedCase
from tallystick.domain.work_owner import names_of
from tallystick.kit.clock import Clock
from tallystick.kit.ids import sibling_id
from tallystick.record.postgres import sql
from tallystick.record.postgres.hourly_counts import HourBook
from tallystick.record.postgres.inbox_rows import LeasedEvent, ListPosition
from tallystick.record.postgres.structs import structs_of
from tallystick.record.postgres.subject_reads import reader

STATEMENTS: Final = sql.load("cases.sql")

#: Before everything that was ever recorded.
_BEGINNING: Final = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


class CaseFilter(Struct, frozen=True, kw_only=True):
    """Which cases; None matches all. ``state`` None: those that are not resolved. ``unassigned``: without an owner."""

    state: str | None = None
    category: str | None = None
    provider: str | None = None
    merchant_id: str | None = None
    owner: str | None = None
    event: str | None = None
    subject: str | None = None
    subject_state: str | None = None
    unassigned: bool = False


class CaseGroup(Struct, frozen=True, kw_only=True):
    """Cases of one cause that are not resolved: the same edge was tried in the same state by the same means.
    ``example_id``: the oldest of them."""

    category: Category
    subject: str
    subject_state: str
    event: str
    tried_by: str
    provider: str | None
    cases: int
    open: int
    unassigned: int
    oldest_at: datetime
    newest_at: datetime
    oldest_age_ms: int
    example_id: str


class _RejectionRow(Struct, frozen=True, kw_only=True):
    merchant_id: str
    stream_id: str
    rejection_id: str
    subject_id: str
    subject: str
    state: str
    version: int
    event: str
    cause: str
    actor: str
    origin: Origin
    reason: str
    at: datetime
    evidence: dict[str, Any] | None
    category: Category | None

    def rejection(self) -> Rejection:
        """As it was written."""
        return Rejection(alert=True, **{name: getattr(self, name) for name in self.__struct_fields__})


class EventResultCount(Struct, frozen=True, kw_only=True):
    """How many tries at events of one type had one result in the hour that begins at ``hour``."""

    provider: str
    type: str
    result: str
    hour: datetime
    count: int


class EventResultCounts(HourBook[EventResultCount]):
    """The table of what tries at events came to."""

    ADD, FORGET, READ = STATEMENTS["count_results"], STATEMENTS["forget_results"], STATEMENTS["results"]
    row = EventResultCount


class CaseBook:
    """Reads over a pool of connections. They raise what asyncpg raises."""

    def __init__(self, pool: asyncpg.Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    async def find(self, case_id: str) -> RejectedCase | None:
        """One case by its id alone."""
        row = await self._pool.fetchrow(STATEMENTS["case"], case_id)
        return None if row is None else reader(REJECTED_CASE_KIND)(row)

    async def page(self, which: CaseFilter, after: ListPosition | None, limit: int) -> Sequence[RejectedCase]:
        """A page of cases, the oldest first, after the position ``after``."""
        statement = "resolved_cases" if which.state == "resolved" else "waiting_cases"
        values = (
            which.state,
            which.category,
            which.provider,
            which.merchant_id,
            None if which.owner is None else names_of(which.owner),
            which.event,
            which.subject,
            which.subject_state,
            which.unassigned,
        )
        rows = await self._pool.fetch(STATEMENTS[statement], *(after or (_BEGINNING, "")), *values, limit)
        return [reader(REJECTED_CASE_KIND)(row) for row in rows]

    async def groups(self) -> Sequence[CaseGroup]:
        """Cases that are not resolved, by their cause."""
        return structs_of(await self._pool.fetch(STATEMENTS["case_groups"], self._clock.shift_ms), CaseGroup)

    async def rejection(self, case: RejectedCase) -> Rejection | None:
        """What the case is about, as it was recorded."""
        values = (case.merchant_id, case.from_stream_id, case.rejection_id)
        row = await self._pool.fetchrow(STATEMENTS["rejection"], *values)
        return None if row is None else _rejection(row)

    async def missing(
        self, after: ListPosition | None, since: datetime | None, limit: int
    ) -> tuple[Sequence[Rejection], ListPosition | None]:
        """Of the next ``limit`` rejections that alert, those without their case; and the position of the last one, None
        at the end."""
        values = (*(after or (_BEGINNING, "")), since or _BEGINNING, limit)
        found = [_rejection(row) for row in await self._pool.fetch(STATEMENTS["alerting_rejections"], *values)]
        if not found:
            return [], None
        cases = {each.rejection_id: (each.merchant_id, sibling_id("case", each.rejection_id)) for each in found}
        columns = list(zip(*cases.values(), strict=True))
        known = {row["case_id"] for row in await self._pool.fetch(STATEMENTS["known_cases"], *columns)}
        missing = [each for each in found if cases[each.rejection_id][1] not in known]
        return missing, (found[-1].at, found[-1].rejection_id)

    async def provider_of(self, merchant_id: str, stream_id: str) -> str | None:
        """The provider of the payment whose stream it is, where it is one."""
        found: str | None = await self._pool.fetchval(STATEMENTS["provider_of_subject"], merchant_id, stream_id)
        return found

    async def event_to_decide(self, event_id: str) -> LeasedEvent | None:
        """A closed event as a worker would lease it; it is not leased."""
        row = await self._pool.fetchrow(STATEMENTS["event_to_decide"], event_id)
        return None if row is None else LeasedEvent(**dict(row))


def _rejection(row: asyncpg.Record) -> Rejection:
    held = dict(row)
    if isinstance(held["evidence"], str):
        held["evidence"] = msgspec.json.decode(held["evidence"])
    return msgspec.convert(held, _RejectionRow).rejection()
