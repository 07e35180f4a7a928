"""What the contract calls *at once* is written through one process and read back through another."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from tallystick.access.accounts import OperatorVersion, insert_version
from tallystick.access.key_store import OPERATORS, create_key
from tallystick.contract.freshness import FRESH
from tallystick.decisions.change_builder import opened_case
from tallystick.domain.alert import Found
from tallystick.domain.change import Rejection
from tallystick.flows.hourly_counts import BEHIND_MS
from tallystick.flows.operations.alerts import alert_id_of, raise_alert
from tallystick.flows.reconciliation.matching import compare_file
from tallystick.flows.reconciliation.posting import post_batch
from tallystick.flows.runtime import Runtime
from tallystick.interfaces.api.table import ENDPOINTS
from tallystick.kit.ids import new_id, sibling_id
from tests.support.api import NO_MEMBERS, SEALING_KEY, SERVE, SHORT, Inside, as_listed, inside, wait_for
from tests.support.console_scene import refuse
from tests.support.database import DEEP, Database, NewDatabase
from tests.support.endpoints import PATH as ENDPOINTS_PATH
from tests.support.endpoints import SETTINGS
from tests.support.in_doubt import doubtful, silent_provider
from tests.support.late_money import declining_provider, late
from tests.support.polling import eventually_async
from tests.support.ports import free_port
from tests.support.provider_webhooks import PATH as DOOR
from tests.support.provider_webhooks import event, signature
from tests.support.runtime import BookedProvider
from tests.support.settlement_days import ACTOR, Acquirer
from tests.support.settlement_imports import stripe_rows

ROOT: Final = Path(__file__).resolve().parents[3]

#: One row for four lists.
ACTED: Final = "what an act did to a dead letter, to refused webhooks, or to a settlement file or row, in its list"

#: What another test reads back: the decision is one process's, and the reads are another's.
ELSEWHERE: Final = {
    "`[erased]` in an erased payment, wherever it is shown, listed, sent or replayed": (
        "tests/guarantees/erasure/test_nothing_is_left.py::test_everything_is_erased_and_goes_on"
    )
}

AT_ONCE: Final = {name for row in FRESH if row.behind_ms == 0 for name in row.reads or (row.what,)}


def test_every_endpoint_that_reads_has_one_row() -> None:
    named = [name for row in FRESH for name in row.reads]
    assert sorted(named) == sorted(endpoint.name for endpoint in ENDPOINTS if endpoint.method == "GET")


def test_what_may_lag_says_as_of_when() -> None:
    late = {name for row in FRESH if row.behind_ms for name in row.reads}
    bodies = {endpoint.name: endpoint.responses[200] for endpoint in ENDPOINTS if endpoint.name in late}
    without = {name for name, body in bodies.items() if "as_of" not in body.__struct_fields__}
    assert without == {"getDispute"}, "it is what a message shows; its list says as of when"


async def test_lists_say_what_they_may_lack(new_database: NewDatabase) -> None:
    """As of when the oldest came that still waits; as of the answer, where none waits."""
    async with inside(new_database(), "m1", BookedProvider(), **SETTINGS) as here:
        pool = here.app.state.runtime.pool

        async def as_of(path: str) -> datetime:
            return datetime.fromisoformat((await _read(here, path))["as_of"])

        async def passes(path: str) -> bool:
            before = await pool.fetchval("SELECT now()")
            shown = await as_of(path)
            return bool(before <= shown <= await pool.fetchval("SELECT now()"))

        endpoint = (await here.client.post(ENDPOINTS_PATH, json={"url": "http://127.0.0.1:9/messages"})).json()
        of_messages = ("/v1/messages", f"{ENDPOINTS_PATH}/{endpoint['endpoint']['id']}/deliveries")
        of_events = ("/v1/provider-events", "/v1/disputes")
        for path in of_messages + of_events:
            assert await passes(path)
        await here.pay()
        await here.pay()
        await _delivered(here, event())
        oldest = await pool.fetchval("SELECT min(at) FROM outbox")
        came = await pool.fetchval("SELECT received_at FROM inbox")
        assert [await as_of(path) for path in of_messages + of_events] == [oldest] * 2 + [came] * 2
        await pool.execute("UPDATE outbox SET dispatched_at = now()")
        await pool.execute("UPDATE inbox SET state = 'foreign', next_try_at = NULL, closed_at = now()")
        for path in of_messages + of_events:
            assert await passes(path)


def test_what_is_read_back_elsewhere_is_there() -> None:
    for test in ELSEWHERE.values():
        path, _, name = test.partition("::")
        assert f"def {name}(" in (ROOT / path).read_text("utf-8")


async def test_what_was_written_here_is_read_there(
    new_database: NewDatabase, fresh_merchant: str, tmp_path: Path
) -> None:
    database, seen = new_database(), set[str]()
    operator = await create_key(database.app_url, OPERATORS, operator=True)
    async with another_process(database, fresh_merchant, tmp_path) as there:
        async with inside(database, fresh_merchant, BookedProvider(), **SETTINGS) as here:
            seen |= await _a_payment(here, there)
            seen |= await _an_endpoint(here, there)
            seen |= await _an_event(here, there, operator)
            seen |= await _acts(here, there, fresh_merchant, operator)
            another = {"authorization": f"Bearer {await create_key(database.app_url, fresh_merchant)}"}
            assert (await there.client.get("/v1/payments", headers=another)).status_code == 200
            seen.add("a new API key")
        seen |= await _in_doubt_and_late(database, fresh_merchant, there, operator)
    assert seen | set(ELSEWHERE) == AT_ONCE


@asynccontextmanager
async def another_process(database: Database, merchant_id: str, folder: Path) -> AsyncIterator[Inside]:
    """An API that shares the database alone with the one that is written through: at full depth a process of its own,
    else another application in this one."""
    async with inside(database, merchant_id, BookedProvider(), **SETTINGS) as there:
        if not DEEP:
            yield there
            return
        port = free_port()
        settings = {**SHORT, **SETTINGS, "port": port, "api_processes": 1, "sealing_keys": SEALING_KEY}
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TALLYSTICK_")}
        environment |= {f"TALLYSTICK_{name.upper()}": str(value) for name, value in settings.items()}
        environment["TALLYSTICK_DATABASE_URL"] = database.app_url
        with (folder / "there.log").open("wb") as log:
            process = subprocess.Popen([sys.executable, "-c", SERVE], env=environment, stdout=log, stderr=log)
        try:
            await asyncio.to_thread(wait_for, f"http://127.0.0.1:{port}/readyz", process)
            async with httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{port}", headers=there.client.headers, trust_env=False, timeout=60
            ) as client:
                yield Inside(there.app, client)
        finally:
            process.terminate()
            await asyncio.to_thread(process.wait, 40)


async def _read(there: Inside, path: str) -> Any:
    answer = await there.client.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def _a_payment(here: Inside, there: Inside) -> set[str]:
    paid = await here.pay("paid")
    payment = paid.json()
    path = f"/v1/payments/{payment['id']}"
    shown, [listed] = await _read(there, path), (await _read(there, "/v1/payments"))["data"]
    assert as_listed(shown) == listed == payment | NO_MEMBERS
    assert (await _read(there, f"{path}/history"))["data"][-1]["to"] == "captured"
    replay = await there.pay("paid")
    assert (replay.content, replay.headers["idempotent-replayed"]) == (paid.content, "true")
    before = await _read(there, "/v1/ledger/accounts")
    made = await here.client.post(f"{path}/refunds", json={"amount": 400}, headers={"Idempotency-Key": "back"})
    assert await _read(there, made.headers["location"]) == made.json()
    assert (await _read(there, "/v1/refunds"))["data"] == [made.json()]
    assert [each["provider"] for each in (await _read(there, "/v1/capabilities"))["providers"]] == ["simulator"]
    moved = (await _read(there, f"/v1/ledger/transfers?payment={payment['id']}"))["data"]
    assert {entry["amount"] for entry in moved if entry["subject_id"] == made.json()["id"]} == {400}
    assert await _read(there, "/v1/ledger/accounts") != before
    traced = await _read(there, f"/v1/payments/{paid.json()['id']}/trace")
    assert traced["facts"]["refunded"] == 400
    reads = {"getPayment", "listPayments", "getHistory", "getRefund", "listRefunds", "listTransfers", "listAccounts"}
    return reads | {"getTrace", "getCapabilities", "the replay of an answer"}


async def _an_endpoint(here: Inside, there: Inside) -> set[str]:
    made = await here.client.post(ENDPOINTS_PATH, json={"url": "http://127.0.0.1:9/messages"})
    endpoint = made.json()["endpoint"]
    assert await _read(there, f"{ENDPOINTS_PATH}/{endpoint['id']}") == endpoint
    assert await _read(there, ENDPOINTS_PATH) == {"data": [endpoint]}
    disabled = (await here.client.post(f"{ENDPOINTS_PATH}/{endpoint['id']}/disable")).json()
    assert await _read(there, f"{ENDPOINTS_PATH}/{endpoint['id']}") == disabled
    return {"getWebhookEndpoint", "listWebhookEndpoints"}


async def _an_event(here: Inside, there: Inside, operator: str) -> set[str]:
    body = event()
    await _delivered(here, body)
    name = json.loads(body)["id"]
    pool, key = here.app.state.runtime.pool, {"authorization": f"Bearer {operator}"}
    event_id = await pool.fetchval("SELECT event_id FROM inbox WHERE provider_event_id = $1", name)
    assert (await there.client.get(f"/v1/provider-events/{event_id}", headers=key)).status_code == 200
    await pool.execute(
        "UPDATE inbox SET state = 'dead', next_try_at = NULL, tries = 8, closed_at = now() WHERE event_id = $1",
        event_id,
    )

    async def dead() -> bool:
        found, cursor = set[str](), ""
        while True:
            page = (await there.client.get(f"/v1/dead-letters?limit=100{cursor}", headers=key)).json()
            found |= {each["event_id"] for each in page["data"]}
            if page["next_cursor"] is None:
                return event_id in found
            cursor = f"&cursor={page['next_cursor']}"

    assert await dead()
    done = await here.client.post(f"/v1/dead-letters/{event_id}/discard", json={"reason": "why"}, headers=key)
    assert done.status_code == 200, done.text
    assert not await dead()
    return {"getEvent"}


async def _acts(here: Inside, there: Inside, merchant_id: str, operator: str) -> set[str]:
    """A case, and what an operator does."""
    key = {"authorization": f"Bearer {operator}"}

    async def done(path: str, **body: Any) -> Any:
        headers = key | {"idempotency-key": new_id("req")}
        answer = await here.client.post(path, json={"reason": "why", **body}, headers=headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def shown(path: str) -> Any:
        answer = await there.client.get(path, headers=key)
        assert answer.status_code == 200, answer.text
        return answer.json()

    case_id = await _a_case(here, merchant_id)
    taken = await done(f"/v1/rejections/{case_id}/acknowledge")
    assert (await shown(f"/v1/rejections/{case_id}"))["owner"] == taken["operator"]
    assert [each["id"] for each in (await shown(f"/v1/rejections?owner={taken['operator']}"))["data"]] == [case_id]
    assert case_id in [each["example_id"] for each in (await shown("/v1/rejection-groups"))["data"]]
    assert await shown(f"/v1/acts/{taken['id']}") == taken
    assert taken in (await shown("/v1/acts"))["data"]
    await done("/v1/deployments", version=case_id)
    assert case_id in [each["version"] for each in (await shown("/v1/deployments"))["data"]]
    await done("/v1/provider-pauses", provider="simulator", account=case_id, paused=True)
    assert case_id in [each["account"] for each in (await shown("/v1/provider-pauses"))["data"]]
    found = Found(
        name="clocks_apart", about=case_id, severity="page", owner="kim", summary="apart", began_at=datetime.now(UTC)
    )
    assert await raise_alert(here.app.state.runtime, None, found)
    alert_id = alert_id_of(found.name, found.about)
    await done(f"/v1/alerts/{alert_id}/acknowledge")
    assert (await shown(f"/v1/alerts/{alert_id}"))["alert"]["state"] == "acknowledged"
    assert alert_id in [each["id"] for each in (await shown("/v1/alerts?state=acknowledged"))["data"]]
    reads = {"getRejection", "listRejections", "listRejectionGroups", "listActs", "getAct", "listAlerts", "getAlert"}
    kind = await refuse(here.app.state.runtime, ("simulator", case_id, "not_found"), 3)
    waiting = [each["id"] for each in (await shown("/v1/webhook-refusals"))["waiting"]]
    assert kind in waiting
    await done(f"/v1/webhook-refusals/{kind}/close")
    assert kind not in [each["id"] for each in (await shown("/v1/webhook-refusals"))["waiting"]]
    reads |= await _a_settlement_file(here, shown, done, case_id, key)
    reads |= await _a_request_for_an_erasure(here, shown, done, merchant_id)
    return reads | {"listDeployments", "listProviderPauses", ACTED}


async def _a_request_for_an_erasure(
    here: Inside, shown: Callable[[str], Awaitable[Any]], done: Callable[..., Awaitable[Any]], merchant_id: str
) -> set[str]:
    runtime = here.app.state.runtime
    async with runtime.pool.acquire() as connection, connection.transaction():
        for name in ("ann", "ben"):  # who could approve it
            person = OperatorVersion(
                operator_id=name,
                version=1,
                state="active",
                roles=("operator",),
                actor="shell:test@test",
                request_id=None,
                at=runtime.clock.now(),
            )
            await insert_version(connection, person)
    asked = await done("/v1/erasures", merchant_id=merchant_id)
    assert await shown(f"/v1/erasures/{asked['id']}") == asked
    assert asked in (await shown("/v1/erasures"))["data"]
    return {"listErasures", "getErasure"}


async def _a_settlement_file(
    here: Inside, shown: Callable[[str], Awaitable[Any]], done: Callable[..., Awaitable[Any]], payout: str, key: Any
) -> set[str]:
    path = "/v1/settlement-files"
    sent = await here.client.post(path, content=stripe_rows(1, payout=payout).encode(), headers=key)
    file_id = sent.json()["settlement_file"]["id"]
    assert file_id in [each["id"] for each in (await shown(path))["data"]]
    assert (await shown(f"{path}/{file_id}"))["batches"][0]["batch"] == payout
    assert len((await shown(f"{path}/{file_id}/rows"))["data"]) == 1
    riddle = Acquirer()
    riddle.row("riddle", 77)
    proved = (await here.client.post(path, content=riddle.text().encode(), headers=key)).json()["settlement_file"]["id"]
    assert (await compare_file(here.app.state.runtime, proved, ACTOR)).rows == 1
    report = await shown("/v1/reconciliation?provider=simulator&limit=1000")
    assert proved in [each["file_id"] for each in report["rows"]]
    assert "unexplained" in [each["state"] for each in report["states"]]
    [name] = await here.app.state.runtime.stores.evidence.batches_of(proved)
    await post_batch(here.app.state.runtime, name, ACTOR)
    await done("/v1/reconciliation/write-off", file_id=proved, position=1)
    report = await shown("/v1/reconciliation?provider=simulator&limit=1000")
    assert proved not in [each["file_id"] for each in report["rows"]]
    await done(f"{path}/{file_id}/withdraw")
    assert (await shown(f"{path}/{file_id}"))["settlement_file"]["state"] == "withdrawn"
    assert file_id in [each["id"] for each in (await shown(f"{path}?state=withdrawn"))["data"]]
    return {"listSettlementFiles", "getSettlementFile", "listSettlementRows", "getReconciliation"}


async def _in_doubt_and_late(database: Database, merchant_id: str, there: Inside, operator: str) -> set[str]:
    """An attempt that is parked and settled, and late money that is accepted."""
    for make, provider, path, settled, body in (
        (_doubt, silent_provider(), "/v1/in-doubt", "resolve", {"outcome": "declined", "evidence": "statement 12"}),
        (late, declining_provider(), "/v1/late-money", "accept", {}),
    ):
        async with inside(database, merchant_id, provider, **SETTINGS) as here:
            subject_id = await make(here.app.state.runtime, merchant_id)
            key = {"authorization": f"Bearer {operator}"}
            listed = (await there.client.get(f"{path}?merchant_id={merchant_id}", headers=key)).json()["data"]
            assert [each.get("id", each["payment_id"]) for each in listed] == [subject_id]
            headers = key | {"idempotency-key": new_id("req")}
            taken = await here.client.post(f"{path}/{subject_id}/take", json={"reason": "mine"}, headers=headers)
            [listed] = (await there.client.get(f"{path}?merchant_id={merchant_id}", headers=key)).json()["data"]
            assert listed["taken_by"] == taken.json()["operator"]
            headers = key | {"idempotency-key": new_id("req")}
            done = await here.client.post(
                f"{path}/{subject_id}/{settled}", json={"reason": "why", **body}, headers=headers
            )
            assert done.status_code == 200, done.text
            assert (await there.client.get(f"{path}?merchant_id={merchant_id}", headers=key)).json()["data"] == []
    return {"listInDoubt", "listLateMoney"}


async def _doubt(runtime: Runtime, merchant_id: str) -> str:
    return (await doubtful(runtime, merchant_id))[1]


async def _a_case(here: Inside, merchant_id: str) -> str:
    """The only one of its cause."""
    runtime, now = here.app.state.runtime, datetime.now(UTC)
    rejection_id = new_id("rej")
    rejection = Rejection(
        merchant_id=merchant_id,
        stream_id=new_id("pay"),
        rejection_id=rejection_id,
        subject_id=new_id("pay"),
        subject="payment",
        state=rejection_id,
        version=1,
        event="captured",
        cause="webhook",
        actor="provider:simulator",
        origin="provider",
        reason="why",
        alert=True,
        at=now,
        category="late",
    )
    await runtime.journal.commit(opened_case(rejection, new_id("chg"), "simulator"))
    return sibling_id("case", rejection_id)


async def _delivered(here: Inside, body: bytes) -> None:
    async def delivered() -> int:
        headers = {"acquirer-signature": signature(body), "content-type": "application/json"}
        return (await here.client.post(DOOR, content=body, headers=headers)).status_code

    # As a provider does: a busy machine may miss the commit's short time-out.
    await eventually_async(delivered, until=lambda status: status == 200)


@pytest.mark.parametrize("path", ["/v1/webhook-refusals", "/v1/contract-drift", "/v1/event-results"])
async def test_counts_say_until_when_they_are_whole(database: Database, fresh_merchant: str, path: str) -> None:
    key = await create_key(database.app_url, OPERATORS, operator=True)
    async with inside(database, fresh_merchant, BookedProvider()) as app:
        answer = await app.client.get(path, headers={"authorization": f"Bearer {key}"})
        as_of = datetime.fromisoformat(answer.json()["as_of"])
        age = datetime.now(UTC) - as_of
    assert age.total_seconds() * 1_000 >= BEHIND_MS - 1_000  # the process's clock follows the database's
