"""Payments whose outcome comes later, through the door: recovery asks, and finds what became of them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import pytest

from tallystick.flows.runtime import Runtime
from tests.support.database import Database
from tests.support.runtime import read
from tests.support.stripe.client import PATIENT, Shop, differences, stripe_runtime
from tests.support.stripe.localstripe import IBAN_DECLINED, NEEDS_AUTHENTICATION, LocalStripe


@pytest.fixture
async def runtime(database: Database, bank: LocalStripe) -> AsyncIterator[Runtime]:
    async with stripe_runtime(database, bank.url, PATIENT) as running:
        yield running


@pytest.mark.parametrize(("success", "manual", "state"), [(1, 0, "captured"), (1, 1, "authorized"), (0, 0, "declined")])
async def test_the_customer_acts(
    runtime: Runtime, bank: LocalStripe, fresh_merchant: str, success: int, manual: int, state: str
) -> None:
    shop, card = Shop(runtime, fresh_merchant), bank.card(NEEDS_AUTHENTICATION)
    waiting = read(await shop.create("key", payment_method=card, manual=bool(manual)))
    assert (waiting["state"], waiting["next_action"]["type"]) == ("requires_action", "use_stripe_sdk")
    path = f"/v1/payment_intents/{waiting['provider_reference']}/_authenticate"
    with contextlib.suppress(OSError):  # a refusal is its answer to the browser
        await bank.acall("POST", path, client_secret=waiting["next_action"]["client_secret"], success=bool(success))
    payment = await shop.charge("key", payment_method=card, manual=bool(manual))
    assert payment["state"] == state
    assert payment["next_action"] is None
    if state == "declined":
        await shop.closed(payment["id"])
        [intent] = bank.intents(tallystick_payment=payment["id"])
        assert intent["status"] == "canceled", "nobody can pay it any more"
    assert await differences(runtime, bank, fresh_merchant) == []


async def test_canceled_while_the_customer_should_act(runtime: Runtime, bank: LocalStripe, fresh_merchant: str) -> None:
    shop, card = Shop(runtime, fresh_merchant), bank.card(NEEDS_AUTHENTICATION)
    waiting = read(await shop.create("key", payment_method=card))
    canceled = await shop.until_final(lambda: shop.cancel("cancel", waiting["id"]))
    assert canceled["state"] == "canceled"
    [intent] = bank.intents(tallystick_payment=waiting["id"])
    assert intent["status"] == "canceled"
    assert await differences(runtime, bank, fresh_merchant) == []


async def test_a_debit_that_its_bank_refuses_later(runtime: Runtime, bank: LocalStripe, fresh_merchant: str) -> None:
    shop, account = Shop(runtime, fresh_merchant), bank.bank_account(IBAN_DECLINED)
    reply = await shop.create("key", payment_method=account)
    assert (reply.status, read(reply)["state"]) == (202, "authorizing")
    payment = await shop.charge("key", payment_method=account)
    assert payment["state"] == "declined"
    assert await differences(runtime, bank, fresh_merchant) == []


async def test_a_dashboard_capture_is_found(runtime: Runtime, bank: LocalStripe, fresh_merchant: str) -> None:
    """A refused cancel makes us look at what happened there: another amount was captured than we would have."""
    shop = Shop(runtime, fresh_merchant)
    payment = await shop.charge("create", manual=True)
    path = f"/v1/payment_intents/{payment['provider_reference']}/capture"
    await bank.acall("POST", path, amount_to_capture=700)
    refused = await shop.until_final(lambda: shop.cancel("cancel", payment["id"]))
    assert refused["failure"] is not None or refused["state"] == "captured"
    found = await shop.settled(payment["id"], "captured")
    assert found.amount_captured == 700
    assert await differences(runtime, bank, fresh_merchant) == []
