"""The inbox worker: each effect once, whatever order, multiplicity, crash or defect; the rest are dead letters."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest
from msgspec import structs

from tallystick.decisions.provider_events.route import decide_notice
from tallystick.domain.notices import AttemptNotice, DisputeNotice
from tallystick.domain.snapshot import PaymentSnapshot
from tallystick.domain.verdicts import Pending, Verdict
from tallystick.flows.runtime import Runtime
from tallystick.flows.webhooks.inbound import handler
from tallystick.flows.webhooks.inbound.dead_letters import DeadLetters, NotReplayable
from tallystick.flows.webhooks.inbound.intake import FAIRNESS_SPACING_MS
from tallystick.kit.clock import Clock, monotonic_ms
from tallystick.kit.ids import new_id
from tallystick.oversight.invariants import verify
from tallystick.oversight.trace.event import trace_event
from tallystick.providers.port import ProviderCall
from tallystick.record.postgres.failures import DATABASE_AWAY
from tallystick.record.postgres.inbox import DeadEvent, DeadLetterFilter, Inbox, LeasedEvent, ListPosition
from tallystick.settings.load import Settings
from tests.support.database import Database
from tests.support.inbox import (
    WEBHOOK_SETTINGS,
    accept,
    again,
    arrival,
    captured,
    drain,
    envelope,
    inbox_worker_of,
    intake_on,
    states,
)
from tests.support.runtime import BookedProvider, Client, read, runtime_of
from tests.support.work import working


async def pending(_: ProviderCall) -> Verdict:
    """Accepted, outcome later: by webhook."""
    return Pending(reference="later")


@asynccontextmanager
async def scene(
    database: Database, *, shift_ms: int = 0, settings: Settings = WEBHOOK_SETTINGS
) -> AsyncIterator[tuple[Runtime, BookedProvider]]:
    """A runtime whose provider executes everything and tells the outcome later."""
    provider = BookedProvider()
    provider.after = pending
    async with runtime_of(database.app_url, provider, shift_ms=shift_ms, settings=settings) as runtime:
        yield runtime, provider


async def waiting_payment(runtime: Runtime, merchant_id: str) -> PaymentSnapshot:
    """A payment whose outcome is still to come."""
    reply = await Client(runtime, merchant_id).create(new_id("req"))
    loaded = await runtime.reads.load(merchant_id, read(reply)["id"])
    assert loaded is not None
    assert loaded.stored.payment.state == "authorizing"
    return loaded.stored


async def versions_of(runtime: Runtime, stored: PaymentSnapshot) -> list[str]:
    """The payment's steps."""
    history = await runtime.reads.history(stored.payment.merchant_id, stored.payment.payment_id)
    return [step.event for step in history]


async def holds(database: Database, merchant_id: str) -> None:
    """Every invariant."""
    connection = await asyncpg.connect(database.owner_url)
    try:
        report = await verify(connection, settings=WEBHOOK_SETTINGS, merchant_id=merchant_id)
    finally:
        await connection.close()
    assert report.holds, report


async def test_an_event_has_its_effect_once(database: Database, fresh_merchant: str) -> None:
    async with scene(database) as (runtime, _):
        stored = await waiting_payment(runtime, fresh_merchant)
        notice = captured(stored.payment, stored.attempts[0].attempt_id)
        event = envelope(new_id("req"), notice, payment=stored.payment)
        twin = envelope(new_id("req"), notice, payment=stored.payment, type="charge.succeeded")
        await accept(database, [event, again(event), twin, again(event)])
        await drain(runtime)
        found = await states(runtime, fresh_merchant)
        assert sorted(found.values()) == ["applied", "duplicate_effect"]
        assert await versions_of(runtime, stored) == ["create", "captured"]
    await holds(database, fresh_merchant)


async def test_two_workers_on_one_event(database: Database, fresh_merchant: str) -> None:
    """The lease of the first was lost while it decided: both go to the end, and one effect stands."""
    async with scene(database) as (runtime, _), scene(database) as (other, _):
        stored = await waiting_payment(runtime, fresh_merchant)
        event = envelope(new_id("req"), captured(stored.payment, stored.attempts[0].attempt_id), payment=stored.payment)
        await accept(database, [event])
        claimed = await runtime.stores.inbox.claim(10, "one", 60_000)
        assert [each.event_id for each in claimed] == [event.event_id]
        handlers = [handler.Handler(each) for each in (runtime, other, runtime, other)]
        await asyncio.gather(*(h.handle(claimed[0], stored, datetime.now(UTC)) for h in handlers))
        assert await versions_of(runtime, stored) == ["create", "captured"]
        assert await states(runtime, fresh_merchant) == {event.provider_event_id: "applied"}
    await holds(database, fresh_merchant)


async def test_a_worker_that_lost_its_lease_buries_nothing(database: Database, fresh_merchant: str) -> None:
    """It read the record before the payment was there, and comes to its end when another worker has the event."""
    async with scene(database, settings=replace(WEBHOOK_SETTINGS, webhook_tries_limit=1)) as (runtime, _):
        stored = await waiting_payment(runtime, fresh_merchant)
        event = envelope(new_id("req"), captured(stored.payment, stored.attempts[0].attempt_id), payment=stored.payment)
        await accept(database, [event])
        inbox = runtime.stores.inbox
        (slow,) = await inbox.claim(10, "slow", -1)
        (quick,) = await inbox.claim(10, "quick", 60_000)
        slow_handler = handler.Handler(runtime)
        await slow_handler.handle(slow, None, datetime.now(UTC))
        assert await states(runtime, fresh_merchant) == {event.provider_event_id: "received"}
        await slow_handler.handle(quick, stored, datetime.now(UTC))
        assert await states(runtime, fresh_merchant) == {event.provider_event_id: "applied"}
        trace = await trace_event(inbox, event.event_id)
        assert trace is not None and [each.result for each in trace.attempts] == ["unroutable", "applied"]
    await holds(database, fresh_merchant)


async def test_two_workers_on_two_events_of_one_change(database: Database, fresh_merchant: str) -> None:
    """The loser decides again at once, on what the winner wrote: nothing waits for a lease to end."""
    async with scene(database) as (runtime, _), scene(database) as (other, _):
        stored = await waiting_payment(runtime, fresh_merchant)
        notice = captured(stored.payment, stored.attempts[0].attempt_id)
        await accept(database, [envelope(new_id("req"), notice, payment=stored.payment) for _ in range(4)])
        events = await runtime.stores.inbox.claim(10, "both", 60_000)
        now = datetime.now(UTC)
        workers = (handler.Handler(runtime), handler.Handler(other))
        await asyncio.gather(*(workers[n % 2].handle(event, stored, now) for n, event in enumerate(events)))
        assert sorted((await states(runtime, fresh_merchant)).values()) == ["applied", *["duplicate_effect"] * 3]
        assert await versions_of(runtime, stored) == ["create", "captured"]


async def test_an_event_is_claimed_by_one_worker(database: Database, fresh_merchant: str) -> None:
    """Whoever asks at the same moment: what is claimed is claimed by one."""
    async with scene(database) as (runtime, _):
        names = [new_id("req") for _ in range(100)]
        await accept(database, [envelope(name, merchant_id=fresh_merchant, payment_id=new_id("pay")) for name in names])
        inbox = runtime.stores.inbox
        await asyncio.gather(*(runtime.pool.execute("SELECT pg_sleep(0.05)") for _ in range(8)))  # 8 open connections
        claims = await asyncio.gather(*(inbox.claim(100, f"worker {n}", 60_000) for n in range(8)))
        claimed = [event.provider_event_id for claim in claims for event in claim]
        assert sorted(claimed) == sorted(names)
        for number, claim in enumerate(claims):
            await inbox.release([event.name() for event in claim], f"worker {number}")
        await drain(runtime)


async def test_an_event_that_overtakes_our_own_commit(database: Database, fresh_merchant: str) -> None:
    """The webhook is there before the payment is: retried, then applied."""
    async with scene(database, settings=replace(WEBHOOK_SETTINGS, webhook_tries_limit=50)) as (runtime, provider):
        committed = asyncio.Event()

        async def before(call: ProviderCall) -> Verdict | None:
            notice = AttemptNotice(operation="authorize", attempt_id=call.attempt_id, verdict=provider._approved(call))
            early = envelope(new_id("req"), notice, merchant_id=call.merchant_id, payment_id=call.payment_id)
            unborn = envelope(new_id("req"), notice, merchant_id=call.merchant_id, payment_id=new_id("pay"))
            await accept(database, [early, unborn])
            worker = inbox_worker_of(runtime)
            while "applied" not in (await states(runtime, fresh_merchant)).values():
                await worker.round()
                await asyncio.sleep(0.01)
            committed.set()
            return None

        provider.before = before
        reply = await Client(runtime, fresh_merchant).create(new_id("req"))
        assert committed.is_set()
        assert (reply.status, read(reply)["state"]) == (201, "captured")
        assert sorted((await states(runtime, fresh_merchant)).values()) == ["applied", "unroutable"]
    await holds(database, fresh_merchant)


class Poison(Exception):
    """A defect of a handler."""


@pytest.fixture
def poisoned(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Event ids (the provider's) whose handler has a defect."""
    names: set[str] = set()
    decide = decide_notice

    def defective(*args: Any, **options: Any) -> Any:
        if options["cause"].evidence["provider_event_id"] in names:
            raise Poison("4000 0000 0000 0002 must not be repeated")
        return decide(*args, **options)

    monkeypatch.setattr(handler, "decide_notice", defective)
    return names


async def test_poison_ends_as_a_dead_letter_and_holds_nobody_up(
    database: Database, fresh_merchant: str, poisoned: set[str]
) -> None:
    async with scene(database) as (runtime, _):
        bad, good = await waiting_payment(runtime, fresh_merchant), await waiting_payment(runtime, fresh_merchant)
        events = [
            envelope(new_id("req"), captured(each.payment, each.attempts[0].attempt_id), payment=each.payment)
            for each in (bad, good)
        ]
        poisoned.add(events[0].provider_event_id)
        await accept(database, events)
        await drain(runtime)
        assert await states(runtime, fresh_merchant) == {
            events[0].provider_event_id: "dead",
            events[1].provider_event_id: "applied",
        }
        letters = DeadLetters(
            runtime.stores.inbox, replace(WEBHOOK_SETTINGS, webhook_provider_owners="simulator=sim-team")
        )
        (letter,) = await letters.page(DeadLetterFilter(merchant_id=fresh_merchant), None, 10)
        assert (letter.event_id, letter.tries, letter.owner) == (events[0].event_id, 4, "sim-team")
        assert letter.last_error is not None and letter.last_error.startswith("Poison at defective")
        trace = await trace_event(runtime.stores.inbox, letter.event_id)
        assert trace is not None
        assert [(each.number, each.result) for each in trace.attempts] == [(n, "failed") for n in (1, 2, 3, 4)]
        times = [each.started_at for each in trace.attempts]
        assert times == sorted(times) and all(each.ended_at >= each.started_at for each in trace.attempts)


@pytest.mark.parametrize("poison", [True, False], ids=["failed", "not yet"])
async def test_a_dead_letter_names_the_payment_that_it_was_routed_to(
    database: Database, fresh_merchant: str, poisoned: set[str], poison: bool
) -> None:
    """Also where its bytes name the charge alone, as disputes do: the merchant's events and filters have it."""
    async with scene(database) as (runtime, _):
        stored = await waiting_payment(runtime, fresh_merchant)
        payment, charge = stored.payment, new_id("req")
        await runtime.pool.execute(
            "INSERT INTO provider_reference (provider, account, reference, merchant_id, payment_id)"
            " VALUES ('simulator', 'main', $1, $2, $3)",
            charge,
            payment.merchant_id,
            payment.payment_id,
        )
        notice = DisputeNotice(reference="dp_1", state="opened", amount=payment.amount, currency=payment.currency)
        event = envelope(new_id("req"), notice, charge_reference=charge)
        poisoned.update([event.provider_event_id] if poison else [])
        await accept(database, [event])
        async with asyncio.timeout(60):
            while (await states(runtime))[event.provider_event_id] != "dead":
                await inbox_worker_of(runtime).round()
                await asyncio.sleep(0.005)
        letters = DeadLetters(runtime.stores.inbox, WEBHOOK_SETTINGS)
        (letter,) = await letters.page(DeadLetterFilter(merchant_id=fresh_merchant), None, 10)
        assert (letter.event_id, letter.payment_id) == (event.event_id, payment.payment_id)
        lines = await runtime.stores.inbox.events_of(fresh_merchant, payment.payment_id, 10)
        assert [line.event_id for line in lines] == [event.event_id]


async def test_a_dead_letter_is_replayed_and_traced_through_every_checkpoint(
    database: Database, fresh_merchant: str, poisoned: set[str]
) -> None:
    """The replay drill, read from durable rows alone."""
    async with scene(database) as (runtime, _):
        stored = await waiting_payment(runtime, fresh_merchant)
        event = envelope(new_id("req"), captured(stored.payment, stored.attempts[0].attempt_id), payment=stored.payment)
        poisoned.add(event.provider_event_id)
        await accept(database, [event, again(event)])
        await drain(runtime)
        letters = DeadLetters(runtime.stores.inbox, WEBHOOK_SETTINGS)
        poisoned.clear()  # the defect is mended
        await letters.replay(event.event_id, actor="operator:ada", reason="release 2 is out")
        await drain(runtime)
        assert await versions_of(runtime, stored) == ["create", "captured"]
        # Replaying what was applied runs the same guards.
        await letters.replay(event.event_id, actor="operator:ada", reason="to be sure")
        await drain(runtime)
        assert await versions_of(runtime, stored) == ["create", "captured"]
    async with runtime_of(database.app_url, BookedProvider()) as later:
        trace = await trace_event(later.stores.inbox, event.event_id)
    assert trace is not None
    assert (trace.state, trace.replays, trace.deliveries) == ("duplicate_effect", 2, 2)
    assert [(each.name, each.result) for each in trace.checkpoints] == [
        ("ingest", "received"),
        ("validate", "signature_valid"),
        ("dedup", "first"),
        ("ingest", "received"),
        ("validate", "signature_valid"),
        ("dedup", "redelivery"),
        *[("process", "failed")] * 4,
        ("process", "replayed"),
        ("process", "applied"),
        ("persist", "approved"),
        ("persist", "captured"),
        ("emit", "written"),
        ("process", "replayed"),
        ("process", "duplicate_effect"),
        ("reconcile", None),
    ]
    assert all(each.at is not None for each in trace.checkpoints if each.name != "reconcile")
    acts = [(each.actor, each.detail) for each in trace.attempts if each.result == "replayed"]
    assert acts == [("operator:ada", "release 2 is out"), ("operator:ada", "to be sure")]
    await holds(database, fresh_merchant)


async def test_filtered_replay_and_discard(database: Database, fresh_merchant: str, poisoned: set[str]) -> None:
    async with scene(database) as (runtime, _):
        events = []
        for kind in ("a", "a", "b", "b"):
            stored = await waiting_payment(runtime, fresh_merchant)
            notice = captured(stored.payment, stored.attempts[0].attempt_id)
            events.append(envelope(new_id("req"), notice, payment=stored.payment, type=kind))
        poisoned.update(event.provider_event_id for event in events)
        await accept(database, events)
        await drain(runtime)
        letters = DeadLetters(runtime.stores.inbox, WEBHOOK_SETTINGS)
        poisoned.clear()
        only_a = DeadLetterFilter(merchant_id=fresh_merchant, type="a")
        assert await letters.replay_all(only_a, actor="operator:ada", reason="mended") == 2
        await drain(runtime)
        await letters.discard(events[2].event_id, actor="operator:ada", reason="not ours")
        with pytest.raises(NotReplayable):
            await letters.discard(events[2].event_id, actor="operator:ada", reason="again")
        rest = DeadLetterFilter(merchant_id=fresh_merchant)
        assert await letters.discard_all(rest, actor="operator:ada", reason="not ours") == 1
        found = await states(runtime, fresh_merchant)
        assert [found[event.provider_event_id] for event in events] == ["applied", "applied", "discarded", "discarded"]
        with pytest.raises(NotReplayable):
            await letters.replay(new_id("evt"), actor="operator:ada", reason="no such event")


class OthersActFirst(Inbox):
    """Between this one's look at the list and its act, another operator has discarded, and one has replayed."""

    async def dead(self, which: DeadLetterFilter, after: ListPosition | None, limit: int) -> list[DeadEvent]:
        page = await super().dead(which, after, limit)
        names = [event.name() for event in page]
        if len(names) == 3:
            await self.discard(names[:1], actor="operator:bob", reason="not ours")
            await self.reopen(names[1:2], 0, actor="operator:eve", reason="mended")
        return page


async def test_operators_who_act_at_once(database: Database, fresh_merchant: str, poisoned: set[str]) -> None:
    """What one discards for good stays so, though another is about to replay the whole list."""
    async with scene(database) as (runtime, _):
        events = []
        for _ in range(3):
            stored = await waiting_payment(runtime, fresh_merchant)
            notice = captured(stored.payment, stored.attempts[0].attempt_id)
            events.append(envelope(new_id("req"), notice, payment=stored.payment))
        poisoned.update(event.provider_event_id for event in events)
        await accept(database, events)
        await drain(runtime)
        letters = DeadLetters(OthersActFirst(runtime.pool, runtime.clock), WEBHOOK_SETTINGS)
        mine = DeadLetterFilter(merchant_id=fresh_merchant)
        assert await letters.replay_all(mine, actor="operator:ada", reason="mended") == 1
        assert sorted((await states(runtime, fresh_merchant)).values()) == ["discarded", "received", "received"]
        poisoned.clear()
        await drain(runtime)
        assert sorted((await states(runtime, fresh_merchant)).values()) == ["applied", "applied", "discarded"]


async def test_operators_who_lock_each_other_out_begin_again(
    database: Database, fresh_merchant: str, poisoned: set[str]
) -> None:
    """One holds the second event and wants the first, the other the other way round: neither is told of it."""
    async with scene(database) as (runtime, _):
        stored = await waiting_payment(runtime, fresh_merchant)
        notice = captured(stored.payment, stored.attempts[0].attempt_id)
        events = sorted(
            (envelope(new_id("req"), notice, payment=stored.payment) for _ in range(2)),
            key=lambda event: event.provider_event_id,
        )
        poisoned.update(event.provider_event_id for event in events)
        await accept(database, events)
        await drain(runtime)
        lock = "UPDATE inbox SET detail = detail WHERE provider_event_id = $1"
        names = [("simulator", "main", event.provider_event_id) for event in events]
        for act in (runtime.stores.inbox.reopen, runtime.stores.inbox.discard):
            other, watching = [await asyncpg.connect(database.owner_url) for _ in range(2)]
            try:
                # Who has waited a second finds the deadlock and gives way: nearly always the operator, who waits first.
                with suppress(asyncpg.DeadlockDetectedError):
                    async with other.transaction():
                        await other.execute(lock, events[1].provider_event_id)
                        turn = (0,) if act.__name__ == "reopen" else ()
                        acting = asyncio.create_task(act(names, *turn, actor="operator:ada", reason="mended"))
                        async with asyncio.timeout(60):
                            while not await watching.fetchval(
                                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                                " AND datname = current_database() AND query LIKE '%UPDATE inbox e%'"
                            ):
                                await asyncio.sleep(0.01)
                        await other.execute(lock, events[0].provider_event_id)
            finally:
                await other.close()
                await watching.close()
            assert await acting == 2
            await drain(runtime)


async def test_nobody_elses_flood_holds_the_few_up(database: Database, fresh_merchant: str) -> None:
    """A thousand events of one merchant are in the inbox when one of another arrives: it does not wait for them."""
    async with scene(database, settings=replace(WEBHOOK_SETTINGS, webhook_batch=50)) as (runtime, _):
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
        worker = inbox_worker_of(runtime)
        for _ in range(ahead // 50 + 1):
            await worker.round()
        assert await states(runtime, quiet) == {last.provider_event_id: "unknown_type"}
        done = [state for state in (await states(runtime, loud)).values() if state != "received"]
        assert 0 < len(done) < ahead + 50  # and the flood was not served first
        await drain(runtime)
        assert set((await states(runtime, loud)).values()) == {"unknown_type"}


async def test_a_slow_handler_keeps_its_lease(
    database: Database, fresh_merchant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes twice as long as a lease lasts, and nobody else takes the event meanwhile."""
    lease_ms = 3_000  # a renewal may be two seconds late
    settings = replace(WEBHOOK_SETTINGS, webhook_lease_ms=lease_ms)
    async with scene(database, settings=settings) as (runtime, _):
        stored = await waiting_payment(runtime, fresh_merchant)
        event = envelope(new_id("req"), captured(stored.payment, stored.attempts[0].attempt_id), payment=stored.payment)
        await accept(database, [event])
        handle, handling_it = handler.Handler.handle, asyncio.Event()

        async def slow(self: handler.Handler, leased: LeasedEvent, found: PaymentSnapshot | None, at: datetime) -> bool:
            handling_it.set()
            await asyncio.sleep(2 * lease_ms / 1000)
            return await handle(self, leased, found, at)

        monkeypatch.setattr(handler.Handler, "handle", slow)
        running = asyncio.create_task(inbox_worker_of(runtime).round())
        await handling_it.wait()
        other = runtime.stores.inbox
        while not running.done():
            assert await other.claim(10, "other", 1_000) == []
            await asyncio.sleep(0.02)
        assert await states(runtime, fresh_merchant) == {event.provider_event_id: "applied"}


async def test_a_dead_worker_frees_its_events_after_the_lease(database: Database, fresh_merchant: str) -> None:
    async with scene(database) as (runtime, _):
        stored = await waiting_payment(runtime, fresh_merchant)
        event = envelope(new_id("req"), captured(stored.payment, stored.attempts[0].attempt_id), payment=stored.payment)
        await accept(database, [event])
        assert len(await runtime.stores.inbox.claim(10, "dead", 60_000)) == 1
        assert await inbox_worker_of(runtime).round() == 0
        async with scene(database, shift_ms=61_000) as (later, _):
            await drain(later)
        assert await states(runtime, fresh_merchant) == {event.provider_event_id: "applied"}


@pytest.mark.parametrize("shift_ms", [-3_600_000, 3_600_000], ids=["an hour behind", "an hour ahead"])
async def test_clock_skew_between_worker_and_database(database: Database, fresh_merchant: str, shift_ms: int) -> None:
    """Leases and retries are on the database's clock; what a process believes of the time decides nothing."""
    async with scene(database) as (runtime, _):
        stored = await waiting_payment(runtime, fresh_merchant)
        event = envelope(new_id("req"), captured(stored.payment, stored.attempts[0].attempt_id), payment=stored.payment)
        await accept(database, [event])
        await drain(structs.replace(runtime, clock=Clock(shift_ms)))
        assert await states(runtime, fresh_merchant) == {event.provider_event_id: "applied"}


async def test_the_database_restarts_while_the_inbox_drains(database: Database, fresh_merchant: str) -> None:
    """Every backend is terminated again and again; every event ends applied, each effect once."""
    async with scene(database, settings=replace(WEBHOOK_SETTINGS, webhook_batch=10)) as (runtime, _):
        payments = [await waiting_payment(runtime, fresh_merchant) for _ in range(60)]
        events = [
            envelope(new_id("req"), captured(each.payment, each.attempts[0].attempt_id), payment=each.payment)
            for each in payments
        ]
        await accept(database, events)
        async with working(runtime, "inbox"):
            await _terminate_backends(database, times=8)
            async with asyncio.timeout(90):
                while True:
                    try:
                        if set((await states(runtime, fresh_merchant)).values()) == {"applied"}:
                            break
                    except DATABASE_AWAY:
                        pass
                    await asyncio.sleep(0.05)
        for each in payments:
            assert await versions_of(runtime, each) == ["create", "captured"]
    await holds(database, fresh_merchant)


async def _terminate_backends(database: Database, *, times: int) -> None:
    for _ in range(times):
        await asyncio.sleep(0.1)
        owner = await asyncpg.connect(database.owner_url)
        await owner.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'tallystick' AND datname = current_database()"
        )
        await owner.close()
