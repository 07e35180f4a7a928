"""What cannot be processed ends as a dead letter, holds nobody up, and is replayed or discarded by operators."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

import asyncpg
import pytest

from tallystick.decisions.provider_events.route import decide_notice
from tallystick.domain.list_filters import EventFilter
from tallystick.domain.notices import DisputeNotice
from tallystick.flows.webhooks.inbound import deciding
from tallystick.flows.webhooks.inbound.dead_letters import DeadLetters, NotReplayable
from tallystick.kit.ids import new_id
from tallystick.oversight.trace.event import trace_event
from tallystick.record.postgres.inbox import Inbox
from tallystick.record.postgres.inbox_rows import DeadEvent, DeadLetterFilter, ListPosition
from tests.support.database import Database
from tests.support.inbox import (
    WEBHOOK_SETTINGS,
    accept,
    again,
    assert_invariants,
    captured,
    drain,
    envelope,
    inbox_worker_of,
    late_outcomes,
    states,
    versions_of,
    waiting_payment,
)
from tests.support.polling import eventually_async
from tests.support.runtime import BookedProvider, runtime_of


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

    monkeypatch.setattr(deciding, "decide_notice", defective)
    return names


async def test_poison_ends_as_a_dead_letter_and_holds_nobody_up(
    database: Database, fresh_merchant: str, poisoned: set[str]
) -> None:
    async with late_outcomes(database) as (runtime, _):
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
        trace = await trace_event(runtime.stores.inbox, runtime.stores.evidence, letter.event_id)
        assert trace is not None
        assert [(each.number, each.result) for each in trace.attempts] == [(n, "failed") for n in (1, 2, 3, 4)]
        times = [each.started_at for each in trace.attempts]
        assert times == sorted(times) and all(each.ended_at >= each.started_at for each in trace.attempts)


@pytest.mark.parametrize("poison", [True, False], ids=["failed", "not yet"])
async def test_a_dead_letter_names_the_payment_that_it_was_routed_to(
    database: Database, fresh_merchant: str, poisoned: set[str], poison: bool
) -> None:
    """Also where its bytes name the charge alone, as disputes do: the merchant's events and filters have it."""
    async with late_outcomes(database) as (runtime, _):
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

        async def state() -> str:
            await inbox_worker_of(runtime).round()
            return (await states(runtime))[event.provider_event_id]

        await eventually_async(state, until=lambda found: found == "dead", interval_s=0.005)
        letters = DeadLetters(runtime.stores.inbox, WEBHOOK_SETTINGS)
        (letter,) = await letters.page(DeadLetterFilter(merchant_id=fresh_merchant), None, 10)
        assert (letter.event_id, letter.payment_id) == (event.event_id, payment.payment_id)
        of_payment = EventFilter(payment_id=payment.payment_id)
        lines = await runtime.stores.lists.events(fresh_merchant, of_payment, before=None, limit=10)
        assert [line.event_id for line in lines] == [event.event_id]


async def test_a_dead_letter_is_replayed_and_traced_through_every_checkpoint(
    database: Database, fresh_merchant: str, poisoned: set[str]
) -> None:
    """The replay drill, read from durable rows alone."""
    async with late_outcomes(database) as (runtime, _):
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
        trace = await trace_event(later.stores.inbox, later.stores.evidence, event.event_id)
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
    await assert_invariants(database, fresh_merchant)


async def test_filtered_replay_and_discard(database: Database, fresh_merchant: str, poisoned: set[str]) -> None:
    async with late_outcomes(database) as (runtime, _):
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
    async with late_outcomes(database) as (runtime, _):
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


UPDATE_WAITS_FOR_A_LOCK = (
    "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    " AND datname = current_database() AND query LIKE '%UPDATE inbox e%'"
)


async def test_operators_who_lock_each_other_out_begin_again(
    database: Database, fresh_merchant: str, poisoned: set[str]
) -> None:
    """One holds the second event and wants the first, the other the other way round: neither is told of it."""
    async with late_outcomes(database) as (runtime, _):
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
                        await eventually_async(partial(watching.fetchval, UPDATE_WAITS_FOR_A_LOCK))
                        await other.execute(lock, events[0].provider_event_id)
            finally:
                await other.close()
                await watching.close()
            assert await acting == 2
            await drain(runtime)
