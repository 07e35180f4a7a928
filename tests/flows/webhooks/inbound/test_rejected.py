"""Counts of rejected deliveries: of all processes together, by hour, complete whatever the database does meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from tallystick.flows.webhooks.inbound.rejected import UNKNOWN, RejectedDeliveries
from tallystick.kit.clock import Clock
from tallystick.record.postgres.connections import open_pool
from tallystick.record.postgres.hourly_counts import KEEP_HOURS, Slot
from tallystick.record.postgres.refused_webhooks import RejectedDeliveryCounts
from tests.support.database import Database
from tests.support.inbox import WEBHOOK_SETTINGS
from tests.support.polling import eventually_async

#: Longer than any test takes: only what the test asks for is written.
NEVER_MS = 3_600_000

HOUR_MS = 3_600_000


@pytest.fixture
def account(fresh_merchant: str) -> str:
    """An account that no other test knows."""
    return fresh_merchant


async def counted(database: Database, account: str, hours: int = KEEP_HOURS) -> list[tuple[str, str, int]]:
    """(provider, reason, count) of an account."""
    async with await open_pool(database.app_url, WEBHOOK_SETTINGS) as pool:
        found = await RejectedDeliveryCounts(pool, Clock()).of_last(hours)
    return [(each.provider, each.reason, each.count) for each in found if each.account == account]


async def _count_in_many(pools: list[asyncpg.Pool], account: str, reasons: list[str]) -> None:
    """Five times each reason at two providers, in as many processes as there are pools."""
    processes = [
        RejectedDeliveries(RejectedDeliveryCounts(pool, Clock()), Clock(), write_every_ms=NEVER_MS) for pool in pools
    ]
    for _ in range(5):
        for turn, process in enumerate(processes):
            for reason in reasons[turn % 4 :] + reasons[: turn % 4]:
                process.count("stripe", account, reason)
                process.count("adyen", account, reason)
        await asyncio.gather(*(process.write() for process in processes))
    for process in processes:
        await process.stop()


async def test_the_counts_of_many_processes_add_up(database: Database, account: str) -> None:
    """Whatever the order in which they first met a reason, and however they race."""
    reasons = ["webhook_signature_invalid", "webhook_timestamp_stale", "webhook_unparseable", "request_timeout"]
    async with AsyncExitStack() as stack:
        pools = [await stack.enter_async_context(await open_pool(database.app_url, WEBHOOK_SETTINGS)) for _ in range(6)]
        await _count_in_many(pools, account, reasons)
    expected = [(provider, reason, 30) for provider in ("adyen", "stripe") for reason in reasons]
    totals: dict[tuple[str, str], int] = {}
    for provider, reason, number in await counted(database, account):  # an hour may have ended meanwhile
        totals[provider, reason] = totals.get((provider, reason), 0) + number
    assert sorted((*slot, number) for slot, number in totals.items()) == sorted(expected)


class AwayCounts(RejectedDeliveryCounts):
    """A record that can be away."""

    away = True
    writes = 0

    async def add(self, counts: Mapping[Slot, int]) -> None:
        self.writes += 1
        if self.away:
            raise ConnectionRefusedError
        await super().add(counts)


async def test_while_the_record_is_away_counts_wait_and_end_in_their_own_hour(database: Database, account: str) -> None:
    async with await open_pool(database.app_url, WEBHOOK_SETTINGS) as pool:
        book, clock = AwayCounts(pool, Clock()), Clock(shift_ms=-HOUR_MS)
        rejected = RejectedDeliveries(book, clock, write_every_ms=10)
        await rejected.start()
        before = datetime.now(UTC) - timedelta(hours=1)
        for _ in range(7):
            rejected.count("stripe", account, "webhook_signature_invalid")
        await eventually_async(lambda: book.writes >= 3)
        assert await counted(database, account) == []
        clock.shift_ms = 0
        rejected.count("stripe", account, "webhook_signature_invalid")
        book.away = False
        await rejected.stop()
        found = [each for each in await book.of_last(3) if each.account == account]
    assert [each.count for each in found] == [1, 7]
    hours = [each.hour for each in found]
    assert hours[0] - hours[1] == timedelta(hours=1)
    assert before - timedelta(hours=1) <= hours[1] <= before + timedelta(hours=1)


async def test_what_is_counted_at_the_end_is_written(database: Database, account: str) -> None:
    async with await open_pool(database.app_url, WEBHOOK_SETTINGS) as pool:
        rejected = RejectedDeliveries(RejectedDeliveryCounts(pool, Clock()), Clock(), write_every_ms=NEVER_MS)
        await rejected.start()
        rejected.count("stripe", account, "webhook_unparseable")
        await rejected.stop()
    assert await counted(database, account) == [("stripe", "webhook_unparseable", 1)]


async def test_old_hours_are_removed_and_young_ones_stay(database: Database, account: str) -> None:
    async with await open_pool(database.app_url, WEBHOOK_SETTINGS) as pool:
        for age_hours in (KEEP_HOURS + 2, KEEP_HOURS - 2):
            old = Clock(shift_ms=-age_hours * HOUR_MS)
            aged = RejectedDeliveries(RejectedDeliveryCounts(pool, old), old, write_every_ms=NEVER_MS)
            aged.count("stripe", account, "request_timeout")
            await aged.stop()
        count = "SELECT count(*) FROM webhook_refusal WHERE account = $1"
        assert await pool.fetchval(count, account) == 2
        now = RejectedDeliveries(RejectedDeliveryCounts(pool, Clock()), Clock(), write_every_ms=NEVER_MS)
        now.count(UNKNOWN, account, "not_found")
        await now.stop()
        assert await pool.fetchval(count, account) == 2
    assert await counted(database, account) == [(UNKNOWN, "not_found", 1), ("stripe", "request_timeout", 1)]
    assert await counted(database, account, hours=1) == [(UNKNOWN, "not_found", 1)]


async def test_what_nobody_will_read_is_not_kept_while_the_record_is_away(database: Database, account: str) -> None:
    """Memory is bounded by the hours that are kept, however long the record is away."""
    async with await open_pool(database.app_url, WEBHOOK_SETTINGS) as pool:
        book, clock = AwayCounts(pool, Clock()), Clock(shift_ms=-(KEEP_HOURS + 5) * HOUR_MS)
        rejected = RejectedDeliveries(book, clock, write_every_ms=NEVER_MS)
        rejected.count("stripe", account, "webhook_unparseable")
        await rejected.write()
        clock.shift_ms = 0
        await rejected.write()
        writes = book.writes
        await rejected.write()
        assert (writes, book.writes) == (2, 2)
        await rejected.stop()
