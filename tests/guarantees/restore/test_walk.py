"""docs/operate/restore.md, step by step: dump, go on paying, restore, start, the same keys again, webhooks again, and
what nobody sent again is named."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, cast

import asyncpg
import pytest

from tallystick.flows.assembly import open_runtime
from tallystick.flows.recovery import in_doubt
from tallystick.flows.recovery.forgotten import forgotten_effects
from tallystick.flows.runtime import Runtime
from tallystick.flows.webhooks.inbound.dead_letters import DeadLetterFilter, DeadLetters
from tallystick.flows.webhooks.inbound.envelope import Envelope, envelope_of
from tallystick.oversight.invariants import tally, verify
from tallystick.providers.simulator.charges import list_charges
from tallystick.providers.simulator.receiver import SimulatorReceiver
from tallystick.providers.simulator.setup import SimulatorSettings
from tallystick.record.postgres.recovery_schedule import RecoverySchedule
from tallystick.settings.load import Settings
from tests.support.acquirer import WEBHOOK_SECRET, AcquirerProcess, acquirer
from tests.support.commands import run_here
from tests.support.database import Database, NewDatabase
from tests.support.event_sink import Sink, sink
from tests.support.inbox import accept, drain
from tests.support.inbox import again as redelivered
from tests.support.polling import eventually, eventually_async
from tests.support.restored import dump_of, restored_from
from tests.support.runtime import HURRIED, Client, read
from tests.support.screen import SCREEN
from tests.support.work import working

SETTINGS = replace(
    HURRIED, send_window_ms=60_000, provider_request_timeout_ms=60_000, webhook_tries_limit=2, webhook_backoff_cap_ms=20
)

RECEIVER: Final = SimulatorReceiver("main", [WEBHOOK_SECRET])


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


async def went_on(
    database: Database, settings: Settings, merchant_id: str, bank: AcquirerProcess, kept: dict[str, dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """What happens after the dump: payments, a refund of an older one, and a refund in the provider's dashboard."""
    lost = await pays(database, settings, merchant_id, "sent-again", "never-again")
    async with open_runtime(settings, database.app_url) as runtime:
        reply = await Client(runtime, merchant_id).refund("refund", kept["kept"]["id"], 300)
        lost["refund"] = read(reply)
    path = f"/sim/charges/{kept['kept-too']['provider_reference']}/dashboard-refund"
    status, _ = await bank.acall("POST", path, {"amount": 200})
    assert status == 200
    return lost


def sent_again(bank: AcquirerProcess, inbox: Sink, since: int) -> list[Envelope]:
    """The provider sends every event after ``since`` once more; as the intake has them."""
    inbox.arrivals.clear()
    report = bank.burst(since=since)
    arrivals = eventually(lambda: list(inbox.arrivals), until=lambda found: len(found) == report["events"])
    now, envelopes = datetime.now(UTC), []
    for arrival in arrivals:
        [notification] = RECEIVER.receive(arrival.raw, arrival.headers, now)
        envelopes.append(envelope_of(RECEIVER, notification, arrival.raw, arrival.headers, now, SCREEN))
    return envelopes


def test_walk(
    new_database: NewDatabase,
    fresh_merchant: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with sink() as inbox, acquirer(tmp_path / "acquirer.sqlite", webhook_url=inbox.url) as bank:
        settings = SETTINGS.with_connector(SimulatorSettings, url=bank.url)
        database = new_database()
        kept = asyncio.run(pays(database, settings, fresh_merchant, "kept", "kept-too"))
        since = datetime.now(UTC) - timedelta(seconds=1)
        dump, sequence = dump_of(database, tmp_path / "tallystick.dump"), bank.events()[-1]["sequence"]
        lost = asyncio.run(went_on(database, settings, fresh_merchant, bank, kept))
        restored = restored_from(dump, database)

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
        effects = [(one["effect"], one["payment_known"]) for one in listed["forgotten"]]
        named = {effect["reference"]: (effect["payment_id"], known) for effect, known in effects}
        assert named == {
            lost["sent-again"]["provider_reference"]: (lost["sent-again"]["id"], False),
            lost["never-again"]["provider_reference"]: (lost["never-again"]["id"], False),
            lost["refund"]["provider_reference"]: (kept["kept"]["id"], True),
        }
        assert listed["failed"] is None
        asyncio.run(_same_keys(restored, settings, bank, fresh_merchant, lost, since))
        asyncio.run(_webhooks_again(restored, settings, fresh_merchant, kept, lost, sent_again(bank, inbox, sequence)))
        asyncio.run(_named(restored, settings, bank, fresh_merchant, kept, lost))


async def _same_keys(
    restored: Database,
    settings: Settings,
    bank: AcquirerProcess,
    merchant_id: str,
    lost: dict[str, dict[str, Any]],
    since: datetime,
) -> None:
    async with open_runtime(settings, restored.app_url) as runtime, working(runtime, "recovery"):
        counted = "SELECT (SELECT count(*) FROM history), (SELECT count(*) FROM transfer)"
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
        assert len([one async for one in list_charges(bank.url)]) == 4, "four payments, four charges: nobody paid twice"


async def _webhooks_again(
    restored: Database,
    settings: Settings,
    merchant_id: str,
    kept: dict[str, dict[str, Any]],
    lost: dict[str, dict[str, Any]],
    events: list[Envelope],
) -> None:
    """What is about a payment of the record has its effect; all else is a dead letter, and none is lost."""
    async with open_runtime(settings, restored.app_url) as runtime:
        counted = "SELECT (SELECT count(*) FROM history), (SELECT count(*) FROM transfer)"
        await accept(restored, events)
        await drain(runtime)
        refunded = await runtime.reads.payment(merchant_id, kept["kept-too"]["id"])
        assert refunded is not None and refunded[0].amount_refunded == 200, "in the dashboard, told again"
        letters = await DeadLetters(runtime.stores.inbox, settings).page(DeadLetterFilter(), None, 100)
        assert {(each.type, each.payment_id) for each in letters} == {
            ("charge.captured", lost["sent-again"]["id"]),
            ("charge.captured", lost["never-again"]["id"]),
            ("refund.succeeded", kept["kept"]["id"]),
        }
        rows = await runtime.pool.fetch("SELECT provider_event_id, state FROM inbox")
        assert {row["provider_event_id"] for row in rows} == {each.provider_event_id for each in events}
        assert sorted(row["state"] for row in rows) == ["applied", "dead", "dead", "dead"]
        before = await runtime.pool.fetch(counted)
        await accept(restored, [redelivered(each) for each in events])
        await drain(runtime)
        assert await runtime.pool.fetch(counted) == before, "told a third time, nothing happens"


async def _named(
    restored: Database,
    settings: Settings,
    bank: AcquirerProcess,
    merchant_id: str,
    kept: dict[str, dict[str, Any]],
    lost: dict[str, dict[str, Any]],
) -> None:
    async with open_runtime(settings, restored.app_url) as runtime:
        alone, beside = await differences(runtime, bank, merchant_id)
    assert alone == []
    for each in (lost["sent-again"], lost["never-again"], kept["kept"]):
        assert any(each["provider_reference"] in line or each["id"] in line for line in beside), (each, beside)
    assert not any(kept["kept-too"]["provider_reference"] in line for line in beside), "its books agree again"
