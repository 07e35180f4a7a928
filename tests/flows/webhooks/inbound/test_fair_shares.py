"""Merchants whose events wait for a provider hold up nobody else: they share what is under way."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest

from tallystick.domain.notices import AttemptNotice
from tallystick.domain.verdicts import Declined, Verdict
from tallystick.flows.webhooks.inbound.envelope import Envelope
from tallystick.kit.ids import new_id
from tallystick.providers.port import ProviderCall
from tests.support.database import NewDatabase
from tests.support.inbox import WEBHOOK_SETTINGS, accept, envelope, inbox_worker_of, states
from tests.support.polling import eventually_async, one_turn
from tests.support.runtime import BookedProvider, Client, read, runtime_of
from tests.support.work import working

SLOW_MERCHANTS = ("slow1", "slow2", "slow3", "slow4")

#: Four batches of ten are under way at once: a quarter is ten.
SETTINGS = replace(WEBHOOK_SETTINGS, webhook_batch=10, webhook_lease_ms=120_000)


class SlowLookups(BookedProvider):
    """Look-ups of the slow merchants are answered when they are told to."""

    def __init__(self) -> None:
        super().__init__()
        self.answer = asyncio.Event()
        self.asked = asyncio.Event()

    async def fetch(self, call: ProviderCall) -> Verdict:
        if call.merchant_id in SLOW_MERCHANTS:
            self.asked.set()
            await self.answer.wait()
        return await super().fetch(call)


async def test_a_fifth_merchant_s_events_are_decided_while_those_of_four_wait(new_database: NewDatabase) -> None:
    """Each of the four has 20 events that contradict the record, so that their provider is asked first."""
    database, provider = new_database(), SlowLookups()
    async with runtime_of(database.app_url, provider, settings=SETTINGS) as runtime:
        contradicting = []
        for merchant_id in (*SLOW_MERCHANTS, "fifth"):
            payment_id = read(await Client(runtime, merchant_id).create("k"))["id"]
            loaded = await runtime.reads.load(merchant_id, payment_id)
            assert loaded is not None
            notice = _no(loaded.stored.attempts[0].attempt_id)
            contradicting += [envelope(new_id("req"), notice, payment=loaded.stored.payment) for _ in range(20)]
        await accept(database, contradicting[:80])
        async with working(runtime, "inbox"):
            try:
                leased = "SELECT merchant_id FROM inbox WHERE lease IS NOT NULL AND next_try_at IS NOT NULL"

                async def under_way() -> Counter[str]:
                    return Counter(record[0] for record in await runtime.pool.fetch(leased))

                held = await eventually_async(under_way, until=lambda held: held.total() >= 32)
                assert max(held.values()) <= 10, "a quarter"
                await accept(database, contradicting[80:])

                async def of_the_fifth() -> Counter[str]:
                    return Counter((await states(runtime, "fifth")).values())

                await eventually_async(of_the_fifth, until=lambda found: found["received"] == 0)
                assert await under_way() == held, "and none of the others"
            finally:
                provider.answer.set()

            async def still_open() -> int:
                return (await runtime.pool.fetchval("SELECT count(*) FROM inbox WHERE state = 'received'")) or 0

            await eventually_async(still_open, until=lambda left: left == 0)


async def test_a_claim_is_not_filled_by_a_merchant_without_room(new_database: NewDatabase) -> None:
    """It may have one more, and has a whole batch before the other's event in the fair order."""
    database = new_database()
    async with runtime_of(database.app_url, BookedProvider(), settings=SETTINGS) as runtime:
        worker = inbox_worker_of(runtime)
        for _ in range(34):
            worker._shares.add("slow1")
        await accept(database, [_unborn("slow1") for _ in range(15)], shift_ms=-60_000)
        await accept(database, [_unborn("fifth")])
        claim = await worker._claim()
        assert Counter(event.merchant_id for event in claim.events) == {"slow1": 1, "fifth": 1}
        assert (await worker._claim()).events == []
        await worker._batch(claim)
        assert (worker._shares.held("slow1"), worker._shares.held("fifth")) == (34, 0)


async def test_slots_of_events_that_another_worker_was_faster_with_come_back(new_database: NewDatabase) -> None:
    database = new_database()
    async with runtime_of(database.app_url, BookedProvider(), settings=SETTINGS) as runtime:
        await accept(database, [_unborn("fifth") for _ in range(3)])
        workers = [inbox_worker_of(runtime) for _ in range(4)]
        claims = await asyncio.gather(*(worker._claim() for worker in workers))
        assert sum(len(claim.events) for claim in claims) == 3
        assert [worker._shares.held("fifth") for worker in workers] == [len(claim.events) for claim in claims]


async def test_a_payment_whose_read_fails_leaves_the_others_of_its_batch_under_way(
    new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They keep slot and lease until they are done, and the batch is not done before."""
    database, provider = new_database(), SlowLookups()
    async with runtime_of(database.app_url, provider, settings=SETTINGS) as runtime:
        events = []
        for merchant_id, count in (("slow1", 1), ("fifth", 2)):
            payment_id = read(await Client(runtime, merchant_id).create("k"))["id"]
            loaded = await runtime.reads.load(merchant_id, payment_id)
            assert loaded is not None
            notice = _no(loaded.stored.attempts[0].attempt_id)
            events += [envelope(new_id("req"), notice, payment=loaded.stored.payment) for _ in range(count)]
        await accept(database, events)
        worker, failed = inbox_worker_of(runtime), asyncio.Event()
        load, looks = runtime.reads.load_many, Counter[str]()

        async def away(names: Sequence[tuple[str, str]]) -> object:
            looks.update(merchant_id for merchant_id, _ in names)
            if (
                looks["fifth"] <= 2
            ):  # of the batch, and before a provider is asked; the next one is for its second event
                return await load(names)
            failed.set()
            raise ConnectionResetError

        monkeypatch.setattr(runtime.reads, "load_many", away)
        batch = asyncio.create_task(worker._batch(await worker._claim()))
        await provider.asked.wait()
        await failed.wait()
        for _ in range(10):  # turns of the loop, for whoever waits for the failure
            await one_turn()
        assert (batch.done(), worker._shares.held("slow1")) == (False, 1)
        provider.answer.set()
        with pytest.raises(ConnectionResetError):
            await batch
        assert (worker._shares.held("slow1"), worker._shares.held("fifth")) == (0, 0)
        assert "received" not in (await states(runtime, "slow1")).values()


def _unborn(merchant_id: str) -> Envelope:
    return envelope(new_id("req"), merchant_id=merchant_id, payment_id=new_id("pay"))


def _no(attempt_id: str) -> AttemptNotice:
    return AttemptNotice(
        operation="authorize", attempt_id=attempt_id, verdict=Declined(code="card_declined", message="no")
    )
