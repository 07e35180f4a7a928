"""The connector and localstripe: what each operation does there, and what a look-up says of it afterwards."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tallystick.domain.verdicts import Approved, Declined, NotFound, NotSent, Pending, RequiresAction, Unknown, Verdict
from tallystick.kit.clock import monotonic_ms
from tallystick.providers.port import send
from tallystick.providers.stripe import lists
from tallystick.providers.stripe.calls import StripeProvider
from tallystick.providers.stripe.objects import ATTEMPT, MERCHANT, PAYMENT
from tests.support.polling import eventually_async
from tests.support.ports import free_port
from tests.support.stripe.calls import AMOUNT, authorize, connector, follow_up
from tests.support.stripe.localstripe import (
    DECLINED,
    GOOD,
    IBAN_DECLINED,
    NEEDS_AUTHENTICATION,
    NEEDS_AUTHENTICATION_THEN_DECLINED,
    LocalStripe,
)


def said(verdict: Verdict) -> tuple[Any, ...]:
    """What counts of an approval."""
    assert isinstance(verdict, Approved), verdict
    return verdict.effect, verdict.amount, verdict.currency


async def held(provider: StripeProvider, payment_method: str = GOOD) -> str:
    """A hold of ``AMOUNT``: the PaymentIntent's id."""
    verdict = await provider.authorize(authorize(payment_method, capture=False))
    assert said(verdict) == ("authorized", AMOUNT, "EUR")
    assert verdict.reference is not None
    return verdict.reference


@pytest.mark.parametrize("capture", [True, False])
async def test_authorize(bank: LocalStripe, capture: bool) -> None:
    async with connector(bank.url) as provider:
        call = authorize(capture=capture)
        verdict = await provider.authorize(call)
        assert said(verdict) == ("captured" if capture else "authorized", AMOUNT, "EUR")
        assert verdict.occurred_at is not None
        [intent] = bank.intents(**{ATTEMPT: call.attempt_id})
        assert verdict.reference == intent["id"]
        assert intent["metadata"] == {MERCHANT: "m", PAYMENT: call.payment_id, ATTEMPT: call.attempt_id}
        assert intent["status"] == ("succeeded" if capture else "requires_capture")
        assert verdict.raw is not None
        assert "client_secret" not in str(verdict.raw), "nobody may find it in the history"
        found = await provider.fetch(call)
        assert (said(found), found.reference) == (said(verdict), verdict.reference)


@pytest.mark.parametrize("amount", [AMOUNT, 600])
async def test_capture(bank: LocalStripe, amount: int) -> None:
    async with connector(bank.url) as provider:
        reference = await held(provider)
        call = follow_up("capture", reference, amount)
        assert isinstance(await provider.fetch(call), NotFound), "not yet"
        assert said(await provider.capture(call)) == ("captured", amount, "EUR")
        assert said(await provider.fetch(call)) == ("captured", amount, "EUR")
        released = bank.refunds(reference)
        assert [refund["amount"] for refund in released] == ([] if amount == AMOUNT else [AMOUNT - amount])
        again = await provider.capture(follow_up("capture", reference, amount))
        assert isinstance(again, Declined), "captured once"


async def test_what_a_partial_capture_released_is_no_refund(bank: LocalStripe) -> None:
    async with connector(bank.url) as provider:
        reference = await held(provider)
        capture = follow_up("capture", reference, 600)
        await provider.capture(capture)
        refund = follow_up("refund", reference, 400)
        assert isinstance(await provider.fetch(refund), NotFound), "the released 400 is nobody's refund"
        assert said(await provider.refund(refund)) == ("refunded", 400, "EUR")
        assert said(await provider.fetch(capture)) == ("captured", 600, "EUR"), "nor does a refund lessen the capture"


async def test_cancel(bank: LocalStripe) -> None:
    async with connector(bank.url) as provider:
        reference = await held(provider)
        call = follow_up("cancel", reference)
        assert isinstance(await provider.fetch(call), NotFound), "not yet"
        assert said(await provider.cancel(call)) == ("voided", AMOUNT, "EUR")
        assert said(await provider.fetch(call)) == ("voided", AMOUNT, "EUR")
        late = await provider.fetch(follow_up("capture", reference))
        assert isinstance(late, Declined)
        assert late.code == "charge_already_canceled"


async def test_cancel_of_a_captured_payment(bank: LocalStripe) -> None:
    async with connector(bank.url) as provider:
        reference = await held(provider)
        await provider.capture(follow_up("capture", reference))
        call = follow_up("cancel", reference)
        assert isinstance(await provider.cancel(call), Declined)
        found = await provider.fetch(call)
        assert isinstance(found, Declined)
        assert found.code == "charge_already_captured"


@pytest.mark.parametrize("amount", [AMOUNT, 300])
async def test_refund(bank: LocalStripe, amount: int) -> None:
    async with connector(bank.url) as provider:
        charged = await provider.authorize(authorize())
        call = follow_up("refund", charged.reference, amount)
        assert isinstance(await provider.fetch(call), NotFound)
        verdict = await provider.refund(call)
        assert said(verdict) == ("refunded", amount, "EUR")
        [refund] = bank.refunds(str(charged.reference))
        assert (refund["id"], refund["amount"]) == (verdict.reference, amount)
        assert refund["metadata"][ATTEMPT] == call.attempt_id
        other = follow_up("refund", charged.reference, amount)
        assert isinstance(await provider.fetch(other), NotFound), "each refund answers for itself"
        for reference in (None, verdict.reference):
            found = await provider.fetch(follow_up("refund", charged.reference, amount, reference=reference))
            assert isinstance(found, NotFound) == (reference is None)
        assert said(await provider.fetch(call)) == ("refunded", amount, "EUR")


async def test_a_decline(bank: LocalStripe) -> None:
    async with connector(bank.url) as provider:
        call = authorize(DECLINED)
        verdict = await provider.authorize(call)
        assert isinstance(verdict, Declined)
        assert (verdict.code, verdict.retryable) == ("card_declined", False)
        assert bank.intents(**{ATTEMPT: call.attempt_id})[0]["status"] == "requires_payment_method"
        found = await provider.fetch(call)
        assert isinstance(found, Declined), "back to where a payment method is missing, after our try: declined"
        assert found.code == "card_declined"


async def test_a_payment_method_that_does_not_exist(bank: LocalStripe) -> None:
    async with connector(bank.url) as provider:
        call = authorize("pm_nobody_knows")
        assert isinstance(await provider.authorize(call), Declined)
        assert isinstance(await provider.fetch(call), NotFound)


@pytest.mark.parametrize(
    ("card", "success", "ending"),
    [
        (NEEDS_AUTHENTICATION, True, Approved),
        (NEEDS_AUTHENTICATION, False, Declined),
        (NEEDS_AUTHENTICATION_THEN_DECLINED, True, Declined),
    ],
)
async def test_the_customer_acts(bank: LocalStripe, card: str, success: bool, ending: type[Verdict]) -> None:
    async with connector(bank.url) as provider:
        call = authorize(bank.card(card))
        verdict = await provider.authorize(call)
        assert isinstance(verdict, RequiresAction)
        assert verdict.next_action["type"] == "use_stripe_sdk"
        assert isinstance(await provider.fetch(call), RequiresAction)
        secret = verdict.next_action["client_secret"]
        fields = {"client_secret": secret, "success": success}
        try:
            await bank.acall("POST", f"/v1/payment_intents/{verdict.reference}/_authenticate", **fields)
        except OSError:
            assert ending is Declined, "its answer to the browser"
        found = await provider.fetch(call)
        assert isinstance(found, ending)
        if isinstance(found, Declined):
            assert found.code == ("card_declined" if success else "authentication_failed")


async def test_canceled_while_the_customer_should_act(bank: LocalStripe) -> None:
    async with connector(bank.url) as provider:
        call = authorize(bank.card(NEEDS_AUTHENTICATION))
        waiting = await provider.authorize(call)
        assert said(await provider.cancel(follow_up("cancel", waiting.reference))) == ("voided", AMOUNT, "EUR")
        assert said(await provider.fetch(call)) == ("voided", AMOUNT, "EUR")


async def test_processing_is_pending(bank: LocalStripe) -> None:
    """Of accounts whose debit fails it knows that half a second later."""
    async with connector(bank.url, payment_method_types="sepa_debit") as provider:
        call = authorize(bank.bank_account(IBAN_DECLINED))
        verdict = await provider.authorize(call)
        assert isinstance(verdict, Pending)
        assert verdict.reference is not None
        found = await eventually_async(
            lambda: provider.fetch(call), until=lambda verdict: not isinstance(verdict, Pending), interval_s=0.05
        )
        assert isinstance(found, Declined)


async def test_a_lookup_reads_every_page(bank: LocalStripe, monkeypatch: pytest.MonkeyPatch) -> None:
    async with connector(bank.url) as provider:
        first = authorize()
        await provider.authorize(first)
        for _ in range(5):
            await provider.authorize(authorize())
        last = authorize()
        await provider.authorize(last)
        monkeypatch.setattr(lists, "PAGE", 2)
        assert isinstance(await provider.fetch(first), Approved)
        assert isinstance(await provider.fetch(last), Approved)
        assert isinstance(await provider.fetch(authorize()), NotFound)
        monkeypatch.setattr(lists, "PAGES_LIMIT", 1)
        missing = await provider.fetch(authorize())
        assert isinstance(missing, Unknown), "what was not seen to the end is not known to be absent"


async def test_two_effects_of_one_attempt_are_nobodys_guess(bank: LocalStripe) -> None:
    """It forgets keys: what arrives twice happens twice."""
    async with connector(bank.url) as provider:
        call = authorize()
        await provider.authorize(call)
        await provider.authorize(call)
        assert len(bank.intents(**{ATTEMPT: call.attempt_id})) == 2
        assert isinstance(await provider.fetch(call), Unknown)


async def test_the_charge_counts_and_not_the_decline_before_it(bank: LocalStripe) -> None:
    async with connector(bank.url) as provider:
        call = authorize(DECLINED)
        await provider.authorize(call)
        metadata = {MERCHANT: call.merchant_id, PAYMENT: call.payment_id, ATTEMPT: call.attempt_id}
        fields = {"amount": AMOUNT, "currency": "eur", "payment_method": GOOD, "confirm": True, "metadata": metadata}
        await bank.acall("POST", "/v1/payment_intents", **fields)
        assert said(await provider.fetch(call)) == ("captured", AMOUNT, "EUR")


async def test_amounts_in_their_unit(bank: LocalStripe) -> None:
    async with connector(bank.url) as provider:
        for currency, amount, theirs in (("ISK", 5, 500), ("MGA", 500, 5), ("JPY", 7, 7), ("KWD", 1_230, 1_230)):
            assert provider.representable(amount, currency)
            call = authorize(amount=amount, currency=currency)
            assert said(await provider.authorize(call)) == ("captured", amount, currency)
            assert bank.intents(**{ATTEMPT: call.attempt_id})[0]["amount"] == theirs
            assert said(await provider.fetch(call)) == ("captured", amount, currency)
        assert not provider.representable(550, "MGA")
        assert not provider.representable(1_234, "KWD")


def test_tokens() -> None:
    provider = StripeProvider.__new__(StripeProvider)
    assert all(map(provider.supports, ("pm_1abcDEF", GOOD, "card_1", "src_1")))
    assert not any(map(provider.supports, ("sim_ok", "tok_visa", "pm_", "pm_1\n", "PM_1", "pm_1/capture", "")))


@pytest.mark.parametrize("operation", ["authorize", "capture", "cancel", "refund"])
async def test_a_refused_connection_sent_nothing(operation: str) -> None:
    async with connector(f"http://127.0.0.1:{free_port()}") as provider:
        call = follow_up(operation, "pi_1")
        assert isinstance(await send(provider, call), NotSent)
        assert isinstance(await provider.fetch(call), Unknown), "a lookup that failed says nothing"


@pytest.mark.parametrize("operation", ["authorize", "capture", "cancel", "refund"])
async def test_a_sender_past_its_time_does_not_send(bank: LocalStripe, operation: str) -> None:
    async with connector(bank.url) as provider:
        reference = await held(provider)
        before = bank.intents()
        assert isinstance(await send(provider, follow_up(operation, reference, window_ms=-1)), NotSent)
        assert bank.intents() == before


async def test_the_deadline_is_the_calls_own(bank: LocalStripe) -> None:
    """Many calls share the connector, each with its own time to send by."""
    async with connector(bank.url) as provider:
        calls = [authorize(window_ms=60_000 if number % 2 else -1) for number in range(10)]
        verdicts = await asyncio.gather(*(provider.authorize(call) for call in calls))
        for call, verdict in zip(calls, verdicts, strict=True):
            assert isinstance(verdict, Approved if call.send_by_ms > monotonic_ms() else NotSent)
            assert isinstance(await provider.fetch(call), type(verdict) if isinstance(verdict, Approved) else NotFound)


@pytest.mark.parametrize("operation", ["capture", "cancel", "refund"])
async def test_without_a_payment_intent_nothing_is_sent(bank: LocalStripe, operation: str) -> None:
    async with connector(bank.url) as provider:
        assert isinstance(await send(provider, follow_up(operation, None)), NotSent)
        assert isinstance(await provider.fetch(follow_up(operation, None)), NotFound)
