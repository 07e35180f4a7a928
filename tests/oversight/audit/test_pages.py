"""Reading and sealing by pages: nothing is left out between two, and what is behind goes on from where it was."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tallystick.kit.clock import utc_now
from tallystick.oversight.audit import anchors, looks, seal, verify
from tallystick.oversight.audit.anchors import read_anchors
from tallystick.oversight.audit.report import AuditReport
from tallystick.record.postgres import audit_heads
from tallystick.record.postgres.audit_rows import AuditRows, Thing
from tallystick.record.postgres.connections import open_pool
from tests.support.audit import SETTINGS, compare, copy_heads, named, seal_all, sealer_of
from tests.support.database import NewDatabase

#: In ten minutes: a second apart, from the second on that is given. More than one at each moment.
_ANSWERS = (
    "INSERT INTO response (merchant_id, idempotency_key, status, body, at)"
    " SELECT 'm', 'k' || n, 200, 'x', now() + ($1::int + n / 2) * interval '1 second' FROM generate_series(1, $2) n"
)

_UNSEALED = (
    "SELECT count(*) FROM response r LEFT JOIN audit_leaf l"
    " ON l.merchant_id = r.merchant_id AND l.kind = 'response' AND l.leaf_key = r.idempotency_key WHERE l IS NULL"
)


async def test_what_is_behind_goes_on_from_where_it_was(
    new_database: NewDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More rounds than one, each over what the one before left, long after a window; and all of it read by pages."""
    monkeypatch.setattr(seal, "AT_ONCE", 3)
    database = new_database()
    owner = await asyncpg.connect(database.owner_url)
    try:
        async with await open_pool(database.app_url, SETTINGS) as pool:
            await seal_all(pool)
            await pool.execute("DELETE FROM watch")
            await pool.execute(_ANSWERS, 600, 11)
            sealer = sealer_of(pool, shift_ms=7_200_000, audit_sweep_interval_ms=86_400_000)
            left = [11]
            while await sealer.round():
                left.append(await pool.fetchval(_UNSEALED))
            await sealer.leave()
            monkeypatch.setattr(anchors, "_HEADS_IN_A_FILE", 2)
            await copy_heads(pool, tmp_path)
        monkeypatch.setattr(audit_heads, "_HEADS_AT_ONCE", 2)
        monkeypatch.setattr(verify, "PAGE", 2)
        async with owner.transaction():
            report = await compare(owner, read_anchors(tmp_path))
        # What differs is named from the heads, while the next page is being read on the same connection.
        await owner.execute("UPDATE response SET status = 500 WHERE idempotency_key IN ('k2', 'k3', 'k8')")
        async with owner.transaction():
            changed = named(await compare(owner))
    finally:
        await owner.close()
    assert changed == [f"changed: response m {key}" for key in ("k2", "k3", "k8")]
    assert list(dict.fromkeys(left)) == [11, 8, 5, 2, 0]
    assert (named(report), report.unsealed) == ([], 0)
    assert report.leaves == report.examined > 11
    assert report.heads > 3 and len(read_anchors(tmp_path)) > 2


async def test_more_than_a_round_takes_is_no_reason_to_look_at_the_whole_window(
    new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where payments are many each round finds more than it takes. Each page goes on where the one before ended."""
    for name, value in (("AT_ONCE", 3), ("OTHERS_EVERY_MS", 0), ("WINDOW_STEP_MS", 3_600_000)):
        monkeypatch.setattr(seal, name, value)
    looked, unsealed = list[datetime](), AuditRows.unsealed

    async def noted(self: AuditRows, kind: str, since: datetime, *arguments: Any) -> list[Thing]:
        if kind == "response":
            looked.append(since)
        return await unsealed(self, kind, since, *arguments)

    monkeypatch.setattr(AuditRows, "unsealed", noted)
    database = new_database()
    async with await open_pool(database.app_url, SETTINGS) as pool:
        sealer = sealer_of(pool, audit_window_ms=3_600_000, audit_sweep_interval_ms=86_400_000)
        while await sealer.round():
            pass
        begun = sealer._others.ended
        looked.clear()
        await pool.execute(_ANSWERS, 0, 11)
        while await sealer.round():
            pass
        await sealer.round()
        left = await pool.fetchval(_UNSEALED)
        await sealer.leave()
    assert left == 0
    assert begun is not None and min(looked) >= begun - looks.NEAR


async def test_who_seals_next_goes_on_from_where_the_one_before_was(
    new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However far that is behind: the newest checkpoint says when something was sealed, not how old it was."""
    monkeypatch.setattr(seal, "AT_ONCE", 3)
    database = new_database()
    async with await open_pool(database.app_url, SETTINGS) as pool:
        await seal_all(pool)
        await pool.execute(_ANSWERS, 600, 11)
        first = sealer_of(pool, shift_ms=7_200_000, audit_sweep_interval_ms=86_400_000)
        while (behind := await pool.fetchval(_UNSEALED)) == 11:
            await first.round()
        await first.leave()
        # An hour later than what waits: far more than a window.
        second = sealer_of(pool, shift_ms=7_260_000, audit_sweep_interval_ms=86_400_000)
        while await second.round():
            pass
        await second.leave()
        left = await pool.fetchval(_UNSEALED)
    assert (behind, left) == (8, 0)


async def test_what_takes_too_long_in_one_page_is_looked_at_in_shorter_ones(
    new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A statement over more than five seconds takes longer than it may; each round would ask the same again."""
    unsealed, begun = AuditRows.unsealed, utc_now() + timedelta(minutes=2)

    async def bounded(self: AuditRows, kind: str, since: datetime, limit: int, until: datetime) -> list[Thing]:
        if min(until, begun) - since > timedelta(seconds=5):
            raise TimeoutError
        return await unsealed(self, kind, since, limit, until)

    database = new_database()
    async with await open_pool(database.app_url, SETTINGS) as pool:
        await seal_all(pool)
        await pool.execute(_ANSWERS, 60, 11)
        monkeypatch.setattr(AuditRows, "unsealed", bounded)
        sealer = sealer_of(pool, shift_ms=120_000, audit_sweep_interval_ms=86_400_000)
        for _ in range(200):
            with suppress(TimeoutError):
                await sealer.round()
            if (left := await pool.fetchval(_UNSEALED)) == 0:
                break
        await sealer.leave()
    assert left == 0


async def test_a_sweep_goes_through_all_of_its_pages(
    new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is older than every window is found by the sweep alone."""
    monkeypatch.setattr(seal, "SWEPT_AT_ONCE", 3)
    database = new_database()
    owner = await asyncpg.connect(database.owner_url)
    try:
        async with await open_pool(database.app_url, SETTINGS) as pool:
            await pool.execute(_ANSWERS, -86_400, 10)
            await seal_all(pool)
            unsealed = await pool.fetchval(_UNSEALED)
        async with owner.transaction():
            report = await compare(owner)
    finally:
        await owner.close()
    assert (unsealed, named(report)) == (0, [])
    assert report.leaves == report.examined > 10


async def test_since_looks_at_what_was_sealed_since_and_at_nothing_else(new_database: NewDatabase) -> None:
    """Also at what was sealed since and is older than a window."""
    database = new_database()
    owner = await asyncpg.connect(database.owner_url)

    async def found(*statements: str) -> AuditReport:
        transaction = owner.transaction()
        await transaction.start()
        try:
            for statement in statements:
                await owner.execute(statement)
            return await compare(owner, since=since)
        finally:
            await transaction.rollback()

    try:
        async with await open_pool(database.app_url, SETTINGS) as pool:
            await pool.execute(_ANSWERS, -60, 10)
            await seal_all(pool)
            since = await pool.fetchval("SELECT clock_timestamp()")
            await pool.execute(_ANSWERS.replace("'k'", "'new '"), 0, 5)
            await pool.execute(_ANSWERS.replace("'k'", "'late '"), -86_400, 3)
            await seal_all(pool)
            sweeping = sealer_of(pool, audit_sweep_interval_ms=1_000, shift_ms=5_000)
            while await sweeping.round():
                pass
            await sweeping.round()
            await sweeping.leave()
        whole, same = await found(), await found("UPDATE response SET status = 500 WHERE idempotency_key LIKE 'k%'")
        changed = await found("UPDATE response SET status = 500 WHERE idempotency_key LIKE '% 1'")
        removed = await found("DELETE FROM response WHERE idempotency_key = 'late 2'")
        begun_later = await found(
            "UPDATE audit_checkpoint SET sealed_at = sealed_at - interval '1 day'",
            "UPDATE response SET status = 500 WHERE idempotency_key = 'new 1'",
        )
    finally:
        await owner.close()
    assert (named(whole), whole.unsealed) == ([], 0)
    assert whole.since is not None and 8 <= whole.leaves < 10 + 5 + 3
    assert named(same) == [], "what was sealed before is believed"
    assert named(changed) == ["changed: response m late 1", "changed: response m new 1"]
    assert named(removed) == ["removed: response m late 2"]
    assert {"changed: response m new 1", "checkpoint: checkpoint 1"} <= set(named(begun_later)), "what is signed counts"
