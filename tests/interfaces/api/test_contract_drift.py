"""What a provider sends that is not read here as it was sent: counted for operators, alerted once, and the version
that spoke is in the record."""

from __future__ import annotations

import asyncio
import copy
import json
from datetime import UTC, datetime
from functools import partial

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from tallystick.access.key_store import OPERATORS, create_key
from tallystick.domain.verdicts import Verdict
from tallystick.flows.contract_drift import KEEP_HOURS, ContractDrift
from tallystick.kit.clock import Clock
from tallystick.kit.ids import new_id
from tallystick.providers.contract_drift import Drift, DriftTally
from tallystick.providers.port import ProviderCall
from tallystick.providers.stripe.objects import ATTEMPT, MERCHANT, PAYMENT
from tallystick.record.postgres.connections import open_pool
from tallystick.record.postgres.contract_drift import DriftCounts
from tests.support.api import inside
from tests.support.commands import run_here
from tests.support.connector_suite import Letters
from tests.support.database import Database, closed_to_all
from tests.support.inbox import WEBHOOK_SETTINGS, drain
from tests.support.letters import new_letters
from tests.support.polling import eventually_async
from tests.support.provider_doubles import LETTERS
from tests.support.runtime import BookedProvider
from tests.support.signed_deliveries import deliver, door, kept, settle, signed

NEVER_MS = 3_600_000

every_provider = pytest.mark.parametrize("letters", LETTERS, ids=lambda letters: letters.name)


async def counts(database: Database, field: str) -> list[tuple[str, str, int]]:
    """(provider, kind, count) of a field."""
    async with await open_pool(database.app_url, WEBHOOK_SETTINGS) as pool:
        found = await DriftCounts(pool, Clock()).of_last(KEEP_HOURS)
    return [(each.provider, each.kind, each.count) for each in found if each.field == field]


@every_provider
async def test_an_unlisted_code_is_kept_counted_and_for_a_person(
    database: Database, fresh_merchant: str, letters: Letters
) -> None:
    code = f"NEW_{new_letters(6).upper()}"
    name = "eventCode" if letters.name == "adyen" else "type"
    event = copy.deepcopy(letters.event(1)) | {name: code, "pspReference": new_id("req"), "nonce": new_id("req")}
    if letters.name == "stripe":  # without our mark it is certainly other software's
        event["data"]["object"]["metadata"] = {MERCHANT: fresh_merchant, PAYMENT: new_id("pay"), ATTEMPT: new_id("att")}
    async with door(database, fresh_merchant) as app:
        since = len(await kept(app))
        with capture_logs() as logged:
            for _ in range(3):
                answer = await deliver(app, letters.name, signed(letters, event | {"nonce": new_id("req")}))
                assert answer.status_code == 200, answer.text
            await settle(app)
        rows = await kept(app, since)
        assert rows and {row["state"] for row in rows} <= {"dead", "conflict"}, "a person looks at it"
        alerts = [line for line in logged if line["event"] == "provider_contract_drift" and line["value"] == code]
        assert [(line["provider"], line["kind"], line["alert"]) for line in alerts] == [
            (letters.name, "unknown_value", True)
        ]
        operator = {"authorization": f"Bearer {await create_key(database.app_url, OPERATORS, operator=True)}"}
        await app.app.state.runtime.drift.write()
        listed = (await app.client.get("/v1/contract-drift", headers=operator)).json()["data"]
        field = "item.eventCode" if letters.name == "adyen" else "event.type"
        [found] = [each for each in listed if (each["provider"], each["field"]) == (letters.name, field)]
        assert (found["kind"], found["count"] >= 3) == ("unknown_value", True)
        assert (await app.client.get("/v1/contract-drift")).status_code == 403


async def test_a_delivery_that_is_not_kept_is_not_counted(database: Database, fresh_merchant: str) -> None:
    """It comes again, and is counted once then."""
    [letters] = [each for each in LETTERS if each.name == "simulator"]
    code = "new." + fresh_merchant.translate(str.maketrans("0123456789", "ghijklmnop"))  # digits are not shown
    delivered = signed(letters, copy.deepcopy(letters.event(1)) | {"type": code, "id": new_id("req")})
    with capture_logs() as logged:
        async with door(database, fresh_merchant, webhook_commit_timeout_ms=300) as app:
            async with closed_to_all(database):
                refused = await deliver(app, "simulator", delivered)
                assert (refused.status_code, refused.json()["code"]) == (503, "not_ready")
            again = await eventually_async(
                lambda: deliver(app, "simulator", delivered), until=lambda answer: answer.status_code != 503
            )
            assert again.status_code == 200
    alerts = [line for line in logged if line["event"] == "provider_contract_drift" and line["value"] == code]
    assert sum(line["since_last_line"] for line in alerts) == 1


@every_provider
async def test_an_event_names_the_version_that_spoke(database: Database, fresh_merchant: str, letters: Letters) -> None:
    version = "webhooks-v1" if letters.name == "adyen" else "2031-02-03.words"
    async with door(database, fresh_merchant) as app:
        since = len(await kept(app))
        event = copy.deepcopy(letters.event(1)) | {"api_version": version, "id": new_id("evt")}
        event |= {"pspReference": new_id("req")} if letters.name == "adyen" else {}
        assert (await deliver(app, letters.name, signed(letters, event))).status_code == 200
        [row] = await kept(app, since)
        operator = {"authorization": f"Bearer {await create_key(database.app_url, OPERATORS, operator=True)}"}
        told = (await app.client.get(f"/v1/provider-events/{row['event_id']}", headers=operator)).json()
        assert told["envelope"]["apiversion"] == version
        await settle(app)


#: provider -> its codes that move nothing, and what the record says of each.
SILENT: dict[str, dict[str, str]] = {
    "simulator": {"report.ready": "it is not about payments"},
    "stripe": {"charge.succeeded": "it informs about a payment", "payout.paid": "it is not about payments"},
    "adyen": {"NOTIFICATION_OF_FRAUD": "it informs about a payment", "REPORT_AVAILABLE": "it is not about payments"},
}


@every_provider
async def test_the_record_says_why_an_event_moved_nothing(
    database: Database, fresh_merchant: str, letters: Letters
) -> None:
    name = "eventCode" if letters.name == "adyen" else "type"
    async with door(database, fresh_merchant) as app:
        since = len(await kept(app))
        for code in SILENT[letters.name]:
            event = copy.deepcopy(letters.event(1)) | {name: code, "id": new_id("evt"), "pspReference": new_id("req")}
            assert (await deliver(app, letters.name, signed(letters, event))).status_code == 200
        await settle(app)
        found = {row["type"]: (row["state"], row["detail"]) for row in await kept(app, since)}
        assert found == {code: ("unknown_type", why) for code, why in SILENT[letters.name].items()}


async def test_the_history_of_an_event_s_effect_has_its_version(database: Database, fresh_merchant: str) -> None:
    [letters] = [each for each in LETTERS if each.name == "simulator"]
    async with door(database, fresh_merchant) as app:
        payment = (await app.pay()).json()
        at = "2026-01-02T03:04:05Z"
        data = {"merchant_id": fresh_merchant, "payment_id": payment["id"], "charge_id": payment["provider_reference"]}
        data |= {"reference": new_id("req"), "amount": 300, "currency": "EUR", "occurred_at": at}
        event = {"id": new_id("req"), "type": "dashboard.refunded", "created": at, "api_version": "7", "data": data}
        assert (await deliver(app, "simulator", signed(letters, event))).status_code == 200
        await drain(app.app.state.runtime, fresh_merchant)
        found = await app.app.state.runtime.pool.fetch(
            "SELECT evidence FROM history WHERE merchant_id = $1 AND cause = 'webhook' AND evidence IS NOT NULL",
            fresh_merchant,
        )
        [evidence] = [json.loads(row[0]) if isinstance(row[0], str) else row[0] for row in found]
        assert evidence["api_version"] == "7"


class Odd(BookedProvider):
    """A connector that met something unknown in each answer."""

    def __init__(self, field: str) -> None:
        super().__init__()
        self._tally = DriftTally()
        self._field = field

    @property
    def drift(self) -> DriftTally:
        return self._tally

    async def authorize(self, call: ProviderCall) -> Verdict:
        self._tally.note([Drift(self._field, "missing")])
        verdict = await super().authorize(call)
        return replace(verdict, raw={"status": 200, "api_version": "v99"})


async def test_what_a_connector_met_is_written_and_its_version_is_in_the_evidence(
    database: Database, fresh_merchant: str
) -> None:
    field = f"answer.{fresh_merchant}"
    async with inside(database, fresh_merchant, Odd(field)) as app:
        for _ in range(2):
            assert (await app.pay()).status_code == 201
        found = await app.app.state.runtime.pool.fetchval(
            "SELECT evidence -> 'verdict' -> 'raw' ->> 'api_version' FROM history"
            " WHERE merchant_id = $1 AND subject = 'attempt' AND cause = 'answer' LIMIT 1",
            fresh_merchant,
        )
        assert found == "v99"
    assert [(kind, count) for _, kind, count in await counts(database, field)] == [("missing", 2)], "written at the end"


async def test_counts_of_processes_add_up_and_wait_for_the_database(database: Database, fresh_merchant: str) -> None:
    field, drift = f"event.{fresh_merchant}", [Drift(f"event.{fresh_merchant}", "wrong_type")]
    pools = [await open_pool(database.app_url, WEBHOOK_SETTINGS) for _ in range(3)]
    processes = [ContractDrift(DriftCounts(pool, Clock()), Clock(), {}, write_every_ms=NEVER_MS) for pool in pools]
    with capture_logs() as logged:
        for process in processes:
            for _ in range(4):
                process.note("stripe", drift)
    assert len([line for line in logged if line["event"] == "provider_contract_drift"]) == len(processes), "one each"
    await pools[0].close()
    await processes[0].write()
    for process in processes[1:]:
        await process.write()
    assert await counts(database, field) == [("stripe", "wrong_type", 8)]
    processes[0]._book = DriftCounts(pools[1], Clock())
    await processes[0].stop()
    assert await counts(database, field) == [("stripe", "wrong_type", 12)], "nothing was lost"
    old = ContractDrift(DriftCounts(pools[1], Clock()), Clock(shift_ms=-(KEEP_HOURS + 2) * 3_600_000), {})
    old.note("stripe", [Drift(f"{field}.old", "missing")])
    await old.write()
    assert await counts(database, f"{field}.old") == [], "too old to be kept"
    for pool in pools[1:]:
        await pool.close()


def test_the_command(
    database: Database,
    fresh_merchant: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    field = f"event.{fresh_merchant}"

    async def note() -> None:
        pool = await open_pool(database.app_url, WEBHOOK_SETTINGS)
        process = ContractDrift(DriftCounts(pool, Clock()), Clock(), {})
        process.note("adyen", [Drift(field, "missing")], 1_234)
        await process.stop()
        await pool.close()

    asyncio.run(note())
    run = partial(run_here, monkeypatch, capsys, "contract-drift", database_url=database.app_url)
    [found] = [each for each in json.loads(run("--json").out) if each["field"] == field]
    assert (found["provider"], found["kind"], found["count"]) == ("adyen", "missing", 1_234)
    assert datetime.fromisoformat(found["hour"]) <= datetime.now(UTC)
    shown = run()
    assert shown.code == 0 and field in shown.out and "1,234" in shown.out
