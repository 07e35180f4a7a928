"""The inbox worker: each effect once, whatever order, multiplicity or crash."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

import asyncpg
import pytest
from msgspec import structs
from structlog.testing import capture_logs

from tallystick.domain.notices import AttemptNotice, UnknownNotice
from tallystick.domain.snapshot import PaymentSnapshot
from tallystick.domain.verdicts import Verdict
from tallystick.flows.webhooks.inbound import handler
from tallystick.flows.webhooks.inbound.intake import FAIRNESS_SPACING_MS
from tallystick.kit.clock import Clock, monotonic_ms
from tallystick.kit.ids import new_id
from tallystick.oversight.trace.event import trace_event
from tallystick.providers.port import ProviderCall
from tallystick.record.postgres.failures import DATABASE_AWAY
from tallystick.record.postgres.inbox import Inbox
from tallystick.record.postgres.inbox_rows import EventName, LeasedEvent
from tests.support.database import Database
from tests.support.inbox import (
    WEBHOOK_SETTINGS,
    accept,
    again,
    arrival,
    assert_invariants,
    captured,
    drain,
    envelope,
    inbox_worker_of,
    intake_on,
    late_outcomes,
    lease_due,
    states,
    versions_of,
    waiting_payment,
)
from tests.support.polling import PATIENCE_S, eventually_async
from tests.support.runtime import Client, read
from tests.support.work import working


async def test_an_event_has_its_effect_once(database: Database, fresh_merchant: str) -> None:
    async with late_outcomes(database) as (runtime, _):
        stored = await waiting_payment(runtime, fresh_merchant)
        notice = captured(stored.payment, stored.attempts[0].attempt_id)
        event = envelope(new_id("req"), notice, payment=stored.payment)
        twin = envelope(new_id("req"), notice, payment=stored.payment, type="charge.succeeded")
        await accept(database, [event, again(event), twin, again(event)])
        await drain(runtime)
        found = await states(runtime, fresh_merchant)
        assert sorted(found.values()) == ["applied", "duplicate_effect"]
        assert await versions_of(runtime, stored) == ["create", "captured"]
    await assert_invariants(database, fresh_merchant)


async def test_two_workers_on_one_event(database: Database, fresh_merchant: str) -> None:
    """The lease of the first was lost while it decided: both go to the end, and one effect stands."""
    async with late_outcomes(database) as (runtime, _), late_outcomes(database) as (other, _):
        stored = await waiting_payment(runtime, fresh_merchant)
        event = envelope(new_id("req"), captured(stored.payment, stored.attempts[0].attempt_id), payment=stored.payment)
        await accept(database, [event])
        claimed = await lease_due(runtime.stores.inbox, 10, "one", 60_000)
        assert [each.event_id for each in claimed] == [event.event_id]
        handlers = [handler.Handler(each) for each in (runtime, other, runtime, other)]
        await asyncio.gather(*(h.handle(claimed[0], stored, datetime.now(UTC)) for h in handlers))
        assert await versions_of(runtime, stored) == ["create", "captured"]
        assert await states(runtime, fresh_merchant) == {event.provider_event_id: "applied"}
    await assert_invariants(database, fresh_merchant)


async def test_a_worker_that_lost_its_lease_buries_nothing(database: Database, fresh_merchant: str) -> None:
    """It read the record before the payment was there, and comes to its end when another worker has the event."""
    async with late_outcomes(database, settings=replace(WEBHOOK_SETTINGS, webhook_tries_limit=1)) as (runtime, _):
        stored = await waiting_payment(runtime, fresh_merchant)
        event = envelope(new_id("req"), captured(stored.payment, stored.attempts[0].attempt_id), payment=stored.payment)
        await accept(database, [event])
        inbox = runtime.stores.inbox
        (slow,) = await lease_due(inbox, 10, "slow", -1)
        (quick,) = await lease_due(inbox, 10, "quick", 60_000)
        slow_handler = handler.Handler(runtime)
        await slow_handler.handle(slow, None, datetime.now(UTC))
        assert await states(runtime, fresh_merchant) == {event.provider_event_id: "received"}
        await slow_handler.handle(quick, stored, datetime.now(UTC))
        assert await states(runtime, fresh_merchant) == {event.provider_event_id: "applied"}
        trace = await trace_event(inbox, runtime.stores.evidence, event.event_id)
        assert trace is not None and [each.result for each in trace.attempts] == ["unroutable", "applied"]
    await assert_invariants(database, fresh_merchant)


async def test_two_workers_on_two_events_of_one_change(database: Database, fresh_merchant: str) -> None:
    """The loser decides again at once, on what the winner wrote: nothing waits for a lease to end."""
    async with late_outcomes(database) as (runtime, _), late_outcomes(database) as (other, _):
        stored = await waiting_payment(runtime, fresh_merchant)
        notice = captured(stored.payment, stored.attempts[0].attempt_id)
        await accept(database, [envelope(new_id("req"), notice, payment=stored.payment) for _ in range(4)])
        events = await lease_due(runtime.stores.inbox, 10, "both", 60_000)
        now = datetime.now(UTC)
        workers = (handler.Handler(runtime), handler.Handler(other))
        await asyncio.gather(*(workers[n % 2].handle(event, stored, now) for n, event in enumerate(events)))
        assert sorted((await states(runtime, fresh_merchant)).values()) == ["applied", *["duplicate_effect"] * 3]
        assert await versions_of(runtime, stored) == ["create", "captured"]


async def test_a_payment_that_was_read_while_it_changed_is_read_again(database: Database, fresh_merchant: str) -> None:
    """Attempts are read before their payment. What is then not understood is no reason to wait, or to ask."""
    async with late_outcomes(database) as (runtime, _):
        before = await waiting_payment(runtime, fresh_merchant)
        notice = captured(before.payment, before.attempts[0].attempt_id)
        events = [envelope(new_id("req"), notice, payment=before.payment) for _ in range(2)]
        await accept(database, events[:1])
        await drain(runtime)
        loaded = await runtime.reads.load(fresh_merchant, before.payment.payment_id)
        assert loaded is not None
        torn = structs.replace(loaded.stored, attempts=before.attempts)
        await accept(database, events[1:])
        (event,) = await lease_due(runtime.stores.inbox, 10, "one", 60_000)
        await handler.Handler(runtime).handle(event, torn, datetime.now(UTC))
        found = await states(runtime, fresh_merchant)
        assert [found[each.provider_event_id] for each in events] == ["applied", "duplicate_effect"]


async def test_an_event_is_claimed_by_one_worker(database: Database, fresh_merchant: str) -> None:
    """Whoever asks at the same moment: what is claimed is claimed by one."""
    async with late_outcomes(database) as (runtime, _):
        names = [new_id("req") for _ in range(100)]
        await accept(database, [envelope(name, merchant_id=fresh_merchant, payment_id=new_id("pay")) for name in names])
        inbox = runtime.stores.inbox
        await asyncio.gather(*(runtime.pool.execute("SELECT pg_sleep(0.05)") for _ in range(8)))  # 8 open connections
        claims = await asyncio.gather(*(lease_due(inbox, 100, f"worker {n}", 60_000) for n in range(8)))
        claimed = [event.provider_event_id for claim in claims for event in claim]
        assert sorted(claimed) == sorted(names)
        for number, claim in enumerate(claims):
            await inbox.release([event.name() for event in claim], f"worker {number}")
        await drain(runtime)


async def test_an_event_that_overtakes_our_own_commit(database: Database, fresh_merchant: str) -> None:
    """The webhook is there before the payment is: retried, then applied."""
    async with late_outcomes(database, settings=replace(WEBHOOK_SETTINGS, webhook_tries_limit=50)) as (
        runtime,
        provider,
    ):
        committed = asyncio.Event()

        async def before(call: ProviderCall) -> Verdict | None:
            notice = AttemptNotice(operation="authorize", attempt_id=call.attempt_id, verdict=provider._approved(call))
            early = envelope(new_id("req"), notice, merchant_id=call.merchant_id, payment_id=call.payment_id)
            unborn = envelope(new_id("req"), notice, merchant_id=call.merchant_id, payment_id=new_id("pay"))
            await accept(database, [early, unborn])
            worker = inbox_worker_of(runtime)

            async def ends() -> list[str]:
                await worker.round()
                return list((await states(runtime, fresh_merchant)).values())

            await eventually_async(ends, until=lambda found: "applied" in found)
            committed.set()
            return None

        provider.before = before
        reply = await Client(runtime, fresh_merchant).create(new_id("req"))
        assert committed.is_set()
        assert (reply.status, read(reply)["state"]) == (201, "captured")
        assert sorted((await states(runtime, fresh_merchant)).values()) == ["applied", "unroutable"]
    await assert_invariants(database, fresh_merchant)


async def test_nobody_elses_flood_holds_the_few_up(database: Database, fresh_merchant: str) -> None:
    """A thousand events of one merchant are in the inbox when one of another arrives: it does not wait for them."""
    async with late_outcomes(database, settings=replace(WEBHOOK_SETTINGS, webhook_batch=50)) as (runtime, _):
        loud, quiet = fresh_merchant + "l", fresh_merchant + "q"
        async with intake_on(database) as intake:
            from_loud = [envelope(new_id("req"), merchant_id=loud, payment_id=new_id("pay")) for _ in range(1_000)]
            began_ms = monotonic_ms()
            await intake.accept([arrival(one) for one in from_loud])
            last = envelope(new_id("req"), merchant_id=quiet, payment_id=new_id("pay"))
            await intake.accept([arrival(last)])
            took_ms = monotonic_ms() - began_ms
        ahead = await runtime.pool.fetchval(
            "SELECT count(*) FROM inbox WHERE merchant_id = $1"
            " AND turn <= (SELECT max(turn) FROM inbox WHERE merchant_id = $2)",
            loud,
            quiet,
        )
        assert 0 < ahead <= took_ms / FAIRNESS_SPACING_MS + 2  # the loud one's share of the time until the other came
        worker, rounds = inbox_worker_of(runtime), 0
        while await states(runtime, quiet) != {last.provider_event_id: "unknown_type"}:
            await worker.round()  # more than it takes only where a round met a database that was too slow
            rounds += 1
            assert rounds < ahead // 50 + 10
        done = [state for state in (await states(runtime, loud)).values() if state != "received"]
        assert 0 < len(done) <= min(50 * rounds, 950)  # and the flood was not served first
        await drain(runtime)
        assert set((await states(runtime, loud)).values()) == {"unknown_type"}


async def test_a_slow_handler_keeps_its_lease(
    database: Database, fresh_merchant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes longer than a lease lasts, and nobody else gets the event meanwhile."""
    lease_ms, renewals = 3_000, 5  # one a second: two more than the first lease lasts
    async with late_outcomes(database, settings=replace(WEBHOOK_SETTINGS, webhook_lease_ms=lease_ms)) as (runtime, _):
        stored = await waiting_payment(runtime, fresh_merchant)
        event = envelope(new_id("req"), captured(stored.payment, stored.attempts[0].attempt_id), payment=stored.payment)
        await accept(database, [event])
        handle, renew = handler.Handler.handle, Inbox.renew
        renewed, go_on = asyncio.Queue[None](), asyncio.Event()

        async def slow(self: handler.Handler, leased: LeasedEvent, found: PaymentSnapshot | None, at: datetime) -> bool:
            await go_on.wait()
            return await handle(self, leased, found, at)

        async def counted(self: Inbox, names: Sequence[EventName], lease: str, for_ms: int) -> None:
            await renew(self, names, lease, for_ms)
            renewed.put_nowait(None)

        monkeypatch.setattr(handler.Handler, "handle", slow)
        monkeypatch.setattr(Inbox, "renew", counted)
        running = asyncio.create_task(inbox_worker_of(runtime).round())
        for _ in range(renewals):
            await asyncio.wait_for(renewed.get(), PATIENCE_S)
            assert await lease_due(runtime.stores.inbox, 10, "other", 1_000) == []
        go_on.set()
        await running
        assert await states(runtime, fresh_merchant) == {event.provider_event_id: "applied"}


async def test_a_dead_worker_frees_its_events_after_the_lease(database: Database, fresh_merchant: str) -> None:
    async with late_outcomes(database) as (runtime, _):
        stored = await waiting_payment(runtime, fresh_merchant)
        event = envelope(new_id("req"), captured(stored.payment, stored.attempts[0].attempt_id), payment=stored.payment)
        await accept(database, [event])
        assert len(await lease_due(runtime.stores.inbox, 10, "dead", 60_000)) == 1
        assert await inbox_worker_of(runtime).round() == 0
        async with late_outcomes(database, shift_ms=61_000) as (later, _):
            await drain(later)
        assert await states(runtime, fresh_merchant) == {event.provider_event_id: "applied"}


@pytest.mark.parametrize("shift_ms", [-3_600_000, 3_600_000], ids=["an hour behind", "an hour ahead"])
async def test_clock_skew_between_worker_and_database(database: Database, fresh_merchant: str, shift_ms: int) -> None:
    """Leases and retries are on the database's clock; what a process believes of the time decides nothing."""
    async with late_outcomes(database) as (runtime, _):
        stored = await waiting_payment(runtime, fresh_merchant)
        event = envelope(new_id("req"), captured(stored.payment, stored.attempts[0].attempt_id), payment=stored.payment)
        await accept(database, [event])
        await drain(structs.replace(runtime, clock=Clock(shift_ms)))
        assert await states(runtime, fresh_merchant) == {event.provider_event_id: "applied"}


async def test_the_database_restarts_while_the_inbox_drains(database: Database, fresh_merchant: str) -> None:
    """Every backend is terminated again and again; every event ends applied, each effect once."""
    async with late_outcomes(database, settings=replace(WEBHOOK_SETTINGS, webhook_batch=10)) as (runtime, _):
        payments = [await waiting_payment(runtime, fresh_merchant) for _ in range(60)]
        events = [
            envelope(new_id("req"), captured(each.payment, each.attempts[0].attempt_id), payment=each.payment)
            for each in payments
        ]
        await accept(database, events)

        async def ends() -> set[str]:
            with suppress(*DATABASE_AWAY):
                return set((await states(runtime, fresh_merchant)).values())
            return {"the database is away"}

        async with working(runtime, "inbox"):
            await _terminate_backends(database, times=8)
            await eventually_async(ends, until=lambda found: found == {"applied"}, within_s=90, interval_s=0.05)
        for each in payments:
            assert await versions_of(runtime, each) == ["create", "captured"]
    await assert_invariants(database, fresh_merchant)


async def test_alerts_that_were_only_counted_are_written_at_the_end(database: Database, fresh_merchant: str) -> None:
    unknown = UnknownNotice(code=f"new.{fresh_merchant}", value=1, currency="EUR")
    async with late_outcomes(database) as (runtime, _):
        events = [envelope(new_id("req"), unknown, merchant_id=fresh_merchant) for _ in range(3)]
        await accept(database, events)
        with capture_logs() as logged:
            async with working(runtime, "inbox"):
                await eventually_async(
                    lambda: states(runtime, fresh_merchant), until=lambda found: set(found.values()) == {"conflict"}
                )
    alerts = [line for line in logged if line.get("type") == unknown.code]
    assert sum(line["since_last_line"] for line in alerts) == len(events)


async def _terminate_backends(database: Database, *, times: int) -> None:
    for _ in range(times):
        await asyncio.sleep(0.1)  # work goes on between two restarts
        owner = await asyncpg.connect(database.owner_url)
        await owner.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'tallystick' AND datname = current_database()"
        )
        await owner.close()
