"""docs/operate/restore.md, step by step: dump, go on paying, restore, start, the same keys again, webhooks again, and
what nobody sent again is named."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import asyncpg
import pytest

from tallystick.flows.assembly import open_runtime
from tallystick.flows.recovery import in_doubt
from tallystick.flows.recovery.forgotten import forgotten_effects
from tallystick.flows.runtime import Runtime
from tallystick.oversight.invariants import tally, verify
from tallystick.providers.simulator.charges import list_charges
from tallystick.providers.simulator.setup import SimulatorSettings
from tallystick.record.postgres.recovery_schedule import RecoverySchedule
from tallystick.settings.load import Settings
from tests.support.acquirer import AcquirerProcess, acquirer
from tests.support.commands import run_here
from tests.support.database import Database, NewDatabase
from tests.support.polling import eventually_async
from tests.support.restored import back_up
from tests.support.runtime import HURRIED, Client, read
from tests.support.work import working

SETTINGS = replace(
    HURRIED, send_window_ms=60_000, provider_request_timeout_ms=60_000, webhook_tries_limit=2, webhook_backoff_cap_ms=20
)


async def pays(database: Database, settings: Settings, merchant_id: str, *keys: str) -> dict[str, dict[str, Any]]:
    """Payments by these keys, with their answers."""
    async with open_runtime(settings, database.app_url) as runtime:
        client = Client(runtime, merchant_id)
        return {key: read(await client.create(key, amount=1_000 + len(key))) for key in keys}


async def differences(runtime: Runtime, bank: AcquirerProcess, merchant_id: str) -> tuple[list[str], list[str]]:
    """Of the record alone, and beside the acquirer's books."""
    async with runtime.pool.acquire() as pooled:
        connection = cast(asyncpg.Connection, pooled)
        beside = await tally(connection, list_charges(bank.url), "simulator", merchant_id=merchant_id)
        alone = await verify(connection, settings=runtime.settings, merchant_id=merchant_id)
    return [one.detail for one in alone.violations], [one.detail for one in beside.violations]


def test_walk(
    new_database: NewDatabase,
    fresh_merchant: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with acquirer(tmp_path / "acquirer.sqlite") as bank:
        settings = SETTINGS.with_connector(SimulatorSettings, url=bank.url)
        database = new_database()
        asyncio.run(pays(database, settings, fresh_merchant, "kept"))
        since = datetime.now(UTC) - timedelta(seconds=1)
        restored = back_up(database)
        lost = asyncio.run(pays(database, settings, fresh_merchant, "sent-again", "never-again"))

        ran = run_here(
            monkeypatch,
            capsys,
            "recover",
            "--since",
            since.replace(tzinfo=None).isoformat(timespec="seconds"),
            "--json",
            database_url=restored.app_url,
            simulator_url=bank.url,
            sealing_keys=str(SETTINGS.sealing_keys),
        )
        assert ran.code == 1, ran.err
        [listed] = json.loads(ran.out)
        named = {one["effect"]["payment_id"]: one["effect"]["reference"] for one in listed["forgotten"]}
        assert named == {each["id"]: each["provider_reference"] for each in lost.values()}
        assert listed["failed"] is None
        asyncio.run(_after(restored, settings, bank, fresh_merchant, lost, since))


async def _after(
    restored: Database,
    settings: Settings,
    bank: AcquirerProcess,
    merchant_id: str,
    lost: dict[str, dict[str, Any]],
    since: datetime,
) -> None:
    async with open_runtime(settings, restored.app_url) as runtime, working(runtime, "recovery"):
        counted = "SELECT (SELECT count(*) FROM transition), (SELECT count(*) FROM transfer)"
        before = await runtime.pool.fetch(counted)
        await forgotten_effects(runtime, since)
        assert await runtime.pool.fetch(counted) == before, "listing changes nothing"

        client = Client(runtime, merchant_id)
        again = read(await client.create("sent-again", amount=1_010))
        assert again["id"] != lost["sent-again"]["id"]
        book = RecoverySchedule(runtime.pool, runtime.clock)
        parked = await eventually_async(lambda: in_doubt.parked_attempts(runtime, book, merchant_id, 10))
        [attempt] = [each.attempt for each in parked]
        held = await in_doubt.held_by_key(runtime, attempt)
        assert held is not None and held["reference"] == lost["sent-again"]["provider_reference"]
        words = {"evidence": "recover", "actor": "jo", "reason": "restored"}
        await in_doubt.resolve(runtime, book, attempt.attempt_id, "executed", **words, reference=held["reference"])
        final = read(await client.create("sent-again", amount=1_010))
        assert (final["state"], final["amount_captured"]) == ("captured", 1_010)

        alone, beside = await differences(runtime, bank, merchant_id)
        assert alone == []
        for each in lost.values():
            assert any(each["provider_reference"] in line or each["id"] in line for line in beside), "it is named"
        assert len(bank.events()) == 3, "three payments, three charges: nobody paid twice"
