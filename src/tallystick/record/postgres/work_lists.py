"""What waits for a person, in one shape: dead letters, rejected cases, attempts in doubt, late money, rows of
settlement files, alerts, kinds of refused webhooks."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final, Literal, get_args

import asyncpg
from msgspec import Struct
from msgspec.structs import replace

from tallystick.domain.work_owner import names_of
from tallystick.record.postgres import sql
from tallystick.record.postgres.structs import structs_of
from tallystick.record.postgres.work_owners import WorkOwners

STATEMENTS: Final = sql.load("work_lists.sql")

#: The lists, by the names of their statements.
WorkList = Literal["in_doubt", "cases", "dead_letters", "late_money", "settlement_rows", "alerts", "refused_webhooks"]

WORK_LISTS: Final[tuple[WorkList, ...]] = get_args(WorkList)

#: Those whose owners are rows of their own; cases and alerts have theirs in their own rows.
OwnedList = Literal["in_doubt", "dead_letters", "late_money", "settlement_rows", "refused_webhooks"]

OWNED_LISTS: Final[tuple[OwnedList, ...]] = get_args(OwnedList)

#: Before everything that was ever recorded.
_BEGINNING: Final = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


class WorkFilter(Struct, frozen=True, kw_only=True):
    """Which rows; None matches all. ``merchants``: those that may be seen, None is every one. ``kind``: an event's
    type, a case's category, an attempt's operation, a payment's state, an alert's severity, why webhooks were refused.
    ``own``: what the list filters by beside that: the account, a case's subject, the currency, an alert's name.
    ``owner``: who has it (empty: nobody). ``waiting_since``: then, or before."""

    merchants: Collection[str] | None = None
    merchant: str | None = None
    provider: str | None = None
    kind: str | None = None
    own: str | None = None
    owner: str | None = None
    waiting_since: datetime | None = None


class WorkItem(Struct, frozen=True, kw_only=True):
    """One row. ``since``: since when it waits. ``place``: with ``item_id`` its place in the list. ``amount`` is in
    minor units, of the payment where the row has none of its own; None where no payment is known. ``moves``: how much
    an act on it moves, where that may be more than its amount."""

    item_id: str
    merchant_id: str | None
    payment_id: str | None
    provider: str | None
    kind: str
    state: str
    says: str | None
    owner: str | None
    since: datetime
    place: datetime
    amount: int | None
    currency: str | None
    tries: int
    account: str | None = None
    moves: int | None = None


class Total(Struct, frozen=True, kw_only=True):
    """How many rows, and how much money; without a currency where rows have no amount of their own. ``oldest``: since
    when the first of them waits."""

    currency: str | None
    n: int
    amount: int | None
    oldest: datetime | None = None


class NoteRow(Struct, frozen=True, kw_only=True):
    """An act on something: a note, or what somebody did. ``reason``: why, or the note itself."""

    act_id: str
    act: str
    operator: str
    reason: str
    at: datetime


class WorkReads:
    """Reads over a pool of connections. They raise what asyncpg raises."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._owners = WorkOwners(pool)

    async def page(
        self,
        of_list: WorkList,
        which: WorkFilter,
        after: tuple[datetime, str] | None,
        limit: int,
        *,
        ids: Sequence[str] | None = None,
    ) -> Sequence[WorkItem]:
        """Rows after that place, the oldest first, each with its money; only those of ``ids``, where they are named."""
        owned = await self._owned(of_list, which, ids)
        values = (*_values(which), *(after or (_BEGINNING, "")), limit, *owned, *_more(of_list, which))
        items = structs_of(await self._pool.fetch(STATEMENTS[of_list], *values), WorkItem)
        return await self._with_amounts(await self._with_owners(of_list, items))

    async def totals(self, of_list: WorkList, which: WorkFilter) -> Sequence[Total]:
        """How much there is of it, by currency where rows have amounts."""
        values = (*_values(which), *await self._owned(of_list, which, None), *_more(of_list, which))
        return structs_of(await self._pool.fetch(STATEMENTS[f"{of_list}_total"], *values), Total)

    async def notes(self, target: str, limit: int) -> Sequence[NoteRow]:
        """What people did about it and noted, the newest first."""
        return structs_of(await self._pool.fetch(STATEMENTS["notes"], target, limit), NoteRow)

    async def _owned(
        self, of_list: WorkList, which: WorkFilter, ids: Sequence[str] | None
    ) -> tuple[Sequence[str] | None, Sequence[str] | None]:
        """The ids to look among, and those to leave out. Owners are distributed by what they own, and events and
        payments are not: two statements, and no join."""
        if which.owner is None or of_list not in OWNED_LISTS:
            return ids, None
        owned = await self._owners.owned(of_list, names_of(which.owner) if which.owner else None)
        if which.owner == "":
            return ids, owned
        return (owned if ids is None else sorted({*owned} & {*ids})), None

    async def _with_owners(self, of_list: WorkList, items: Sequence[WorkItem]) -> Sequence[WorkItem]:
        if of_list not in OWNED_LISTS:
            return items
        owners = await self._owners.of(of_list, [each.item_id for each in items])
        return [replace(each, owner=owners.get(each.item_id)) for each in items]

    async def _with_amounts(self, items: Sequence[WorkItem]) -> Sequence[WorkItem]:
        """Events are distributed by their providers and payments by merchants: two statements, and no join."""
        of = {(each.merchant_id, each.payment_id) for each in items if each.amount is None}
        named = sorted((merchant, payment) for merchant, payment in of if merchant and payment)
        if not named:
            return items
        rows = await self._pool.fetch(STATEMENTS["amounts"], *map(list, zip(*named, strict=True)))
        known = {row["payment_id"]: (row["amount"], row["currency"]) for row in rows}
        nothing = (None, None)
        return [
            each
            if each.amount is not None
            else replace(each, amount=(found := known.get(each.payment_id or "", nothing))[0], currency=found[1])
            for each in items
        ]


def _values(which: WorkFilter) -> tuple[object, ...]:
    merchants = None if which.merchants is None else sorted(which.merchants)
    return (merchants, which.merchant, which.provider, which.kind, which.own)


def _more(of_list: WorkList, which: WorkFilter) -> tuple[object, ...]:
    """Since when at least; and the owner's names, where rows of the list have their owner."""
    if of_list in OWNED_LISTS:
        return (which.waiting_since,)
    return (which.waiting_since, None if which.owner is None else names_of(which.owner) if which.owner else [""])
