"""Lifecycles through the door and the inbox: what Adyen answers is half of it, what it tells is the rest."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import permutations

import pytest

from tallystick.flows.runtime import Runtime
from tests.support.adyen.client import PATIENT, Shop, adyen_runtime
from tests.support.adyen.process import FakeAdyen, token
from tests.support.database import Database
from tests.support.runtime import read


@pytest.fixture
async def runtime(database: Database, bank: FakeAdyen) -> AsyncIterator[Runtime]:
    async with adyen_runtime(database, bank.url, PATIENT) as running:
        yield running


@pytest.fixture
def shop(runtime: Runtime, fresh_merchant: str, database: Database, bank: FakeAdyen) -> Shop:
    return Shop(runtime, fresh_merchant, database, bank)


async def test_a_sale_is_told_once_more(shop: Shop) -> None:
    payment = await shop.until_final(lambda: shop.create("key"), told=False)
    assert payment["state"] == "captured"
    assert await shop.told(times=3) == [("AUTHORISATION", "duplicate_effect")]
    assert await shop.differences() == []


@pytest.mark.parametrize("amount", [1_000, 600])
async def test_a_capture_waits_for_its_notification(shop: Shop, amount: int) -> None:
    payment = await shop.charge("key", manual=True)
    assert payment["state"] == "authorized"
    reply = await shop.capture("capture", payment["id"], amount)
    assert (reply.status, read(reply)["state"]) == (202, "capturing")
    assert (await shop.attempt_states(payment["id"]))["capture"] == "pending"
    assert await shop.told(times=2) == [("CAPTURE", "applied")]
    after = await shop.stored(payment["id"])
    assert (after.state, after.amount_captured) == ("captured", amount)
    assert await shop.differences() == []


async def test_a_capture_that_is_refused(shop: Shop) -> None:
    payment = await shop.charge("key", manual=True, payment_method=token("CAPTUREFAILS"))
    await shop.capture("capture", payment["id"])
    assert await shop.told() == [("CAPTURE", "applied")]
    after = await shop.stored(payment["id"])
    assert (after.state, after.amount_captured) == ("authorized", 0)
    assert await shop.differences() == []


@pytest.mark.parametrize(("method", "state"), [("GOODCARD", "canceled"), ("CANCELFAILS", "authorized")])
async def test_a_cancel(shop: Shop, method: str, state: str) -> None:
    payment = await shop.charge("key", manual=True, payment_method=token(method))
    await shop.cancel("cancel", payment["id"])
    assert (await shop.stored(payment["id"])).state == "canceling"
    assert await shop.told() == [("CANCELLATION", "applied")]
    assert (await shop.stored(payment["id"])).state == state
    assert await shop.differences() == []


@pytest.mark.parametrize(("method", "refunded"), [("GOODCARD", 400), ("REFUNDFAILS", 0)])
async def test_a_refund(shop: Shop, method: str, refunded: int) -> None:
    payment = await shop.charge("key", payment_method=token(method))
    refund = read(await shop.refund("refund", payment["id"], 400))
    assert refund["state"] == "pending"
    assert await shop.told() == [("REFUND", "applied")]
    after = await shop.stored(payment["id"])
    assert (after.amount_refunded, after.amount_refund_pending) == (refunded, 0)
    assert await shop.differences() == []


async def test_a_capture_that_fails_days_later(shop: Shop, bank: FakeAdyen) -> None:
    payment = await shop.charge("key", manual=True)
    await shop.capture("capture", payment["id"])
    await shop.told()
    [made] = bank.books("modification", shop.merchant_id)
    said = {"psp": made["psp"], "reference": made["reference"], "reason": "Capture Failed"}
    await bank.event(payment["provider_reference"], "CAPTURE_FAILED", **said)
    assert await shop.told() == [("CAPTURE_FAILED", "applied")]
    assert (await shop.attempt_states(payment["id"]))["capture"] == "reversed"
    after = await shop.stored(payment["id"])
    assert (after.state, after.amount_captured, after.amount_reversed) == ("captured", 1_000, 1_000)


async def test_a_sale_whose_capture_fails_days_later(shop: Shop, bank: FakeAdyen) -> None:
    payment = await shop.charge("key")
    await bank.event(payment["provider_reference"], "CAPTURE_FAILED", reason="Capture Failed")
    assert await shop.told() == [("CAPTURE_FAILED", "applied")]
    assert (await shop.stored(payment["id"])).amount_reversed == 1_000


async def test_a_refund_that_comes_back(shop: Shop, bank: FakeAdyen) -> None:
    payment = await shop.charge("key")
    await shop.refund("refund", payment["id"], 400)
    await shop.told()
    [made] = bank.books("modification", shop.merchant_id)
    said = {"psp": made["psp"], "reference": made["reference"], "amount": 400}
    await bank.event(payment["provider_reference"], "REFUND_FAILED", **said)
    assert await shop.told() == [("REFUND_FAILED", "applied")]
    assert (await shop.stored(payment["id"])).amount_refunded == 0


#: What follows a chargeback -> how the dispute ends, and what the withdrawn money is.
CHARGEBACKS = {
    "": ("opened", True),
    "DISPUTE_DEFENSE_PERIOD_ENDED": ("lost", True),
    "CHARGEBACK_REVERSED": ("under_review", False),
    "CHARGEBACK_REVERSED ISSUER_RESPONSE_TIMEFRAME_EXPIRED": ("won", False),
    "CHARGEBACK_REVERSED PREARBITRATION_WON": ("won", False),
    "CHARGEBACK_REVERSED SECOND_CHARGEBACK": ("lost", True),
    "CHARGEBACK_REVERSED PREARBITRATION_LOST SECOND_CHARGEBACK": ("lost", True),
    "PREARBITRATION_LOST": ("lost", True),
}


@pytest.mark.parametrize("later", CHARGEBACKS)
async def test_a_chargeback(shop: Shop, bank: FakeAdyen, later: str) -> None:
    payment = await shop.charge("key")
    for code in ("NOTIFICATION_OF_CHARGEBACK", "CHARGEBACK", *later.split()):
        await bank.event(payment["provider_reference"], code, psp="DISPUTEPSP" + payment["id"][-6:].upper())
        assert await shop.told(times=2) == [(code, "applied")]
    loaded = await shop.runtime.reads.load(shop.merchant_id, payment["id"])
    assert loaded is not None
    [dispute] = loaded.stored.disputes
    assert (dispute.state, dispute.funds_withdrawn) == CHARGEBACKS[later]
    assert await shop.differences() == []


@pytest.mark.parametrize("order", list(permutations(("CHARGEBACK", "CHARGEBACK_REVERSED", "SECOND_CHARGEBACK"))))
async def test_a_second_chargeback_in_any_order(shop: Shop, bank: FakeAdyen, order: tuple[str, ...]) -> None:
    """What waits for the first chargeback is tried again."""
    payment = await shop.charge("key")
    for code in order:
        await bank.event(payment["provider_reference"], code, psp="DISPUTEPSP" + payment["id"][-6:].upper())
    assert await shop.told(times=2) == [(code, "applied") for code in order]
    [dispute] = await shop.runtime.reads.disputes(shop.merchant_id, payment["id"])
    assert (dispute.state, dispute.funds_withdrawn, dispute.contested) == ("lost", True, False)
    assert await shop.differences() == []


async def test_a_request_for_information_sets_nothing_aside(shop: Shop, bank: FakeAdyen) -> None:
    payment = await shop.charge("key")
    for code in ("REQUEST_FOR_INFORMATION", "INFORMATION_SUPPLIED"):
        await bank.event(payment["provider_reference"], code, psp="DISPUTEPSP" + payment["id"][-6:].upper())
        assert await shop.told() == [(code, "unknown_type")]
    loaded = await shop.runtime.reads.load(shop.merchant_id, payment["id"])
    assert loaded is not None and loaded.stored.disputes == ()
    await bank.event(payment["provider_reference"], "CHARGEBACK", psp="DISPUTEPSP" + payment["id"][-6:].upper())
    assert await shop.told() == [("CHARGEBACK", "applied")]
    assert await shop.differences() == []


async def test_the_customer_acts(shop: Shop, bank: FakeAdyen) -> None:
    waiting = read(await shop.create("key", payment_method=token("REDIRECTS")))
    assert (waiting["state"], waiting["next_action"]["type"]) == ("requires_action", "redirect")
    await bank.event(waiting["provider_reference"], "AUTHORISATION", psp=waiting["provider_reference"])
    assert await shop.told() == [("AUTHORISATION", "applied")]
    assert (await shop.stored(waiting["id"])).state == "captured"


@pytest.mark.parametrize("success", [True, False])
async def test_a_pending_payment_is_told(shop: Shop, bank: FakeAdyen, success: bool) -> None:
    waiting = read(await shop.create("key", manual=True, payment_method=token("PENDINGS")))
    assert waiting["state"] == "authorizing"
    [made] = bank.books("payment", shop.merchant_id)
    await bank.event(made["psp"], "AUTHORISATION", psp=made["psp"], success=success)
    assert await shop.told() == [("AUTHORISATION", "applied")]
    assert (await shop.stored(waiting["id"])).state == ("authorized" if success else "declined")


async def test_what_is_done_in_the_dashboard(shop: Shop, bank: FakeAdyen) -> None:
    payment = await shop.charge("key", manual=True)
    await bank.event(payment["provider_reference"], "CAPTURE", amount=700)
    assert await shop.told() == [("CAPTURE", "applied")]
    await bank.event(payment["provider_reference"], "REFUND", amount=300)
    assert await shop.told(times=2) == [("REFUND", "applied")]
    after = await shop.stored(payment["id"])
    assert (after.state, after.amount_captured, after.amount_refunded) == ("captured", 700, 300)


async def test_a_hold_that_ran_out(shop: Shop, bank: FakeAdyen) -> None:
    payment = await shop.charge("key", manual=True)
    await bank.event(payment["provider_reference"], "EXPIRE")
    assert await shop.told() == [("EXPIRE", "applied")]
    assert (await shop.stored(payment["id"])).state == "expired"


async def test_equal_parts_of_a_hold_captured_in_the_dashboard(shop: Shop, bank: FakeAdyen) -> None:
    payment = await shop.charge("key", manual=True)
    for psp in ("PARTONE", "PARTTWO"):
        await bank.event(payment["provider_reference"], "CAPTURE", psp=psp + payment["id"][-8:].upper(), amount=500)
        assert await shop.told(times=2) == [("CAPTURE", "applied")]
    after = await shop.stored(payment["id"])
    assert (after.state, after.amount_captured, len(after.provider_operations)) == ("captured", 1_000, 2)
    await bank.event(
        payment["provider_reference"], "CAPTURE_FAILED", psp="PARTONE" + payment["id"][-8:].upper(), amount=500
    )
    assert await shop.told() == [("CAPTURE_FAILED", "applied")]
    after = await shop.stored(payment["id"])
    assert (after.amount_captured, after.amount_reversed) == (1_000, 500)


async def test_canceled_or_refunded_in_the_dashboard(shop: Shop, bank: FakeAdyen) -> None:
    captured = await shop.charge("captured")
    await bank.event(captured["provider_reference"], "CANCEL_OR_REFUND", psp="END" + captured["id"][-8:].upper())
    assert await shop.told(times=2) == [("CANCEL_OR_REFUND", "applied")]
    assert (await shop.stored(captured["id"])).amount_refunded == 1_000
    held = await shop.charge("held", manual=True)
    await bank.event(held["provider_reference"], "CANCEL_OR_REFUND", psp="END" + held["id"][-8:].upper())
    [(_, disposition)] = await shop.told()
    assert disposition in ("received", "unroutable", "applied")  # it waits for the settling time
    await bank.event(held["provider_reference"], "SOMETHING_NEW", psp="NEW" + held["id"][-8:].upper(), amount=7)
    assert await shop.told() == [("SOMETHING_NEW", "conflict")]
