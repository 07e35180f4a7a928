"""A process without the record's sealing keys is not ready, says why, and loses nothing."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from tallystick.domain.verdicts import RequiresAction, Verdict
from tallystick.flows import assembly
from tallystick.flows.assembly import open_runtime
from tallystick.kit.ids import new_id
from tallystick.providers.port import ProviderCall
from tallystick.record.postgres.connections import connect
from tallystick.record.postgres.embedded.server import DatabaseUrls
from tallystick.record.sealing import KEY_BYTES
from tallystick.run import up
from tallystick.run.doctor.record import sealing_keys
from tallystick.run.work import periodic_work, work
from tallystick.run.worker_health import worker_health
from tallystick.settings.load import Settings
from tests.support.api import SEALING_KEY, assert_problem, inside
from tests.support.database import Database, NewDatabase
from tests.support.factories import InstantProvider
from tests.support.inbox import accept, envelope
from tests.support.outbox import OUTBOUND_SETTINGS, pay, register, tries
from tests.support.polling import eventually_async, one_turn
from tests.support.ports import free_port
from tests.support.provider_webhooks import PATH, event, signature
from tests.support.receivers import receiving
from tests.support.runtime import BookedProvider, runtime_of, timed_out

ANOTHER_KEY = base64.b64encode(b"o" * KEY_BYTES).decode()


async def doctor_says(database: Database, settings: Settings) -> str:
    """The one thing that doctor finds about the keys."""
    connection = await connect(database.app_url, command_timeout_ms=10_000)
    try:
        [says] = await sealing_keys(connection, settings)
        return says
    finally:
        await connection.close()


async def readiness(client: httpx.AsyncClient) -> tuple[int, str] | None:
    """None while nothing listens."""
    try:
        answer = await client.get("/readyz")
    except httpx.TransportError:
        return None
    return answer.status_code, answer.json().get("detail", "")


async def test_a_worker_waits_for_the_lost_key_and_delivers_when_it_is_back(
    new_database: NewDatabase, fresh_merchant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assembly, "COMPARE_EVERY_MS", 20)
    database, port, file = new_database(), free_port(), tmp_path / "sealing.key"
    settings = replace(OUTBOUND_SETTINGS, sealing_keys=None, data_dir=str(tmp_path), worker_health_port=port)
    async with receiving() as receiver, runtime_of(database.app_url, BookedProvider(), settings=settings) as runtime:
        await register(runtime, fresh_merchant, receiver)
        await pay(runtime, fresh_merchant, "k")
        kept = file.read_text()
        file.unlink()
        stop = asyncio.Event()
        working = asyncio.create_task(work(settings, database.app_url, stop))
        try:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
                answered = await eventually_async(lambda: readiness(client))
                assert answered == (503, await doctor_says(database, settings))
                assert "sealing.key is missing from the data directory" in answered[1]
                assert await runtime.pool.fetchval("SELECT count(*) FROM outbox WHERE dispatched_at IS NOT NULL") == 0
                assert not file.exists(), "a lost key is not replaced"
                file.write_text(kept)
                await eventually_async(lambda: receiver.got, until=len)
                assert (await readiness(client) or (0, ""))[0] == 200
        finally:
            stop.set()
            await working
        assert [each["result"] for each in await tries(runtime, fresh_merchant)] == ["delivered"]


async def test_without_the_keys_no_round_touches_anything(
    database: Database, fresh_merchant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even once: what is due stays so, for a worker that has them."""
    monkeypatch.setattr(assembly, "COMPARE_EVERY_MS", 3_600_000)
    provider = BookedProvider()
    provider.after = timed_out
    async with runtime_of(database.app_url, provider, settings=OUTBOUND_SETTINGS) as runtime:
        await pay(runtime, fresh_merchant, "k")
        await runtime.pool.execute("UPDATE attempt SET next_check_at = now() WHERE merchant_id = $1", fresh_merchant)
        await accept(database, [envelope(new_id("req"), type="report.ready")])
        async with periodic_work(runtime) as rounds:
            runtime.sealer.refused = "another key"
            needing = {
                "recovery",
                "waiting recovery",
                "inbox",
                "foreign events",
                "waiting events",
                "dispatch",
                "delivery",
                "settlement reports",
                "erasures",
                "erased since",
                "approved acts",
            }
            # These seal nothing and sign nothing with the record's keys.
            others = {
                "circuits",
                "clocks",
                "event results",
                "cases by rule",
                "missing cases",
                "watch",
                "numbers",
                "audit",
                "alerts",
                "reconciliation",
                "settlement messages",
            }
            assert {each.name for each in rounds} == needing | others
            assert not [each.name for each in rounds if each.name in needing and await each._one()]
            runtime.sealer.refused = None
            done = {each.name: await each._one() for each in rounds if each.name in ("recovery", "inbox")}
            assert all(done.values()), done
            for each in rounds:
                if each._finish is not None:
                    await each._finish()


async def test_up_says_why_it_gives_up(
    new_database: NewDatabase, fresh_merchant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(up, "READY_WITHIN_S", -1)
    database, port = new_database(), free_port()
    async with runtime_of(database.app_url, BookedProvider()):
        settings = replace(OUTBOUND_SETTINGS, sealing_keys=ANOTHER_KEY, worker_health_port=port)
    platform = up.Platform(
        settings=settings,
        database=DatabaseUrls(database.owner_url, database.app_url),
        address=f"http://127.0.0.1:{port}",
        simulator_address=None,
        console_address=None,
        key_file=Path("api-key"),
        api_key="",
    )
    async with open_runtime(settings, database.app_url) as runtime, worker_health(runtime):
        with pytest.raises(up.CannotStart, match=r"was not ready within -1 s: the sealing key .* is not here"):
            await up._when_ready(platform, lambda _: one_turn())


class Bank(InstantProvider):
    """Wants every payer to act."""

    def __init__(self) -> None:
        super().__init__({("sim_ok", "authorize"): self._asks})
        self.asked = 0

    def _asks(self, call: ProviderCall) -> Verdict:
        self.asked += 1
        action = {"type": "redirect", "url": "https://bank.example/"}
        return RequiresAction(next_action=action, reference=f"ch_{call.payment_id}")


async def test_an_api_with_another_key_takes_nothing_that_it_would_have_to_seal(
    new_database: NewDatabase, fresh_merchant: str
) -> None:
    database, bank = new_database(), Bank()
    async with inside(database, fresh_merchant, bank) as app:
        payment = (await app.pay("known")).json()
        assert payment["next_action"]["type"] == "redirect"
    async with inside(
        database, fresh_merchant, bank, sealing_keys=ANOTHER_KEY, webhook_allow_private_addresses=True
    ) as app:
        says = await doctor_says(database, Settings(sealing_keys=ANOTHER_KEY))
        await app.app.state.runtime.readiness.first()  # as a process does before it listens
        ready = await app.client.get("/readyz")
        assert assert_problem(ready, 503, "not_ready")["detail"] == says
        refused = await app.pay("new")
        lacks = "This process lacks a key of the platform's record."
        assert assert_problem(refused, 503, "not_ready")["detail"] == lacks, "no key and no command for a merchant"
        assert bank.asked == 1, "nothing was sent"
        known = await app.pay("known")
        assert (known.status_code, known.json()["id"]) == (202, payment["id"])
        read = await app.client.get(f"/v1/payments/{payment['id']}")
        assert (read.status_code, read.json()["next_action"]) == (200, {"type": "redirect"}), "its type, and no 500"
        endpoint = await app.client.post("/v1/webhook-endpoints", json={"url": "http://127.0.0.1:9/"})
        assert assert_problem(endpoint, 503, "not_ready")["detail"] == lacks
        body = event()
        headers = {"acquirer-signature": signature(body), "content-type": "application/json"}
        delivery = await app.client.post(PATH, content=body, headers=headers)
        assert_problem(delivery, 503, "not_ready")  # the provider sends it again
    async with inside(database, fresh_merchant, bank, sealing_keys=f"{ANOTHER_KEY},{SEALING_KEY}") as app:
        await app.app.state.runtime.readiness.first()  # as a process does before it listens
        assert (await app.client.get("/readyz")).status_code == 200
        read = await app.client.get(f"/v1/payments/{payment['id']}")
        assert read.json()["next_action"] == payment["next_action"]
        assert (await app.pay("new")).status_code in (201, 202)
