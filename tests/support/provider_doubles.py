"""The stands of the connectors that there are. A new connector adds one here, and the suites hold it to the rest."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from tallystick.domain.notices import AttemptNotice, ChargeNotice
from tallystick.domain.verdicts import Verdict
from tallystick.providers.adyen.receiver import AdyenReceiver
from tallystick.providers.adyen.reference import Reference, read_reference, write_reference
from tallystick.providers.port import Provider, ProviderCall
from tallystick.providers.simulator import setup as simulator_setup
from tallystick.providers.simulator.receiver import SimulatorReceiver
from tallystick.providers.simulator.setup import SimulatorSettings
from tallystick.providers.stripe.objects import ATTEMPT, PAYMENT
from tallystick.providers.stripe.receiver import StripeReceiver
from tallystick.settings.load import Settings
from tests.support.acquirer import AcquirerProcess, acquirer
from tests.support.adyen import calls as adyen_calls
from tests.support.adyen.fake_adyen import HMAC_KEY, MERCHANT_ACCOUNT, delivery
from tests.support.adyen.process import FakeAdyen, fake_adyen, token
from tests.support.connector_suite import Letters, Money, Signed, Stand
from tests.support.stripe import calls as stripe_calls
from tests.support.stripe.localstripe import DECLINED, GOOD, NEEDS_AUTHENTICATION, LocalStripe, localstripe


@contextmanager
def simulator(books: Path) -> Iterator[Stand]:
    """The test acquirer."""

    @asynccontextmanager
    async def connect(url: str, *, provider_request_timeout_ms: int = 20_000) -> AsyncIterator[Provider]:
        settings = Settings(provider_request_timeout_ms=provider_request_timeout_ms)
        provider = simulator_setup.connect(settings.with_connector(SimulatorSettings, url=url))
        try:
            yield provider
        finally:
            await provider.close()

    def money(process: AcquirerProcess) -> Callable[[str], Money]:
        def of(payment_id: str) -> Money:
            charges = process.charges(payment_id)
            return Money(*(sum(one[name] for one in charges) for name in ("authorized", "captured", "refunded")))

        return of

    with acquirer(books / "acquirer.sqlite") as process:
        yield Stand(
            name="simulator",
            port=process.port,
            connect=connect,
            books=money(process),
            good="sim_ok",
            declines={
                "sim_declined": ("card_declined", False),
                "sim_insufficient_funds": ("insufficient_funds", True),
            },
            action=lambda: "sim_action_required",
            currencies=(("JPY", 9, 9), ("KWD", 12_340, 12_340), ("IDR", 100_000, 100_000)),
            unrepresentable=(150, "IDR"),
        )


@contextmanager
def stripe(_: Path) -> Iterator[Stand]:
    """localstripe. Its only declines are plain ones: ``stripe/test_answers.py`` has the others."""

    def money(bank: LocalStripe) -> Callable[[str], Money]:
        def of(payment_id: str) -> Money:
            held = captured = refunded = 0
            for intent in bank.intents(**{PAYMENT: payment_id}):
                if intent["status"] not in ("succeeded", "requires_capture"):
                    continue
                held += intent["amount"]
                if intent["status"] == "succeeded":
                    refunds = bank.refunds(intent["id"])
                    ours = sum(refund["amount"] for refund in refunds if ATTEMPT in refund["metadata"])
                    refunded += ours
                    captured += intent["amount"] - (sum(refund["amount"] for refund in refunds) - ours)
            return Money(held, captured, refunded)

        return of

    with localstripe() as bank:
        yield Stand(
            name="stripe",
            port=bank.port,
            connect=stripe_calls.connector,
            books=money(bank),
            good=GOOD,
            declines={DECLINED: ("card_declined", False)},
            action=lambda: bank.card(NEEDS_AUTHENTICATION),
            currencies=(("JPY", 900, 900), ("KWD", 12_340, 12_340), ("ISK", 700, 70_000), ("MGA", 100_000, 1_000)),
            unrepresentable=(12_341, "KWD"),
        )


@contextmanager
def adyen(books: Path) -> Iterator[Stand]:
    """The fake Adyen."""

    def money(bank: FakeAdyen) -> Callable[[str], Money]:
        def of(payment_id: str) -> Money:
            held = captured = refunded = 0
            for row in bank.books("payment", "m-1"):
                reference = read_reference(row["reference"])
                if reference is not None and reference.payment_id == payment_id:
                    held += row["amount"] if row["state"] == "Authorised" and not row["voided"] else 0
                    captured, refunded = captured + row["captured"], refunded + row["refunded"]
            return Money(held, captured, refunded)

        return of

    with fake_adyen(books / "adyen.sqlite") as bank:

        async def told(call: ProviderCall) -> Verdict:
            body = await asyncio.to_thread(bank.call, "/_tell", {"times": 1, "codes": []})
            receiver = AdyenReceiver("main", MERCHANT_ACCOUNT, [HMAC_KEY])
            notifications = receiver.receive(body, {}, datetime.now(UTC))
            [about] = [
                one for one in notifications if one.payment_id == call.payment_id and one.type != "AUTHORISATION"
            ]
            assert isinstance(about.notice, AttemptNotice | ChargeNotice)
            if isinstance(about.notice, AttemptNotice):
                assert (about.notice.attempt_id, about.notice.operation) == (call.attempt_id, call.operation)
            return about.notice.verdict

        yield Stand(
            name="adyen",
            port=bank.port,
            connect=adyen_calls.connector,
            books=money(bank),
            good=token(),
            declines={
                token("NOBALANCE"): ("insufficient_funds", True),
                token("CANCELLED"): ("payment_declined", True),
                token("NOSUCHCARD"): ("unknown_payment_method", False),
            },
            action=lambda: token("REDIRECTS"),
            currencies=(("JPY", 9, 9), ("IDR", 100_000, 1_000), ("CLP", 5, 500), ("ISK", 7, 700), ("CVE", 700, 7)),
            unrepresentable=(150, "IDR"),
            told=told,
        )


STANDS = {"simulator": simulator, "stripe": stripe, "adyen": adyen}


def hmac_hex(secret: str, body: bytes, at: datetime) -> tuple[str, str]:
    """The second, and the signature of the body at that second."""
    second = str(int(at.timestamp()))
    return second, hmac.new(secret.encode(), second.encode() + b"." + body, hashlib.sha256).hexdigest()


def _in_a_header(name: str) -> dict[str, Any]:
    """Whatever is signed in a header with a time, as the test acquirer and Stripe do."""

    def sign(event: dict[str, Any], secret: str, at: datetime) -> Signed:
        body = json.dumps(event).encode()
        second, made = hmac_hex(secret, body, at)
        return Signed(body, {name: f"t={second},v1={made}"})

    def garbled(good: Signed) -> list[Signed]:
        value = good.headers[name]
        spoiled = (
            "",
            "v1",
            value[:-1],
            value + "0",
            value.replace("t=", "t=1"),
            value.replace("v1=", "v2="),
            value[2:],
        )
        return [Signed(good.body, {name: one}) for one in (*spoiled, value[:-1] + "é", "\x00" * 40)]

    return {
        "sign": sign,
        "unsigned": lambda event: Signed(json.dumps(event).encode(), {}),
        "garbled": garbled,
        "changed": lambda good: Signed(good.body.replace(b"1000", b"9000"), good.headers),
        "timed": True,
    }


def _simulator_event(number: int) -> dict[str, Any]:
    at = "2026-05-04T03:02:00Z"
    said = {"merchant_id": "m", "payment_id": "pay_1", "charge_id": "ch_1", "reference": "ch_1"}
    money = {"effect": "captured", "amount": 1000, "currency": "EUR", "occurred_at": at}
    return {
        "id": f"evt_{number}",
        "type": "dashboard.captured",
        "created": at,
        "sequence": number,
        "data": said | money,
    }


def _stripe_event(number: int) -> dict[str, Any]:
    intent = {"id": "pi_1", "object": "payment_intent", "status": "succeeded", "currency": "eur", "metadata": {}}
    money = {"amount": 1000, "amount_received": 1000, "created": 1_760_000_000}
    event = {"id": f"evt_{number}", "object": "event", "type": "payment_intent.succeeded", "created": 1_760_000_000}
    return event | {"data": {"object": intent | money}}


def _adyen_event(number: int) -> dict[str, Any]:
    reference = Reference("m-1", "pay_" + "0" * 31 + "1", "att_" + "0" * 31 + "2", "authorize")
    return {
        "amount": {"value": 1000, "currency": "EUR"},
        "eventCode": "AUTHORISATION",
        "eventDate": "2030-01-01T12:00:00+01:00",
        "merchantAccountCode": MERCHANT_ACCOUNT,
        "merchantReference": write_reference(reference),
        "pspReference": f"PSP{number}",
        "success": "true",
    }


def _adyen_item(change: Callable[[dict[str, Any]], None]) -> Callable[[Signed], Signed]:
    def changed(good: Signed) -> Signed:
        body = json.loads(good.body)
        change(body["notificationItems"][0]["NotificationRequestItem"])
        return Signed(json.dumps(body).encode(), {})

    return changed


def _adyen_garbled(good: Signed) -> list[Signed]:
    values: list[Any] = ["", "AAAA", base64.b64encode(bytes(32)).decode(), 7, None, ["x"], {}, "é"]
    return [_adyen_item(partial(_sign_with, value))(good) for value in values]


def _sign_with(value: Any, item: dict[str, Any]) -> None:
    item["additionalData"] = {"hmacSignature": value}


LETTERS = [
    Letters(
        name="simulator",
        receiver=lambda secrets: SimulatorReceiver("main", secrets),
        secrets=("whsec_new", "whsec_old"),
        event=_simulator_event,
        unreadable=[{}, {"id": "evt_1"}, _simulator_event(1) | {"data": None}, _simulator_event(1) | {"id": 7}],
        **_in_a_header("acquirer-signature"),
    ),
    Letters(
        name="stripe",
        receiver=lambda secrets: StripeReceiver("main", secrets),
        secrets=("whsec_new", "whsec_old"),
        event=_stripe_event,
        unreadable=[{}, {"id": "evt_1"}, _stripe_event(1) | {"data": []}, _stripe_event(1) | {"id": 7}],
        **_in_a_header("stripe-signature"),
    ),
    Letters(
        name="adyen",
        receiver=lambda keys: AdyenReceiver("main", MERCHANT_ACCOUNT, keys),
        secrets=(HMAC_KEY, "00FF" * 16),
        event=_adyen_event,
        sign=lambda event, key, _: Signed(delivery([event], key), {}),
        unsigned=lambda event: Signed(
            json.dumps({"notificationItems": [{"NotificationRequestItem": event}]}).encode(), {}
        ),
        garbled=_adyen_garbled,
        changed=_adyen_item(lambda item: item.update(amount={"value": 9000, "currency": "EUR"})),
        unreadable=[
            {},
            _adyen_event(1) | {"merchantAccountCode": "Other"},
            _adyen_event(1) | {"success": "perhaps"},
            _adyen_event(1) | {"amount": {"value": 10.5, "currency": "EUR"}},
        ],
        timed=False,
    ),
]
