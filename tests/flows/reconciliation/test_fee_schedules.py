"""Schedules of fees on a real database: versions are appended, each with the act of who set it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg
import pytest

from tallystick.domain.fee_schedule import stated_schedule
from tallystick.flows.operations.acts import once
from tallystick.flows.reconciliation.fee_schedules import NoSuchAccount, set_schedule
from tallystick.kit.ids import new_id
from tests.support.acts import KIM, asked
from tests.support.database import Database
from tests.support.runtime import BookedProvider, runtime_of

EXAMPLE = Path(__file__).resolve().parents[3] / "docs/operate/fee-schedule.json"


async def test_four_at_once_are_four_versions_and_a_repeated_act_is_none(database: Database) -> None:
    stated = stated_schedule(EXAMPLE.read_bytes())
    account = new_id("acct")
    async with (
        runtime_of(database.app_url, BookedProvider()) as one,
        runtime_of(database.app_url, BookedProvider()) as other,
    ):
        acts = [asked("fee_schedule.set", f"simulator/{account}") for _ in range(4)]
        done = await asyncio.gather(
            *(
                once(process.stores.acts, act, lambda process=process, act=act: set_schedule(process, act, stated))  # type: ignore[misc]
                for act, process in zip(acts, (one, other) * 2, strict=True)
            )
        )
        assert sorted(act.result["version"] for act, _ in done) == [1, 2, 3, 4]
        again, repeated = await once(one.stores.acts, acts[0], lambda: set_schedule(one, acts[0], stated))
        assert repeated and again == done[0][0]
        kept = await other.stores.fee_schedules.of_account("simulator", account)
        assert [each.version for each in kept] == [1, 2, 3, 4]
        assert all(each.rates == stated.rates and each.actor == KIM for each in kept)


async def test_a_version_is_never_changed(database: Database) -> None:
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        for statement in ("UPDATE fee_schedule SET rounding = 'up'", "DELETE FROM fee_schedule"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await runtime.pool.execute(statement)


async def test_an_account_of_no_provider_is_refused(database: Database) -> None:
    stated = stated_schedule(EXAMPLE.read_bytes())
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        with pytest.raises(NoSuchAccount):
            await set_schedule(runtime, asked("fee_schedule.set", "nobody/main"), stated)
