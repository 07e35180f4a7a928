"""The inbox: arrived events, their leases and their tries. Bookkeeping only: effects are committed by the journal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, cast

import asyncpg

from tallystick.domain.operator_act import OperatorAct
from tallystick.kit.clock import Clock
from tallystick.kit.ids import new_id, sibling_id
from tallystick.record.postgres import sql
from tallystick.record.postgres.acts import insert_act
from tallystick.record.postgres.arrival_keys import unwrapped
from tallystick.record.postgres.failures import RETRY_SAME_CONNECTION
from tallystick.record.postgres.inbox_rows import (
    DeadEvent,
    DeadLetterFilter,
    DeliveryOfEvent,
    DueEvent,
    EmittedMessage,
    EventName,
    FiledEvent,
    FiledFilter,
    ForeignCount,
    LeasedEvent,
    ListPosition,
    PersistedStep,
    ReadAgain,
    StoredEvent,
    TryOfEvent,
)
from tallystick.record.postgres.pipeline import Call
from tallystick.record.postgres.structs import struct_of, structs_of
from tallystick.record.postgres.work_owners import WorkOwners

STATEMENTS: Final = sql.load("inbox.sql")

#: A deadlock is detected after a second, and ends when one side retries; more retries than this mean another fault.
ACT_RETRIES: Final = 5

#: How often foreign events are looked for whose charge has become known all the same.
TAKE_UP_EVERY_MS: Final = 60_000

#: Charges of foreign events looked up in one statement.
TAKEN_UP_AT_ONCE: Final = 5_000


#: Makes the operator's act of how many events it was done to; None where it did nothing that is recorded.
Recorded = Callable[[int], OperatorAct | None]


#: The columns of no event.
_NOTHING: Final[list[tuple[Any, ...]]] = [(), (), ()]


class Inbox:
    """Reads and leases over a pool of connections. They raise what asyncpg raises. ``owners``: who looks at what of
    it waits for a person."""

    def __init__(self, pool: asyncpg.Pool, clock: Clock) -> None:
        self._pool = pool
        self.owners = WorkOwners(pool)
        self._clock = clock

    async def due(
        self, limit: int, without: Iterable[str] = (), accounts: Sequence[str] | None = None
    ) -> list[DueEvent]:
        """Up to ``limit`` due events of these accounts (``provider/account``; None: all) that nobody has leased, in the
        fair order, without those of some fairness keys."""
        values = (limit, self._clock.shift_ms, list(without), accounts)
        records = await self._pool.fetch(STATEMENTS["due"], *values)
        return [DueEvent(name=record[:3], fairness_key=record[3]) for record in records]

    async def lease(self, names: Sequence[EventName], lease: str, lease_ms: int) -> list[LeasedEvent]:
        """Lease those of these events that are still due, in the fair order."""
        if not names:
            return []
        columns = _columns(sorted(names))
        taken = await self._pool.fetch(STATEMENTS["lease"], *columns, lease, lease_ms, self._clock.shift_ms)
        return sorted((LeasedEvent(**dict(record)) for record in taken), key=lambda event: event.turn)

    async def not_ready(self, limit: int, accounts: Sequence[str], due_for_ms: int) -> list[EventName]:
        """Note of events of other accounts that are due for so long what they wait for, of ``limit`` at most. Returns
        which."""
        shift_ms = self._clock.shift_ms
        seen = await self._pool.fetch(STATEMENTS["not_taken"], limit, accounts, due_for_ms, shift_ms)
        if not seen:
            return []
        columns = _columns(sorted(tuple(record) for record in seen))
        return [tuple(record) for record in await self._pool.fetch(STATEMENTS["not_ready"], *columns, shift_ms)]

    async def put_off(self, event: LeasedEvent, why: str, wait_ms: int) -> None:
        """A leased event waits for what is not there now. No try is spent. Nothing, if the lease is lost."""
        await self._pool.execute(STATEMENTS["put_off"], *event.name(), event.lease, why, wait_ms, self._clock.shift_ms)

    async def renew(self, names: Sequence[EventName], lease: str, lease_ms: int) -> None:
        """Extend the lease of slow events; an event that another worker has leased meanwhile stays with it."""
        if names:
            columns = _columns(sorted(names))
            await self._pool.execute(STATEMENTS["renew"], *columns, lease, lease_ms, self._clock.shift_ms)

    async def release(self, names: Sequence[EventName], lease: str) -> None:
        """End the lease of events that were not tried."""
        if names:
            await self._pool.execute(STATEMENTS["release"], *_columns(sorted(names)), lease)

    async def routes(self, references: Sequence[EventName]) -> Mapping[EventName, tuple[str, str]]:
        """(provider, account, reference) -> (merchant, payment), for those that are known."""
        if not references:
            return {}
        records = await self._pool.fetch(STATEMENTS["routes"], *_columns(sorted(set(references))))
        return {(record[0], record[1], record[2]): (record[3], record[4]) for record in records}

    async def is_foreign_charge(self, provider: str, account: str, charge: str) -> bool:
        """Whether an event of this charge is foreign."""
        return bool(await self._pool.fetchval(STATEMENTS["is_foreign_charge"], provider, account, charge))

    async def may_be_of_an_open_attempt(self, event: LeasedEvent) -> bool:
        """Whether an authorization of the event's account has no reference yet that was opened before the event first
        arrived. A charge has its attempt before the provider knows of it, so no later one can have made it."""
        arrived = await self._pool.fetchval(STATEMENTS["arrived"], *event.name())
        if arrived is None:
            return True  # bytes that are gone prove nothing
        values = (event.provider, event.account, arrived, self._clock.shift_ms)
        return bool(await self._pool.fetchval(STATEMENTS["unnamed_attempts"], *values))

    async def take_up_known(self, look_back_ms: int) -> int:
        """Queue the foreign events again that were filed in this time, and whose charge is known by now. Returns how
        many."""
        taken, after = 0, ("", "", "")
        while True:
            values = (look_back_ms, *after, TAKEN_UP_AT_ONCE)
            charges = [tuple(row) for row in await self._pool.fetch(STATEMENTS["foreign_charges"], *values)]
            if not charges:
                return taken
            after = charges[-1]
            known = await self.routes(charges)
            rows = [(*name, *known[name]) for name in charges if name in known]
            if rows:
                async with self._pool.acquire() as connection, connection.transaction():
                    taken += await take_up(connection, rows, self._clock.shift_ms)

    async def foreign_counts(self) -> list[ForeignCount]:
        """How many foreign events there are, by account and type."""
        return structs_of(await self._pool.fetch(STATEMENTS["foreign_counts"]), ForeignCount)

    async def newest_other_bytes(self) -> str | None:
        """The event that came again last with other content; None where none ever did."""
        return cast("str | None", await self._pool.fetchval(STATEMENTS["newest_other_bytes"]))

    async def event(self, event_id: str) -> StoredEvent | None:
        """One event by our id."""
        record = await self._pool.fetchrow(STATEMENTS["event"], event_id)
        return None if record is None else struct_of(record, StoredEvent)

    async def deliveries(self, name: EventName) -> list[DeliveryOfEvent]:
        """Every arrival of an event."""
        return structs_of(await self._pool.fetch(STATEMENTS["deliveries"], *name), DeliveryOfEvent)

    async def sealed(self, name: EventName, delivery_id: str) -> bytes | None:
        """The encrypted bytes of one arrival; empty where they are erased."""
        record = await self._pool.fetchrow(STATEMENTS["sealed"], *name, delivery_id)
        return None if record is None else unwrapped(record["raw_key"], record["sealed"], (*name, delivery_id))

    async def processing(self, name: EventName) -> list[TryOfEvent]:
        """Every try at an event, and operators' actions."""
        return structs_of(await self._pool.fetch(STATEMENTS["processing"], *name), TryOfEvent)

    async def persisted(self, merchant_id: str | None, payment_id: str | None, change_id: str) -> list[PersistedStep]:
        """The steps of history that a change wrote."""
        records = await self._pool.fetch(STATEMENTS["persisted"], merchant_id, payment_id, change_id)
        return structs_of(records, PersistedStep)

    async def emitted(
        self, merchant_id: str | None, payment_id: str | None, versions: Sequence[int]
    ) -> list[EmittedMessage]:
        """The messages about versions of a payment."""
        records = await self._pool.fetch(STATEMENTS["emitted"], merchant_id, payment_id, list(versions))
        return structs_of(records, EmittedMessage)

    async def dead(self, which: DeadLetterFilter, after: ListPosition | None, limit: int) -> list[DeadEvent]:
        """A page of dead letters, in the order in which they arrived, after the position ``after``."""
        records = await self._pool.fetch(
            STATEMENTS["dead"],
            which.provider,
            which.type,
            which.merchant_id,
            which.dead_before,
            *(after or (None, None)),
            limit,
            self._clock.shift_ms,
        )
        return structs_of(records, DeadEvent)

    async def reopen(
        self,
        names: Sequence[EventName],
        turn: int,
        *,
        actor: str,
        reason: str,
        dead_alone: bool = False,
        recorded: Recorded | None = None,
    ) -> int:
        """Reopen closed events (``dead_alone``: dead ones only). Returns how many. The action is recorded with them;
        and so is the act that ``recorded`` makes of their number, if it makes one."""
        columns = (*(_columns(sorted(names)) or _NOTHING), turn, self._clock.shift_ms, dead_alone)
        return len(await self._acted("reopen", columns, "replayed", actor, reason, recorded))

    async def filed(self, which: FiledFilter, after: EventName | None, scanned: int) -> list[FiledEvent]:
        """Of the next ``scanned`` events after ``after``, by primary key, those that match, and the last one. Empty at
        the end. The bound keeps each statement short, however few match."""
        values = (which.type, which.state, which.provider, *(after or ("", "", "")), scanned)
        return structs_of(await self._pool.fetch(STATEMENTS["filed"], *values), FiledEvent)

    async def delivery_named(self, provider: str, account: str, delivery_id: str) -> tuple[EventName, bytes] | None:
        """One arrival by its own id, with its encrypted bytes, which are empty where they are erased. It is usually the
        first of its event, which is found by the id that both share."""
        event_id = sibling_id("evt", delivery_id)
        for statement in ("first_delivery_named", "delivery_named"):
            values = (provider, account, delivery_id)
            record = await self._pool.fetchrow(
                STATEMENTS[statement], *values, *([event_id] if statement == "first_delivery_named" else [])
            )
            if record is not None:
                event = (provider, account, record["provider_event_id"])
                return event, unwrapped(record["raw_key"], record["sealed"], (*event, delivery_id))
        return None

    async def read_again(
        self, events: Sequence[ReadAgain], filed_as: str, turn: int, *, actor: str, reason: str
    ) -> list[EventName]:
        """Reopen closed events that are still ``filed_as``, as what their bytes say now. Returns which. The action is
        recorded with them."""
        rows = tuple(
            (
                *each.name,
                each.notice,
                each.charge_reference,
                each.merchant_id,
                each.payment_id,
                each.type,
                each.occurred_at,
                each.mark,
            )
            for each in sorted(events, key=lambda each: each.name)
        )
        columns = (*_columns(rows), filed_as, turn, self._clock.shift_ms)
        return [tuple(record)[:3] for record in await self._acted("read_again", columns, "reread", actor, reason)]

    async def translated(self, event: ReadAgain, lease: str) -> None:
        """What a leased event's kept bytes say now; it is due, and leased by nobody. Nothing, if the lease is lost."""
        await self._pool.execute(
            STATEMENTS["translated"],
            *event.name,
            lease,
            event.notice,
            event.charge_reference,
            event.merchant_id,
            event.payment_id,
            event.type,
            event.occurred_at,
            event.mark,
        )

    async def unreadable_dead_letters(self, provider: str, account: str, limit: int) -> tuple[int, int]:
        """How many events of one account became dead letters in this hour because they cannot be read, ``limit`` at
        most; and the milliseconds until the hour ends."""
        values = (provider, account, limit, self._clock.shift_ms)
        [record] = await self._pool.fetch(STATEMENTS["unreadable_dead_letters"], *values)
        return record["dead"], record["ends_in_ms"]

    async def discard(
        self, names: Sequence[EventName], *, actor: str, reason: str, recorded: Recorded | None = None
    ) -> int:
        """Close dead letters permanently. Returns how many were dead. The action is recorded with them, as with
        ``reopen``."""
        columns = _columns(sorted(names)) or _NOTHING
        return len(await self._acted("discard", columns, "discarded", actor, reason, recorded))

    async def _acted(
        self,
        statement: str,
        columns: Sequence[Any],
        act: str,
        actor: str,
        reason: str,
        recorded: Recorded | None = None,
    ) -> list[asyncpg.Record]:
        """In one transaction. If two operators take the same events in another order, one of them retries."""
        for last in (*[False] * ACT_RETRIES, True):
            try:
                async with self._pool.acquire() as connection, connection.transaction():
                    done = await connection.fetch(STATEMENTS[statement], *columns)
                    await _record_act(connection, done, act, actor, reason)
                    done_by = None if recorded is None else recorded(len(done))
                    if done_by is not None:
                        await insert_act(connection, done_by)
                return list(done)
            except RETRY_SAME_CONNECTION:
                if last:
                    raise
        raise AssertionError("the last one returns or raises")


def unrouted(references: Sequence[tuple[Any, ...]]) -> Call:
    """What asks for the events without a payment that name one of these charges: rows of (provider, account,
    reference, merchant, payment)."""
    return Call(STATEMENTS["unrouted"], _columns(references))


async def take_up(connection: Any, references: Sequence[tuple[Any, ...]], shift_ms: int) -> int:
    """Queue the events again that ``unrouted`` finds. It is part of the transaction that brings the references. An
    event that another worker is about to file as foreign is waited for, or the worker loses its lease. Returns how many
    there were."""
    found = await connection.fetch(STATEMENTS["unrouted"], *_columns(references))
    if not found:
        return 0
    rows = sorted(tuple(record) for record in found)
    taken = await connection.fetch(STATEMENTS["take_up"], *_columns(rows), shift_ms)
    await _record_act(connection, taken, "taken_up", "journal", "its charge has become known")
    return len(taken)


async def _record_act(connection: Any, done: Sequence[Any], act: str, actor: str, reason: str) -> None:
    if done:
        rows = [(*tuple(record)[:3], new_id("try"), record[3]) for record in done]
        await connection.execute(STATEMENTS["record_act"], *_columns(rows), act, reason, actor)


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return list(zip(*rows, strict=True))
