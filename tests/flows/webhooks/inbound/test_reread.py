"""Closed events are read again from their kept bytes: what older code filed without a notice, of each provider."""

from __future__ import annotations

from typing import Final

import pytest

from tallystick.flows.webhooks.inbound import reread
from tallystick.flows.webhooks.inbound.envelope import KEPT_WITH
from tallystick.flows.webhooks.inbound.reread import FILED_AS, Reread
from tallystick.record.sealing import Sealer
from tests.support.adyen.fake_adyen import delivery
from tests.support.database import Database
from tests.support.filed_events import RECEIVERS, REFUNDS, WORDS, place_of

#: And one that is not about money.
OTHERS: Final = {"adyen": "REPORT_AVAILABLE", "stripe": "customer.created", "simulator": "report.ready"}


@pytest.mark.parametrize("provider", REFUNDS)
async def test_what_reads_differently_today_is_processed_once(
    database: Database, fresh_merchant: str, provider: str
) -> None:
    async with place_of(database, fresh_merchant, provider) as place:
        [filed] = await place.file(place.body("one", 300))
        [reading] = await place.readings(place.which())
        assert (reading.event_id, reading.filed_as, reading.reads_as) == (filed.event_id, "unknown_type", "refund")
        assert await place.refunded() == 0, "to list changes nothing"
        assert await place.put_through(place.which()) == ["applied"]
        assert await place.refunded() == 300
        assert await place.put_through(place.which()) == []
        name = (filed.provider, filed.account, filed.provider_event_id)
        acts = [each for each in await place.runtime.stores.inbox.processing(name) if each.result == "reread"]
        assert [(each.actor, each.detail) for each in acts] == [("operator:kim", "read today")]


@pytest.mark.parametrize("provider", OTHERS)
async def test_what_is_not_about_money_stays(database: Database, fresh_merchant: str, provider: str) -> None:
    kind = OTHERS[provider]
    async with place_of(database, fresh_merchant, provider) as place:
        [filed] = await place.file(place.body("one", 300, kind))
        [reading] = await place.readings(place.which(kind))
        assert (reading.reads_as, reading.why) == (None, "it still says nothing about money")
        assert await place.put_through(place.which(kind)) == []
        event = await place.runtime.stores.inbox.event(filed.event_id)
        assert event is not None and (event.state, event.replays) == ("unknown_type", 0)


@pytest.mark.parametrize("provider", REFUNDS)
async def test_what_was_applied_is_never_read_again(database: Database, fresh_merchant: str, provider: str) -> None:
    assert not {"applied", "discarded"} & set(FILED_AS)
    async with place_of(database, fresh_merchant, provider) as place:
        await place.file(place.body("one", 300), notices=True)
        assert await place.refunded() == 300
        for filed_as in FILED_AS:
            assert await place.readings(place.which(filed_as=filed_as)) == []


async def test_a_repetition_that_reads_as_before_stays(database: Database, fresh_merchant: str) -> None:
    """Stripe tells one refund under several names: the second one is a repetition, whoever reads it."""
    async with place_of(database, fresh_merchant, "stripe") as place:
        await place.file(place.body("one", 300), notices=True)
        again = place.body("one", 300, "refund.updated").replace(b"evt_one", b"evt_again")
        await place.file(again, notices=True)
        which = place.which("refund.updated", "duplicate_effect")
        [reading] = await place.readings(which)
        assert (reading.reads_as, reading.why) == (None, "it reads as before")
        assert await place.put_through(which) == [] and await place.refunded() == 300


async def test_the_bytes_of_several_items_are_kept_once(database: Database, fresh_merchant: str) -> None:
    """The second item names the delivery of the first; here that is a redelivery of an event that came before."""
    async with place_of(database, fresh_merchant, "adyen") as place:
        await place.file(delivery([place.item("A"), place.item("B")]))
        await place.file(delivery([place.item("A"), place.item("C")]))
        assert [each.reads_as for each in await place.readings(place.which())] == ["refund"] * 3
        assert await place.put_through(place.which()) == ["applied"] * 3
        assert await place.refunded() == 300


async def test_a_header_of_a_sender_leads_nowhere_else(database: Database, fresh_merchant: str) -> None:
    """Headers are not signed: one that looks like ours does not make other bytes of a delivery."""
    async with place_of(database, fresh_merchant, "adyen") as place:
        [first] = await place.file(place.body("A", 700, "REFUND"), notices=True)
        await place.file(place.body("B", 100), {KEPT_WITH: first.delivery_id})
        assert await place.put_through(place.which()) == ["applied"]
        assert await place.refunded() == 800


async def test_bytes_that_cannot_be_opened_are_named(database: Database, fresh_merchant: str) -> None:
    async with place_of(database, fresh_merchant, "stripe") as place:
        await place.file(place.body("one"))
        [reading] = await place.readings(place.which(), Sealer(lambda: [b"another key: for the tests only."]))
        assert reading.reads_as is None and str(reading.why).startswith("its bytes cannot be opened")


async def test_an_event_that_was_closed_otherwise_meanwhile_stays(database: Database, fresh_merchant: str) -> None:
    """Two operators have listed it: the second one's act finds it processed."""
    async with place_of(database, fresh_merchant, "simulator") as place:
        await place.file(place.body("one", 300))
        runtime, which = place.runtime, place.which()
        rereading = Reread(runtime.stores.inbox, RECEIVERS, runtime.sealer, runtime.actions, runtime.words)
        [batch] = [each for each in await place.batches(which) if each.readings]
        became = [await rereading.put_through(place.worker, batch, which, **WORDS) for _ in range(2)]
        assert [[each.state for each in one] for one in became] == [["applied"], []]
        assert await place.refunded() == 300


async def test_many_are_read_in_bounded_batches(
    database: Database, fresh_merchant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reread, "SCANNED_AT_ONCE", 4)
    monkeypatch.setattr(reread, "BATCH_EVENTS", 2)
    async with place_of(database, fresh_merchant, "adyen") as place:
        await place.file(delivery([place.item(f"R{number}", 10) for number in range(9)]))
        await place.file(delivery([place.item(f"N{number}", 10, "REPORT_AVAILABLE") for number in range(3)]))
        batches = await place.batches(place.which())
        assert max(len(batch.readings) for batch in batches) == 2
        assert len(await place.readings(place.which())) == 9
        assert [batch.scanned for batch in batches] == sorted(batch.scanned for batch in batches)
        assert batches[-1].scanned >= 12 and all(batch.scanned % 4 == 0 for batch in batches)
        assert await place.put_through(place.which()) == ["applied"] * 9
        assert await place.refunded() == 90
