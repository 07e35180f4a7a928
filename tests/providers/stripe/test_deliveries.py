"""Webhooks that localstripe itself signs and sends, read by our receiver."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from aiohttp import web

from tallystick.domain.notices import ChargeNotice
from tallystick.domain.verdicts import Approved, Declined
from tallystick.providers.receiver import BadSignature, Notification
from tallystick.providers.stripe.receiver import StripeReceiver
from tests.support.polling import eventually_async
from tests.support.stripe.calls import authorize, connector, follow_up
from tests.support.stripe.localstripe import DECLINED, LocalStripe

SECRET = "whsec_localstripe"

#: It sends a second after the event; far more than that is a failure.
ARRIVAL_S = 60


class Mailbox:
    """What was delivered, as it came."""

    def __init__(self) -> None:
        self.deliveries: list[tuple[bytes, dict[str, str]]] = []

    async def take(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.deliveries.append((await request.read(), headers))
        return web.Response(body=StripeReceiver("main", [SECRET]).acknowledgement)

    async def about(self, payment_id: str) -> Notification:
        """The first event about a payment."""
        receiver = StripeReceiver("main", [SECRET])

        def found() -> list[Notification]:
            arrived = [receiver.receive(body, headers, datetime.now(UTC))[0] for body, headers in self.deliveries]
            return [notification for notification in arrived if notification.payment_id == payment_id]

        return (await eventually_async(found, within_s=ARRIVAL_S, interval_s=0.05))[0]


@pytest.fixture
async def mailbox(bank: LocalStripe) -> AsyncIterator[Mailbox]:
    box = Mailbox()
    app = web.Application()
    app.router.add_post("/", box.take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    await asyncio.to_thread(bank.webhook, f"http://127.0.0.1:{runner.addresses[0][1]}/", SECRET)
    yield box
    await runner.cleanup()


async def test_a_payment(bank: LocalStripe, mailbox: Mailbox) -> None:
    async with connector(bank.url) as provider:
        call = authorize()
        verdict = await provider.authorize(call)
        event = await mailbox.about(call.payment_id)
    assert event.type == "payment_intent.succeeded"
    assert (event.merchant_id, event.charge_reference) == (call.merchant_id, verdict.reference)
    assert isinstance(event.notice, ChargeNotice)
    said = event.notice.verdict
    assert isinstance(said, Approved)
    assert (said.effect, said.amount, said.currency) == ("captured", call.amount, call.currency)


async def test_a_partial_capture_says_what_was_captured(bank: LocalStripe, mailbox: Mailbox) -> None:
    async with connector(bank.url) as provider:
        call = authorize(capture=False)
        held = await provider.authorize(call)
        await provider.capture(follow_up("capture", held.reference, 600))
        event = await mailbox.about(call.payment_id)
    assert isinstance(event.notice, ChargeNotice)
    assert isinstance(event.notice.verdict, Approved)
    assert (event.notice.verdict.effect, event.notice.verdict.amount) == ("captured", 600)


async def test_a_decline(bank: LocalStripe, mailbox: Mailbox) -> None:
    async with connector(bank.url) as provider:
        call = authorize(DECLINED)
        await provider.authorize(call)
        event = await mailbox.about(call.payment_id)
    assert event.type == "payment_intent.payment_failed"
    assert isinstance(event.notice, ChargeNotice)
    assert isinstance(event.notice.verdict, Declined)
    assert event.notice.verdict.code == "card_declined"


async def test_signed_with_another_secret(bank: LocalStripe, mailbox: Mailbox) -> None:
    async with connector(bank.url) as provider:
        call = authorize()
        await provider.authorize(call)
        await mailbox.about(call.payment_id)
    body, headers = mailbox.deliveries[0]
    with pytest.raises(BadSignature):
        StripeReceiver("main", ["whsec_another"]).receive(body, headers, datetime.now(UTC))
