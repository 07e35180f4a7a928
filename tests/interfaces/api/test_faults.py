"""Full queues, a database that is away, defects: each says honestly whether anything can have happened."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest
from structlog.testing import capture_logs

from tallystick.domain.change import Change
from tallystick.domain.errors import ChangeRefused, OutcomeUnknown
from tallystick.interfaces.api import problems
from tallystick.kit.ids import new_id
from tallystick.record.journal import Committed, Journal
from tests.support.api import assert_problem, inside
from tests.support.database import Database, closed_to_all
from tests.support.polling import eventually_async
from tests.support.provider_webhooks import event, signature
from tests.support.runtime import BookedProvider


async def test_reads_are_shed_before_payments_and_payments_before_follow_ups(
    database: Database, fresh_merchant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with inside(database, fresh_merchant, BookedProvider()) as api:
        held = (await api.pay(capture_method="manual")).json()["id"]
        room = 1.0
        monkeypatch.setattr(Journal, "room", lambda _, share: share >= room)

        room = 0.5
        assert (await api.client.get("/v1/payments")).status_code == 200
        room = 0.7
        refused = await api.client.get("/v1/payments")
        problem = assert_problem(refused, 503, "overloaded")
        assert (problem["outcome"], problem["retryable"]) == ("not_executed", True)
        assert refused.headers["retry-after"] == "1"
        assert (await api.pay()).status_code == 201
        room = 0.9
        key = new_id("req")
        refused = await api.pay(key)
        assert_problem(refused, 503, "overloaded")
        assert refused.headers["retry-after"] == "1"
        captured = await api.client.post(f"/v1/payments/{held}/capture", headers={"Idempotency-Key": new_id("req")})
        assert captured.status_code == 200
        room = 1.1
        assert_problem(await api.pay(key), 503, "overloaded")
        room = 0.0
        first = await api.pay(key)
        assert first.status_code == 201
        assert "idempotent-replayed" not in first.headers


async def test_reads_under_way_are_bounded(
    database: Database, fresh_merchant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with inside(database, fresh_merchant, BookedProvider()) as api:
        monkeypatch.setattr("tallystick.interfaces.api.app.READS_LIMIT", 3)
        answers = await asyncio.gather(*(api.client.get("/v1/payments") for _ in range(30)))
        statuses = {answer.status_code for answer in answers}
        assert statuses == {200, 503}
        assert (await api.client.get("/v1/payments")).status_code == 200
        monkeypatch.setattr("tallystick.interfaces.api.app.READS_LIMIT", 0)
        assert (await api.pay()).status_code == 201


@pytest.mark.parametrize("error", [OutcomeUnknown("late"), ChangeRefused("no"), RuntimeError("4242424242424242")])
@pytest.mark.parametrize("commit", [1, 2])
async def test_after_the_journal_was_asked_the_outcome_is_unknown(
    database: Database,
    fresh_merchant: str,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    commit: int,
) -> None:
    """The first commit (the intent) or the second (the outcome) fails after it was written."""
    real, seen = Journal.commit, 0

    async def failing(journal: Journal, change: Change) -> Committed:
        nonlocal seen
        committed = await real(journal, change)
        seen += 1
        if seen == commit:
            raise error
        return committed

    async with inside(database, fresh_merchant, BookedProvider()) as api:
        monkeypatch.setattr(Journal, "commit", failing)
        key = new_id("req")
        answer = await api.pay(key)
        problem = assert_problem(answer, 503, "outcome_unknown")
        assert (problem["outcome"], problem["retryable"]) == ("unknown", True)
        assert int(answer.headers["retry-after"]) >= 1
        again = await api.pay(key)
        if commit == 1:
            assert_problem(again, 409, "instruction_in_flight")
        else:
            assert (again.status_code, again.headers["idempotent-replayed"]) == (201, "true")


@pytest.mark.parametrize("error", [ConnectionRefusedError(), asyncpg.CannotConnectNowError("starting"), TimeoutError()])
async def test_reads_without_a_database_are_503(
    database: Database, fresh_merchant: str, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async with inside(database, fresh_merchant, BookedProvider()) as api:
        assert (await api.client.get("/v1/payments")).status_code == 200

        def away(*_: object, **__: object) -> None:
            raise error

        for call in ("fetch", "acquire"):
            monkeypatch.setattr(asyncpg.Pool, call, away)
        answer = await api.client.get("/v1/payments")
        problem = assert_problem(answer, 503, "not_ready")
        assert (problem["outcome"], answer.headers["retry-after"]) == ("not_executed", "1")


async def test_without_a_database_nobody_is_known_and_nothing_executed(
    database: Database, fresh_merchant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with inside(database, fresh_merchant, BookedProvider()) as api:

        async def away(*_: object, **__: object) -> None:
            raise ConnectionResetError

        monkeypatch.setattr(asyncpg.Pool, "fetchrow", away)
        assert_problem(await api.pay(), 503, "not_ready")


async def test_a_refusal_that_cannot_look_up_its_key_is_unknown(
    database: Database, fresh_merchant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key may have been taken earlier: without the record nobody can say that it was not."""
    async with inside(database, fresh_merchant, BookedProvider()) as api:
        runtime = api.app.state.runtime
        assert (await api.pay()).status_code == 201

        async def away(*_: object) -> None:
            raise ConnectionResetError

        monkeypatch.setattr(type(runtime.reads), "instruction", away)
        assert_problem(await api.pay(amount=0), 503, "outcome_unknown")


async def test_a_defect_in_a_read_is_500_and_one_line_without_client_input(
    database: Database, fresh_merchant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with inside(database, fresh_merchant, BookedProvider()) as api:
        runtime = api.app.state.runtime

        async def broken(*_: object, **__: object) -> None:
            raise ValueError("what the client sent")

        monkeypatch.setattr(type(runtime.reads), "payments", broken)
        lines: list[dict[str, object]] = []
        monkeypatch.setattr(problems.log, "error", lambda event, **fields: lines.append({"event": event, **fields}))
        answer = await api.client.get("/v1/payments", params={"provider_reference": "what the client sent"})
        problem = assert_problem(answer, 500, "internal_error")
        assert [(line["error"], line["request_id"]) for line in lines] == [("ValueError", problem["request_id"])]
        assert "what the client sent" not in str(lines)


async def test_a_flood_of_503_is_a_few_lines_that_count_it(
    database: Database, fresh_merchant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the API's door and at that of webhooks; all of them are counted by the time the process ends."""
    body = event()
    headers = {"acquirer-signature": signature(body), "content-type": "application/json"}
    with capture_logs() as logged:
        async with inside(database, fresh_merchant, BookedProvider(), webhook_queue_limit=1) as api:
            monkeypatch.setattr(Journal, "room", lambda *_: False)
            monkeypatch.setattr("tallystick.flows.webhooks.inbound.intake.QUEUE_BYTES", 0)
            for _ in range(150):
                assert_problem(await api.pay(), 503, "overloaded")
                refused = await api.client.post("/v1/webhooks/simulator/main", content=body, headers=headers)
                assert_problem(refused, 503, "overloaded")
    failed = [line for line in logged if line["event"] == "request failed"]
    counted = dict.fromkeys(("createPayment", "receiveWebhook"), 0)
    for line in failed:
        counted[line["operation"]] += line["since_last_line"]
    assert len(failed) < 30 and set(counted.values()) == {150}, counted


async def test_an_outage_is_few_lines_whatever_is_asked(
    database: Database, fresh_merchant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Payments whose outcome is unknown and reads that fail anywhere: a line for each of the two answers."""

    async def unknown(*_: object) -> Committed:
        raise OutcomeUnknown("the database could not be reached in time")

    async def away(*_: object, **__: object) -> None:
        raise ConnectionResetError

    with capture_logs() as logged:
        async with inside(database, fresh_merchant, BookedProvider()) as api:
            payment_id = (await api.pay()).json()["id"]
            monkeypatch.setattr(Journal, "commit", unknown)
            monkeypatch.setattr(asyncpg.Pool, "fetch", away)
            for _ in range(40):
                assert_problem(await api.pay(), 503, "outcome_unknown")
                assert_problem(await api.client.get(f"/v1/disputes?payment={payment_id}"), 503, "not_ready")
    failed = [line for line in logged if line["event"] == "request failed"]
    counted = dict.fromkeys(("outcome_unknown", "not_ready"), 0)
    for line in failed:
        counted[line["code"]] += line["since_last_line"]
    assert len(failed) <= 6 and set(counted.values()) == {40}, counted


async def test_readyz_is_503_without_a_database(
    database: Database, fresh_merchant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with inside(database, fresh_merchant, BookedProvider()) as api:
        await api.app.state.runtime.readiness.first()  # as a process does before it listens
        assert (await api.client.get("/readyz")).status_code == 200
        async with closed_to_all(database):
            answer = await api.client.get("/readyz")
            assert_problem(answer, 503, "not_ready")
            assert (await api.client.get("/healthz")).status_code == 200
        await eventually_async(lambda: api.client.get("/readyz"), until=lambda found: found.status_code == 200)
