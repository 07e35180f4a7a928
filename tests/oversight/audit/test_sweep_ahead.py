"""A page that is read while another one is sealed: what a quick look seals meanwhile is not sealed again."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any, Final, cast

import asyncpg
import pytest

from tallystick.oversight.audit import seal
from tallystick.oversight.audit.pages import PagesAhead
from tallystick.record.postgres.audit_rows import KINDS, AuditRows
from tallystick.record.postgres.connections import open_pool
from tests.support.audit import SETTINGS, seal_all, sealer_of
from tests.support.database import NewDatabase
from tests.support.letters import new_letters
from tests.support.polling import eventually_async
from tests.support.runtime import BookedProvider, Client, runtime_of

_CHANGES: Final = "SELECT count(*) FROM audit_leaf WHERE kind = 'change'"

#: Older than the window of these tests, so that no quick look finds them by itself.
_AGED: Final = "UPDATE transition SET at = at - interval '1 hour' WHERE at IS NOT NULL"


async def _payments(url: str, number: int) -> None:
    async with runtime_of(url, BookedProvider()) as runtime:
        client = Client(runtime, "m" + new_letters())
        for each in range(number):
            await client.create(f"k{each}")


async def test_a_sweep_goes_on_when_a_quick_look_sealed_what_its_next_page_has(
    new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = new_database()
    pages_read: list[str] = []

    class Telling(AuditRows):
        async def page(self, kind: str, *given: Any) -> Any:
            found = await super().page(kind, *given)
            pages_read.append(kind)
            return found

    async def was_read() -> bool:
        return bool(pages_read)

    monkeypatch.setattr(seal, "AuditRows", Telling)
    async with await open_pool(database.app_url, SETTINGS) as pool:
        await seal_all(pool)
        await _payments(database.app_url, 3)
        owner = await asyncpg.connect(database.owner_url)
        await owner.execute(_AGED)
        await owner.close()
        pages_read.clear()
        sealer = sealer_of(pool, audit_sweep_interval_ms=1_000, shift_ms=5_000)
        monkeypatch.setattr(seal, "SWEEP_STEP_MS", 0)
        await sealer.round()  # it begins to read, and takes no page
        await eventually_async(was_read)
        before = await pool.fetchval(_CHANGES)
        sealer._changes.ended = await pool.fetchval("SELECT now() - interval '2 hours'")
        sealer._changes._length = timedelta(hours=3)  # in one page
        await sealer.round()
        by_the_look = await pool.fetchval(_CHANGES)
        swept = await pool.fetchval("SELECT count(*) FROM audit_sweep")
        monkeypatch.setattr(seal, "SWEEP_STEP_MS", 1_000_000)
        await sealer.round()
        after = await pool.fetchval("SELECT count(*) FROM audit_sweep")
        changes = await pool.fetchval(_CHANGES)
        await sealer.leave()
    assert (before, by_the_look, changes) == (0, 6, 6)
    assert after == swept + 1, "the sweep came to its end"


async def test_pages_have_everything_once_and_stop_at_any_time(new_database: NewDatabase) -> None:
    database = new_database()
    await _payments(database.app_url, 4)
    async with await open_pool(database.app_url, SETTINGS) as pool:
        for at_once in (1, 3, 100):
            pages = PagesAhead(pool, AuditRows, at_once)
            found = []
            while (page := await pages.next()) is not None:
                found += [(each.kind, each.merchant_id, each.leaf_key) for each in page[1]]
            everything = [
                (each.kind, each.merchant_id, each.leaf_key) for kind in KINDS for each in (await _page(pool, kind))[0]
            ]
            assert found == everything and len(set(found)) == len(found) > 8
            await pages.stop()
        stopped = PagesAhead(pool, AuditRows, 1)
        await stopped.next()
        await stopped.stop()
        assert await stopped.next() is None
        assert len([task for task in asyncio.all_tasks() if not task.done()]) == 1, "nobody reads on"


async def _page(pool: asyncpg.Pool, kind: str) -> Any:
    async with pool.acquire() as proxy, proxy.transaction():
        rows = AuditRows(cast(asyncpg.Connection, proxy))
        await rows.in_utc()
        return await rows.page(kind, None, 1_000)
