"""A process whose settings lack the account of a payment: nothing is executed, believed or spent until one that has it
comes."""

from __future__ import annotations

from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from tallystick.domain.errors import ProviderNotConfigured
from tallystick.domain.notices import AttemptNotice
from tallystick.domain.verdicts import Approved, Declined, Unknown, Verdict
from tallystick.flows.assembly import open_runtime
from tallystick.flows.operations.late_money import give_back
from tallystick.flows.payments.attempts import fetch_verdict, settle_verdict
from tallystick.flows.recovery import in_doubt
from tallystick.flows.recovery.worker import RecoveryWorker
from tallystick.flows.runtime import Runtime
from tallystick.kit.ids import new_id
from tallystick.oversight.trace.event import trace_event
from tallystick.providers.pause import ASKED_TO_WAIT
from tallystick.providers.port import Provider, ProviderCall
from tests.support.database import Database
from tests.support.inbox import (
    WEBHOOK_SETTINGS,
    accept,
    assert_invariants,
    captured,
    drain,
    envelope,
    inbox_worker_of,
    late_outcomes,
    waiting_payment,
)
from tests.support.polling import eventually_async
from tests.support.runtime import BookedProvider, Client, read, runtime_of, timed_out
from tests.support.work import working

#: What a process has in place of the simulator's account ``main``.
LACKING = pytest.mark.parametrize("has", ["nothing", "another account"])

GONE = "The payment's provider, simulator, is not configured here; nothing was executed."
ANOTHER = "The payment was made with the account main of simulator, which is not configured here; nothing was executed."

Logged = list[MutableMapping[str, Any]]


@asynccontextmanager
async def lacking(database: Database, has: str, **settings: Any) -> AsyncIterator[Runtime]:
    """A process without the account that the payments are at."""
    providers: dict[str, Provider] = {}
    if has == "another account":
        other = BookedProvider()
        other.account = "other"
        providers = {"simulator": other}
    opened = replace(WEBHOOK_SETTINGS, **{"simulator": "off"} | settings)
    async with open_runtime(opened, database.app_url, providers=providers) as runtime:
        yield runtime


def alerts_of(logged: Logged, work: str) -> list[tuple[str, str]]:
    """(provider, account) of each alert about work that waits."""
    found = [line for line in logged if line["event"] == "work waits for a provider that is not configured here"]
    assert all(line["alert"] for line in found)
    return [(line["provider"], line["account"]) for line in found if line["work"] == work]


@LACKING
async def test_an_event_waits_for_a_worker_with_its_settings(database: Database, fresh_merchant: str, has: str) -> None:
    async with late_outcomes(database) as (runtime, _):
        stored = await waiting_payment(runtime, fresh_merchant)
        notice = captured(stored.payment, stored.attempts[0].attempt_id)
        event, later = (envelope(new_id("req"), notice, payment=stored.payment) for _ in range(2))
        await accept(database, [event])
        async with lacking(database, has) as poor:
            worker = inbox_worker_of(poor)
            with capture_logs() as logged:
                assert await worker.round() == 0
                await worker.note_waiting(due_for_ms=0)
                await accept(database, [later])
                await worker.note_waiting(due_for_ms=0)
            assert ("simulator", "main") in alerts_of(logged, "events")
            assert alerts_of(logged, "events").count(("simulator", "main")) == 1
            trace = await trace_event(poor.stores.inbox, poor.stores.evidence, event.event_id)
            assert trace is not None
            assert (trace.state, trace.tries, trace.attempts) == ("not_ready", 0, [])
            assert trace.detail == "simulator/main is not configured in the workers that run"
        await assert_invariants(database, fresh_merchant)
        await drain(runtime, fresh_merchant)
        trace = await trace_event(runtime.stores.inbox, runtime.stores.evidence, event.event_id)
        assert trace is not None and trace.attempts[0].result in ("applied", "duplicate_effect")
    await assert_invariants(database, fresh_merchant)


async def test_a_worker_notes_what_waits_in_rounds_of_its_own(database: Database, fresh_merchant: str) -> None:
    provider = BookedProvider()
    provider.after = timed_out
    async with runtime_of(database.app_url, provider, settings=WEBHOOK_SETTINGS) as runtime:
        await Client(runtime, fresh_merchant).create("unanswered")
        event = envelope(new_id("req"), merchant_id=fresh_merchant, payment_id=new_id("pay"))
        await accept(database, [event])
        long_ago = "now() - interval '2 minutes'"
        await runtime.pool.execute(f"UPDATE inbox SET next_try_at = {long_ago} WHERE event_id = $1", event.event_id)
        await runtime.pool.execute(
            f"UPDATE attempt SET next_check_at = {long_ago} WHERE merchant_id = $1", fresh_merchant
        )
        async with lacking(database, "nothing") as poor:
            with capture_logs() as logged:
                async with working(poor, "waiting events", "waiting recovery"):
                    await eventually_async(
                        lambda: [alerts_of(logged, work) for work in ("events", "recovery")], until=all
                    )
        await drain(runtime, fresh_merchant)


async def test_a_worker_that_can_only_receive_waits_where_it_has_to_ask(
    database: Database, fresh_merchant: str
) -> None:
    """It has the secret of the webhook and no key: what the record decides is decided."""
    async with late_outcomes(database) as (runtime, _):
        stored = await waiting_payment(runtime, fresh_merchant)
        attempt_id = stored.attempts[0].attempt_id
        told = envelope(new_id("req"), captured(stored.payment, attempt_id), payment=stored.payment)
        contradicts = AttemptNotice(
            operation="authorize", attempt_id=attempt_id, verdict=Declined(code="card_declined", message="No.")
        )
        event = envelope(new_id("req"), contradicts, payment=stored.payment)
        async with lacking(database, "nothing", simulator="on") as poor:
            worker = inbox_worker_of(poor)
            with capture_logs() as logged:
                for each in (told, event):
                    await accept(database, [each])
                    await worker.round()
            assert alerts_of(logged, "events") == [("simulator", "main")]
            found = [
                await trace_event(poor.stores.inbox, poor.stores.evidence, each.event_id) for each in (told, event)
            ]
            assert [each.state for each in found if each] == ["applied", "not_ready"]
            assert found[1] is not None and (found[1].tries, found[1].attempts) == (0, [])
        await runtime.pool.execute("UPDATE inbox SET next_try_at = now() WHERE event_id = $1", event.event_id)
        await drain(runtime, fresh_merchant)
        trace = await trace_event(runtime.stores.inbox, runtime.stores.evidence, event.event_id)
        assert trace is not None and trace.state == "stale"
    await assert_invariants(database, fresh_merchant)


async def test_a_contradiction_waits_while_its_provider_takes_no_calls(
    database: Database, fresh_merchant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By Retry-After: the provider would not be asked, and what it did not say is no reason to spend a try."""
    async with late_outcomes(database) as (runtime, _):
        stored = await waiting_payment(runtime, fresh_merchant)
        attempt_id = stored.attempts[0].attempt_id
        told = envelope(new_id("req"), captured(stored.payment, attempt_id), payment=stored.payment)
        await accept(database, [told])
        await drain(runtime, fresh_merchant)
        refused = Declined(code="card_declined", message="No.")
        contradicts = AttemptNotice(operation="authorize", attempt_id=attempt_id, verdict=refused)
        event = envelope(new_id("req"), contradicts, payment=stored.payment)
        with monkeypatch.context() as paused:
            paused.setattr(runtime.pauses, "left_ms", lambda provider: 1_000)
            await accept(database, [event])
            await inbox_worker_of(runtime).round()
            trace = await trace_event(runtime.stores.inbox, runtime.stores.evidence, event.event_id)
            assert trace is not None
            assert (trace.state, trace.tries, trace.detail) == ("not_ready", 0, ASKED_TO_WAIT)
        await runtime.pool.execute("UPDATE inbox SET next_try_at = now() WHERE event_id = $1", event.event_id)
        await drain(runtime, fresh_merchant)
        trace = await trace_event(runtime.stores.inbox, runtime.stores.evidence, event.event_id)
        assert trace is not None and trace.state == "stale"
    await assert_invariants(database, fresh_merchant)


async def test_a_dead_letter_that_is_replayed_waits_too(database: Database, fresh_merchant: str) -> None:
    one_try = replace(WEBHOOK_SETTINGS, webhook_tries_limit=1)
    async with late_outcomes(database, settings=one_try) as (runtime, _):
        event = envelope(
            new_id("req"), captured((await waiting_payment(runtime, fresh_merchant)).payment, new_id("att"))
        )
        await accept(database, [event])
        await drain(runtime)
        dead_letters = runtime.stores.dead_letters
        await dead_letters.replay(event.event_id, actor="kim", reason="again")
        async with lacking(database, "nothing") as poor:
            worker = inbox_worker_of(poor)
            assert await worker.round() == 0
            await worker.note_waiting(due_for_ms=0)
            trace = await trace_event(poor.stores.inbox, poor.stores.evidence, event.event_id)
            assert trace is not None and (trace.state, trace.tries) == ("not_ready", 0)
        await drain(runtime)
        trace = await trace_event(runtime.stores.inbox, runtime.stores.evidence, event.event_id)
        assert trace is not None and (trace.state, trace.tries) == ("dead", 1)


@LACKING
async def test_recovery_leaves_what_it_cannot_ask(database: Database, fresh_merchant: str, has: str) -> None:
    provider = BookedProvider()
    provider.after = timed_out
    async with runtime_of(database.app_url, provider, settings=WEBHOOK_SETTINGS) as runtime:
        payment_id = read(await Client(runtime, fresh_merchant).create("unanswered"))["id"]
        before = await _schedule(runtime, fresh_merchant)
        async with lacking(database, has) as poor:
            recovery = RecoveryWorker(poor, poor.stores.schedule_book)
            with capture_logs() as logged:
                for _ in range(3):
                    assert await recovery.round() == 0
                await recovery.report_waiting(due_for_ms=-60_000)
                await recovery.report_waiting(due_for_ms=-60_000)
            assert alerts_of(logged, "recovery").count(("simulator", "main")) == 1
        assert await _schedule(runtime, fresh_merchant) == before
        provider.after = None
        await _recovered(runtime, fresh_merchant, payment_id, "captured")
    assert len(provider.effects_for(fresh_merchant)) == 1


@LACKING
async def test_a_deadline_waits_for_a_process_that_can_ask(database: Database, fresh_merchant: str, has: str) -> None:
    provider = BookedProvider()
    settings = replace(WEBHOOK_SETTINGS, authorization_deadline_ms=0)
    async with runtime_of(database.app_url, provider, settings=settings) as runtime:
        payment_id = read(await Client(runtime, fresh_merchant).create("hold", manual=True))["id"]
        async with lacking(database, has, authorization_deadline_ms=0) as poor:
            recovery = RecoveryWorker(poor, poor.stores.schedule_book)
            with capture_logs() as logged:
                await recovery.round()
                await recovery.report_waiting(due_for_ms=0)
            assert ("simulator", "main") in alerts_of(logged, "recovery")
        untouched = "SELECT checks = 0 AND lease_until IS NULL FROM deadline WHERE merchant_id = $1"
        assert await runtime.pool.fetchval(untouched, fresh_merchant)
        await _recovered(runtime, fresh_merchant, payment_id, "expired")


@LACKING
async def test_a_follow_up_is_not_ready_and_can_come_again(database: Database, fresh_merchant: str, has: str) -> None:
    """Refunds, captures and cancels: nothing is written, and the key stays free."""
    provider = BookedProvider()
    detail = GONE if has == "nothing" else ANOTHER
    async with runtime_of(database.app_url, provider) as runtime, lacking(database, has) as poor:
        rich, client = Client(runtime, fresh_merchant), Client(poor, fresh_merchant)
        paid, held, dropped = [read(await rich.create(f"create-{n}", manual=n > 0))["id"] for n in range(3)]
        wanted = (("refund", paid), ("capture", held), ("cancel", dropped))
        versions = "SELECT count(*) FROM history WHERE merchant_id = $1"
        before = await runtime.pool.fetchval(versions, fresh_merchant)
        for act, payment_id in wanted:
            reply = await getattr(client, act)(f"{act}-key", payment_id)
            said = read(reply)
            assert (reply.status, said["code"], said["outcome"]) == (503, "not_ready", "not_executed")
            assert said["detail"] == detail
        assert await runtime.pool.fetchval(versions, fresh_merchant) == before
        assert len(provider.effects_for(fresh_merchant)) == 3
        for act, payment_id in wanted:
            assert (await getattr(rich, act)(f"{act}-key", payment_id)).status in (200, 201)
        for act, payment_id in wanted:  # what was answered is answered again, whatever the process has
            assert (await getattr(client, act)(f"{act}-key", payment_id)).status in (200, 201)
    assert len(provider.effects_for(fresh_merchant)) == 6
    await assert_invariants(database, fresh_merchant)


async def test_another_account_is_not_asked_for_an_attempt(database: Database, fresh_merchant: str) -> None:
    """Its "no such charge" would let recovery send the call again."""
    provider = BookedProvider()
    async with (
        runtime_of(database.app_url, provider) as runtime,
        lacking(database, "another account") as poor,
    ):
        payment_id = read(await Client(runtime, fresh_merchant).create("create"))["id"]
        loaded = await poor.reads.load(fresh_merchant, payment_id)
        assert loaded is not None
        [attempt] = loaded.stored.attempts
        said = await fetch_verdict(poor, loaded.stored.payment, attempt)
        assert said == Unknown(reason="lookup: simulator/main is not configured here")
        assert isinstance(await fetch_verdict(runtime, loaded.stored.payment, attempt), Approved)


@LACKING
async def test_a_person_settles_an_attempt_whose_provider_is_gone(
    database: Database, fresh_merchant: str, has: str
) -> None:
    provider = BookedProvider()
    provider.after = timed_out
    settings = replace(WEBHOOK_SETTINGS, recovery_checks_limit=1)
    async with runtime_of(database.app_url, provider, settings=settings) as runtime:
        payment_id = read(await Client(runtime, fresh_merchant).create("unanswered"))["id"]
        loaded = await runtime.reads.load(fresh_merchant, payment_id)
        assert loaded is not None
        [attempt] = loaded.stored.attempts
        await runtime.pool.execute(
            "UPDATE attempt SET parked_at = now(), next_check_at = NULL WHERE attempt_id = $1", attempt.attempt_id
        )
    async with lacking(database, has) as poor:
        assert await in_doubt.held_by_key(poor, attempt) is None
        words = {"evidence": "the bank's file", "actor": "kim", "reason": "seen", "reference": "ch_7"}
        await in_doubt.resolve(poor, poor.stores.schedule_book, attempt.attempt_id, "executed", **words)
        found = await poor.reads.payment(fresh_merchant, payment_id)
        assert found is not None and (found[0].state, found[0].provider_reference) == ("captured", "ch_7")
    await assert_invariants(database, fresh_merchant)


@LACKING
async def test_late_money_is_not_returned_without_its_provider(
    database: Database, fresh_merchant: str, has: str
) -> None:
    provider = BookedProvider()

    async def no(call: ProviderCall) -> Verdict | None:
        return Declined(code="card_declined", message="No.") if call.operation == "authorize" else None

    provider.before = no
    words = {"actor": "kim", "reason": "ticket 7"}
    async with runtime_of(database.app_url, provider) as runtime, lacking(database, has) as poor:
        payment_id = read(await Client(runtime, fresh_merchant).create("create"))["id"]
        loaded = await runtime.reads.load(fresh_merchant, payment_id)
        assert loaded is not None
        late = Approved(amount=1_000, currency="EUR", effect="captured", reference="ch_1")
        attempt_id = loaded.stored.attempts[0].attempt_id
        await settle_verdict(runtime, loaded.stored, attempt_id, late, cause="webhook", actor="provider:simulator")
        with pytest.raises(ProviderNotConfigured, match="simulator/main, which has the charge, is not configured"):
            await give_back(poor, payment_id, **words)
        loaded = await runtime.reads.load(fresh_merchant, payment_id)
        assert loaded is not None and len(loaded.stored.attempts) == 1
        change = await give_back(runtime, payment_id, **words)
        assert change is not None and "late_money_returned" in {each.event for each in change.transitions}


async def _recovered(runtime: Runtime, merchant_id: str, payment_id: str, state: str) -> None:
    """Recover until the payment is in this state."""
    recovery = RecoveryWorker(runtime, runtime.stores.schedule_book)

    async def state_after_a_round() -> str:
        await recovery.round()
        found = await runtime.reads.payment(merchant_id, payment_id)
        assert found is not None
        return found[0].state

    await eventually_async(state_after_a_round, until=lambda found: found == state)


async def _schedule(runtime: Runtime, merchant_id: str) -> list[tuple[Any, ...]]:
    asked = "SELECT attempt_id, version, state, checks, next_check_at, lease_until FROM attempt WHERE merchant_id = $1"
    return [tuple(record) for record in await runtime.pool.fetch(asked, merchant_id)]
