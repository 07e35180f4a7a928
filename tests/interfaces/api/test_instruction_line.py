"""Every request that carries an instruction ends in exactly one line of the log, whatever becomes of it."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from tallystick.access.key_store import create_key
from tallystick.domain.api_keys import declaration
from tallystick.domain.errors import OutcomeUnknown, Overloaded
from tallystick.domain.verdicts import Declined, Verdict
from tallystick.providers.port import ProviderCall
from tests.support.api import Inside, assert_problem, inside
from tests.support.database import Database
from tests.support.log_lines import Said, lines_said
from tests.support.runtime import BookedProvider, recover, runtime_of, timed_out

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


async def refused(_: ProviderCall) -> Verdict:
    return Declined(code="insufficient_funds", message="Too little.", retryable=True)


async def broken(*_: Any) -> None:
    raise RuntimeError("a defect")


def the_line(said: Said, answer: httpx.Response) -> dict[str, Any]:
    """The only line at info or above that the request left, without what differs from run to run."""
    (line,) = said.lines
    assert line["request_id"] == answer.headers["request-id"]
    assert (line["event"], line["level"], line["status"]) == ("instruction", "info", answer.status_code)
    assert line["duration_ms"] >= 0
    for name in ("timestamp", "level", "event", "component", "request_id", "duration_ms", "key_id"):
        line.pop(name)
    return line


async def test_a_payment_that_succeeds(database: Database, fresh_merchant: str) -> None:
    async with inside(database, fresh_merchant, BookedProvider()) as api:
        with lines_said("info") as said:
            body = {"amount": 1_000, "currency": "EUR", "payment_method": "sim_ok"}
            headers = {"idempotency-key": "k1", "traceparent": TRACE}
            paid = await api.client.post("/v1/payments", json=body, headers=headers)
        line = the_line(said, paid)
        assert line.pop("attempt_id").startswith("att_")
        assert line == {
            "operation": "createPayment",
            "status": 201,
            "merchant_id": fresh_merchant,
            "key_kind": "service",
            "idempotency_key": "k1",
            "payment_id": paid.json()["id"],
            "calls": 1,
            "provider": "simulator",
            "account": "main",
            "provider_reference": paid.json()["provider_reference"],
            "verdict": "approved",
            "state": "captured",
            "version": 2,
            "amount": 1_000,
            "currency": "EUR",
            "money": "moved",
            "traceparent": TRACE,
        }


async def test_each_kind_of_instruction_and_a_replay(database: Database, fresh_merchant: str) -> None:
    async with inside(database, fresh_merchant, BookedProvider()) as api:
        held = (await api.pay(capture_method="manual")).json()["id"]
        asked = [
            (f"/v1/payments/{held}/capture", "capturePayment", "moved", "authorized", "captured"),
            (f"/v1/payments/{held}/refunds", "createRefund", "moved", None, "succeeded"),
        ]
        for path, operation, money, before, after in asked:
            with lines_said("info") as said:
                answer = await api.client.post(path, headers={"idempotency-key": operation})
            line = the_line(said, answer)
            assert (line["operation"], line["payment_id"], line["money"]) == (operation, held, money)
            assert (line.get("from_state"), line["state"]) == (before, after)
            assert ("refund_id" in line) is (operation == "createRefund")
            with lines_said("info") as said:
                answer = await api.client.post(path, headers={"idempotency-key": operation})
            line = the_line(said, answer)
            assert (line["replayed"], line["payment_id"], line["calls"]) == (True, held, 0)
            assert (line["state"], line["idempotency_key"]) == (after, operation)
            assert "money" not in line
        other = (await api.pay(capture_method="manual")).json()["id"]
        with lines_said("info") as said:
            answer = await api.client.post(f"/v1/payments/{other}/cancel", headers={"idempotency-key": "c"})
        line = the_line(said, answer)
        assert (line["money"], line["state"], line["from_state"]) == ("released", "canceled", "authorized")


async def test_a_payment_that_is_declined(database: Database, fresh_merchant: str) -> None:
    bank = BookedProvider()
    bank.before = refused
    async with inside(database, fresh_merchant, bank) as api:
        with lines_said("info") as said:
            answer = await api.pay()
        line = the_line(said, answer)
        assert (line["status"], line["verdict"], line["failure"]) == (201, "declined", "insufficient_funds")
        assert (line["state"], line["money"]) == ("declined", "none")


async def test_a_payment_that_times_out_ends_later_in_one_line_more(database: Database, fresh_merchant: str) -> None:
    bank = BookedProvider()
    bank.after = timed_out
    async with inside(database, fresh_merchant, bank) as api, runtime_of(database.app_url, bank) as worker:
        with lines_said("info") as said:
            answer = await api.pay("k")
        line = the_line(said, answer)
        assert (line["status"], line["verdict"], line["money"]) == (202, "unknown", "in_doubt")
        payment_id = answer.json()["id"]
        with lines_said("info") as said:
            await recover(worker)
        settled = said.one("instruction finished", payment_id=payment_id)
        events = [each["event"] for each in said.lines if each.get("payment_id") == payment_id]
        assert events == ["instruction finished"]
        assert (settled["idempotency_key"], settled["status"], settled["cause"]) == ("k", 201, "recovery")
        assert (settled["from_state"], settled["state"]) == ("authorizing", "captured")
        assert (settled["money"], settled["amount"], settled["currency"]) == ("moved", 1_000, "EUR")
        assert settled["provider_reference"] == f"ref_{settled['attempt_id']}"


async def test_refusals_before_and_after_the_key_is_taken(database: Database, fresh_merchant: str) -> None:
    async with inside(database, fresh_merchant, BookedProvider()) as api:
        paid = (await api.pay("paid")).json()["id"]
        reads = await create_key(database.app_url, fresh_merchant, declared=declaration("agent", ("payments:read",)))
        other = {"amount": 2, "currency": "EUR", "payment_method": "sim_ok"}

        async def said_of(path: str, **request: Any) -> dict[str, Any]:
            with lines_said("info") as said:
                answer = await api.client.post(path, **request)
            assert answer.status_code >= 400
            line = the_line(said, answer)
            assert line["code"] == answer.json()["code"]
            return line

        late = await said_of(f"/v1/payments/{paid}/capture", headers={"idempotency-key": "late"})
        assert (late["status"], late["code"], late["payment_id"]) == (409, "transition_rejected", paid)
        assert (late["from_state"], late["state"], late["idempotency_key"]) == ("captured", "captured", "late")
        again = await said_of(f"/v1/payments/{paid}/capture", headers={"idempotency-key": "late"})
        assert (again["replayed"], again["code"]) == (True, "transition_rejected")
        reused = await said_of("/v1/payments", json=other, headers={"idempotency-key": "paid"})
        assert (reused["code"], reused["payment_id"]) == ("idempotency_key_reused", paid)
        invalid = await said_of("/v1/payments", json=other | {"amount": -1}, headers={"idempotency-key": "k"})
        assert (invalid["status"], invalid["idempotency_key"]) == (422, "k")
        keyless = await said_of("/v1/payments", json=other)
        assert keyless["code"] == "idempotency_key_missing" and "idempotency_key" not in keyless
        unreadable = await said_of("/v1/payments", content=b"{", headers={"idempotency-key": "k"})
        assert unreadable["status"] == 415
        nobody = await said_of(f"/v1/payments/pay_{'0' * 32}/capture", headers={"idempotency-key": "k"})
        assert nobody["status"] == 404
        headers = {"idempotency-key": "k", "authorization": f"Bearer {reads}"}
        not_allowed = await said_of("/v1/payments", json=other, headers=headers)
        assert (not_allowed["code"], not_allowed["key_kind"]) == ("scope_missing", "agent")


async def test_who_is_not_known_or_too_fast_carries_no_instruction(database: Database, fresh_merchant: str) -> None:
    async with inside(database, fresh_merchant, BookedProvider(), rate_limit_per_s=1, rate_limit_burst=1) as api:
        with lines_said("info") as said:
            unknown = await api.client.post("/v1/payments", headers={"authorization": "no"})
            assert_problem(unknown, 401, "unauthenticated")
            carried = []
            while (answer := await api.pay()).status_code != 429:  # however slow this machine is
                carried.append(answer.headers["request-id"])
        assert [line["request_id"] for line in said.lines] == carried


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Overloaded("full"), 503, "overloaded"),
        (OutcomeUnknown("lost"), 503, "outcome_unknown"),
        (RuntimeError("a defect"), 503, "outcome_unknown"),
    ],
    ids=["overloaded", "unknown", "crashed"],
)
async def test_failures_of_the_journal(
    database: Database, fresh_merchant: str, error: Exception, status: int, code: str
) -> None:
    async def fails(_: Any) -> None:
        raise error

    async with inside(database, fresh_merchant, BookedProvider()) as api:
        api.app.state.runtime.journal.commit = fails
        with lines_said("info") as said:
            answer = await api.pay("k")
    line = the_line(said, answer)
    assert (line["status"], line["code"], line["idempotency_key"]) == (status, code, "k")


async def test_a_handler_that_crashes(database: Database, fresh_merchant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tallystick.interfaces.api.app.require_caller", _raises)
    async with inside(database, fresh_merchant, BookedProvider()) as api:
        with lines_said("info") as said:
            answer = await api.pay("k")
    assert the_line(said, answer)["code"] == "internal_error"


def _raises(*_: Any) -> None:
    raise RuntimeError("a defect")


async def test_a_commit_that_is_lost_after_the_call(database: Database, fresh_merchant: str) -> None:
    """What is known of the payment by then is on the line."""
    async with inside(database, fresh_merchant, BookedProvider()) as api:
        journal = api.app.state.runtime.journal
        commit = journal.commit

        async def first_alone(change: Any) -> Any:
            if change.claim is None:
                raise OutcomeUnknown("lost")
            return await commit(change)

        journal.commit = first_alone
        with lines_said("info") as said:
            answer = await api.pay("k")
    line = the_line(said, answer)
    assert (line["code"], line["verdict"], line["money"]) == ("outcome_unknown", "approved", "in_doubt")
    assert line["payment_id"].startswith("pay_") and line["provider_reference"] == f"ref_{line['attempt_id']}"


async def test_a_client_that_goes_away(database: Database, fresh_merchant: str) -> None:
    """The request's line has no status; that of the instruction, which goes on, says how it ended."""
    bank, asked, go_on = BookedProvider(), asyncio.Event(), asyncio.Event()

    async def wait(_: ProviderCall) -> None:
        asked.set()
        await go_on.wait()

    bank.after = wait
    async with inside(database, fresh_merchant, bank) as api:
        with lines_said("info") as said:
            request = asyncio.create_task(api.pay("k"))
            await asked.wait()
            request.cancel()
            await asyncio.gather(request, return_exceptions=True)
            go_on.set()
            await api.app.state.runtime.flows.drain(20_000)
        gone, settled = said.lines
        assert (gone["event"], gone.get("status"), gone["idempotency_key"]) == ("instruction", None, "k")
        assert (settled["event"], settled["money"]) == ("instruction finished", "moved")
        assert settled["payment_id"] == gone["payment_id"]


async def test_many_at_once_have_a_line_each(database: Database, fresh_merchant: str) -> None:
    async with inside(database, fresh_merchant, BookedProvider()) as api:
        with lines_said("info") as said:
            answers = await asyncio.gather(*(_pay(api, number) for number in range(40)))
        ids = {answer.headers["request-id"]: answer.json()["id"] for answer in answers}
        assert {line["request_id"]: line["payment_id"] for line in said.lines} == ids
        assert len(said.lines) == len(ids) == 40


async def _pay(api: Inside, number: int) -> httpx.Response:
    return await api.pay(f"k{number}")
