"""A provider that writes card numbers wherever it may write something: over its API, in the dialect of each connector,
and in its webhooks."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs

from aiohttp import web

from tallystick.kit.clock import utc_now
from tallystick.kit.ids import new_id
from tallystick.providers.adyen.reference import read_reference
from tallystick.providers.adyen.setup import AdyenSettings
from tallystick.providers.simulator.setup import SimulatorSettings
from tallystick.providers.stripe.objects import ATTEMPT, MERCHANT, PAYMENT
from tallystick.providers.stripe.setup import StripeSettings
from tallystick.settings.load import Settings
from tests.support.adyen.fake_adyen import API_KEY, HMAC_KEY, MERCHANT_ACCOUNT, delivery
from tests.support.card_numbers import WRITTEN
from tests.support.letters import new_letters
from tests.support.provider_doubles import hmac_hex
from tests.support.stripe.events import EVENTS

#: Answers to a payment of 1,000 + so many minor units.
PLANS: Final = 9

AT: Final = "2026-05-04T03:02:00Z"

Say = Callable[[str], str]
Answer = tuple[int, dict[str, Any] | str]


class Talk:
    """Adds a number to each text, in the next of all ways to write it."""

    def __init__(self, number: str, first: int = 0) -> None:
        self._ways = itertools.islice(itertools.cycle(WRITTEN.values()), first, None)
        self._number = number
        self.said = 0

    def __call__(self, text: str) -> str:
        self.said += 1
        return f"{text} {next(self._ways)(self._number)}"

    def all_over(self, value: Any, keep: frozenset[str]) -> Any:
        """JSON with a number in every text but those under the names to keep, and beside them."""
        if isinstance(value, dict):
            planted = {name: held if name in keep else self.all_over(held, keep) for name, held in value.items()}
            return planted | {"note": self("note"), self("key"): [{"deep": self("deep")}]}
        if isinstance(value, list):
            return [self.all_over(held, keep) for held in value]
        return self(value) if isinstance(value, str) else value


class Ours(NamedTuple):
    """A payment of ours, as the provider knows it."""

    merchant_id: str
    payment_id: str
    attempt_id: str
    charge: str
    reference: str = ""  # of Adyen's: what we called it


class Event(NamedTuple):
    """A signed delivery."""

    path: str
    body: bytes
    headers: Mapping[str, str]


class Dialect(NamedTuple):
    """How one provider speaks. ``create`` answers a payment by its plan; ``events`` are about a payment."""

    name: str
    method: str
    settings: Callable[[Settings, str], Settings]
    create: Callable[[Ours, int, Talk], Answer]
    parse: Callable[[web.Request, bytes], tuple[Ours, int] | None]
    events: Callable[[Ours, Talk], Iterator[Event]]


class Bank(NamedTuple):
    """The running provider."""

    url: str
    known: dict[str, tuple[Ours, int]]  # attempt -> what it was asked for


@asynccontextmanager
async def bank_of(dialect: Dialect, talk: Talk) -> AsyncIterator[Bank]:
    """Serve its API. A look-up gets the answer that its attempt got, in other words."""
    known: dict[str, tuple[Ours, int]] = {}

    async def answer(request: web.Request) -> web.Response:
        asked = dialect.parse(request, await request.read())
        if asked is not None:
            known[asked[0].attempt_id] = asked
        else:  # a look-up
            asked = next((each for each in known.values() if each[0].attempt_id in request.path), None)
        if asked is None:
            return web.json_response(talk.all_over({"object": "list", "data": [], "has_more": False}, _FIXED))
        status, said = dialect.create(*asked, talk)
        if isinstance(said, str):
            return web.Response(status=status, text=said)
        return web.Response(status=status, body=json.dumps(said).encode(), content_type="application/json")

    async with serving(answer) as url:
        yield Bank(url, known)


@asynccontextmanager
async def serving(answer: Callable[[web.Request], Awaitable[web.Response]]) -> AsyncIterator[str]:
    """A server of HTTP on loopback; its URL."""
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


#: What is no free text: a plan could not be carried out with another.
_FIXED: Final = frozenset(
    {"id", "object", "type", "status", "currency", "payment_intent", "attempt_id", "operation", "reference", "effect",
     "occurred_at", "merchant_id", "payment_id", "charge_id", "resultCode", "pspReference", "merchantReference",
     "amount", "paymentPspReference", "created", MERCHANT, PAYMENT, ATTEMPT}
)  # fmt: skip


# --- the test acquirer


def _simulator_settings(settings: Settings, url: str) -> Settings:
    return settings.with_connector(SimulatorSettings, url=url)


def _simulator_parse(request: web.Request, body: bytes) -> tuple[Ours, int] | None:
    if request.method != "POST":
        return None
    said = json.loads(body)
    charge = f"ch_{said['attempt_id'][4:]}"
    return Ours(said["merchant_id"], said["payment_id"], said["attempt_id"], charge), said["amount"] - 1000


def _simulator_answer(ours: Ours, plan: int, talk: Talk) -> Answer:
    about = {"attempt_id": ours.attempt_id, "operation": "authorize", "amount": 1000 + plan, "currency": "EUR"}
    about |= {"reference": ours.charge, "occurred_at": AT}
    answers: list[tuple[int, dict[str, Any] | str]] = [
        (402, {"status": "declined", "decline_code": "odd_code", "decline_message": "No."}),
        (200, {"status": "approved", "effect": "captured"}),
        (200, {"status": "pending"}),
        (200, {"status": "requires_action", "next_action": {"type": "redirect", "url": "https://bank.example"}}),
        (500, talk("it broke")),
        (200, {"status": talk("strange")}),
        (401, talk("who are you")),
        (404, {"error": "not here"}),
        (200, {"status": "approved", "effect": "captured", "attempt_id": talk(new_id("att"))}),
    ]
    status, said = answers[plan]
    return status, said if isinstance(said, str) else talk.all_over(about | said, _FIXED)


def _simulator_events(ours: Ours, talk: Talk) -> Iterator[Event]:
    names = {"merchant_id": ours.merchant_id, "payment_id": ours.payment_id, "charge_id": ours.charge}
    money = {"amount": 400, "currency": "EUR", "occurred_at": AT, "decline_code": "odd", "decline_message": "No."}
    about = names | money | {"attempt_id": ours.attempt_id, "reference": ours.charge, "effect": None}
    dispute = {"status": "opened", "reason": "fraud", "funds": "withdrawn"}
    told: list[tuple[str, dict[str, Any]]] = [
        ("charge.declined", {"operation": "authorize", "status": "declined"}),
        (
            "charge.action_required",
            {"operation": "authorize", "status": "requires_action", "next_action": {"url": "x"}},
        ),
        ("refund.failed", {"operation": "refund", "status": "failed", "attempt_id": new_id("att")}),
        ("dashboard.refunded", {"reference": new_id("re")}),
        ("dispute.opened", {"reference": new_id("dp"), "movement": new_id("mv")} | dispute),
        (talk("odd.event"), {}),
        ("charge.captured", {"attempt_id": None}),
    ]
    for kind, more in told:
        data = talk.all_over(about | more, _FIXED | {"funds"})
        body = json.dumps({"id": new_id("evt"), "type": kind, "created": AT, "data": data, "note": talk("x")}).encode()
        yield Event("/v1/webhooks/simulator/main", body, signed(body, SimulatorSettings().signing_secret, "acquirer"))


# --- Stripe

STRIPE_SECRET: Final = "whsec_cards"


def _stripe_settings(settings: Settings, url: str) -> Settings:
    return settings.with_connector(StripeSettings, api_url=url, api_key="sk_test_x", webhook_secrets=STRIPE_SECRET)


def _stripe_parse(request: web.Request, body: bytes) -> tuple[Ours, int] | None:
    if request.method != "POST":
        return None
    said = {name: values[0] for name, values in parse_qs(body.decode()).items()}
    merchant_id, payment_id, attempt_id = (said[f"metadata[{name}]"] for name in (MERCHANT, PAYMENT, ATTEMPT))
    return Ours(merchant_id, payment_id, attempt_id, f"pi_{attempt_id[4:]}"), int(said["amount"]) - 1000


def _stripe_answer(ours: Ours, plan: int, talk: Talk) -> Answer:
    metadata = {MERCHANT: ours.merchant_id, PAYMENT: ours.payment_id, ATTEMPT: ours.attempt_id}
    about = {"id": ours.charge, "object": "payment_intent", "amount": 1000 + plan, "currency": "eur"}
    about |= {"created": 1_760_000_000, "metadata": metadata, "capture_method": "automatic", "latest_charge": "ch_1"}
    error = {"message": "No.", "decline_code": "odd", "code": "card_declined", "param": "x", "charge": "ch_1"}
    answers: list[tuple[int, dict[str, Any] | str]] = [
        (402, {"error": error | {"type": "card_error"}}),
        (200, about | {"status": "succeeded", "amount_received": 1000 + plan}),
        (200, about | {"status": "processing"}),
        (200, about | {"status": "requires_action", "next_action": {"type": "redirect_to_url", "url": "https://x"}}),
        (500, talk("<html>it broke")),
        (200, about | {"status": talk("strange")}),
        (429, {"error": error | {"type": "invalid_request_error"}}),
        (400, {"error": error | {"type": "invalid_request_error"}}),
        (200, about | {"status": "requires_payment_method", "last_payment_error": error}),
    ]
    status, said = answers[plan]
    return status, said if isinstance(said, str) else talk.all_over(said, _FIXED)


def _stripe_events(ours: Ours, talk: Talk) -> Iterator[Event]:
    metadata = {MERCHANT: ours.merchant_id, PAYMENT: ours.payment_id}
    for file in sorted(EVENTS.glob("*.json")):
        event = json.loads(file.read_text())
        thing = event["data"]["object"]
        thing = talk.all_over(thing, _FIXED) | {"metadata": talk.all_over(metadata, _FIXED)}
        if "payment_intent" in thing:
            thing["payment_intent"] = ours.charge
        yield stripe_event(event["type"], thing)
    yield stripe_event(talk("odd.event"), talk.all_over({"object": "odd"}, _FIXED))
    yield stripe_event("refund.created", {"id": talk("re"), "object": "refund", "amount": talk("ten")})


def stripe_event(kind: str, thing: dict[str, Any], event_id: str | None = None) -> Event:
    """A signed event of Stripe's about a thing."""
    event = {"id": event_id or new_id("evt"), "object": "event", "type": kind, "created": 1_760_000_000}
    body = json.dumps(event | {"data": {"object": thing}}).encode()
    return Event("/v1/webhooks/stripe/main", body, signed(body, STRIPE_SECRET, "stripe"))


# --- Adyen


def _adyen_settings(settings: Settings, url: str) -> Settings:
    return settings.with_connector(
        AdyenSettings,
        api_url=f"{url}/v72",
        api_key=API_KEY,
        merchant_account=MERCHANT_ACCOUNT,
        hmac_keys=HMAC_KEY,
    )


def _adyen_parse(request: web.Request, body: bytes) -> tuple[Ours, int] | None:
    said = json.loads(body)
    reference = read_reference(said["reference"])
    assert reference is not None
    psp = reference.attempt_id[-16:].upper().replace("0", "Z")
    names = (reference.merchant_id, reference.payment_id, reference.attempt_id, psp, said["reference"])
    return Ours(*names), said["amount"]["value"] - 1000


def _adyen_answer(ours: Ours, plan: int, talk: Talk) -> Answer:
    about = {"pspReference": ours.charge, "merchantReference": ours.reference, "donationToken": "x"}
    refused = {"refusalReason": "No.", "refusalReasonCode": "odd"}
    error = {"errorCode": "odd", "message": "No.", "errorType": "validation", "pspReference": ours.charge}
    answers: list[tuple[int, dict[str, Any] | str]] = [
        (200, about | refused | {"resultCode": "Refused"}),
        (200, about | {"resultCode": "Authorised"}),
        (200, about | {"resultCode": "Pending"}),
        (200, about | {"resultCode": "RedirectShopper", "action": {"type": "redirect", "url": "https://x"}}),
        (500, talk("<html>it broke")),
        (200, about | {"resultCode": talk("Strange")}),
        (401, error),
        (422, error),
        (200, about | {"resultCode": "Authorised", "merchantReference": talk("another")}),
    ]
    status, said = answers[plan]
    return status, said if isinstance(said, str) else talk.all_over(said, _FIXED)


#: Of each kind of reader one, and what nobody reads.
_ADYEN_CODES: Final[Sequence[tuple[str, bool]]] = (
    ("AUTHORISATION", False),
    ("CAPTURE", False),
    ("CAPTURE_FAILED", True),
    ("CANCELLATION", False),
    ("REFUND", False),
    ("REFUND", True),
    ("REFUND_FAILED", True),
    ("VOID_PENDING_REFUND", True),
    ("CANCEL_OR_REFUND", True),
    ("CHARGEBACK", True),
    ("SECOND_CHARGEBACK", True),
    ("REPORT_AVAILABLE", True),
)


def _adyen_events(ours: Ours, talk: Talk) -> Iterator[Event]:
    about = {
        "amount": {"value": 400, "currency": "EUR"},
        "eventDate": "2026-05-04T03:02:00+00:00",
        "merchantAccountCode": MERCHANT_ACCOUNT,
        "merchantReference": ours.reference,
        "originalReference": ours.charge,
        "reason": "No.",
        "additionalData": {"x": "y"},
    }
    fixed = _FIXED | {"eventDate", "merchantAccountCode", "originalReference"}
    odd: list[tuple[str, bool, dict[str, Any]]] = [
        (talk("ODD"), True, {}),
        ("REFUND", True, {"merchantReference": talk("theirs")}),
    ]
    odd += [("CAPTURE", True, {"amount": {"value": 1, "currency": talk("EUR")}})]
    for code, success, more in [*((code, success, {}) for code, success in _ADYEN_CODES), *odd]:
        item = talk.all_over(about, fixed) | more
        item |= {"eventCode": code, "success": str(success).lower(), "pspReference": new_letters(16).upper()}
        yield Event("/v1/webhooks/adyen/main", delivery([item]), {})


def signed(body: bytes, secret: str, whose: str) -> dict[str, str]:
    """The header of a signature that is made now."""
    second, made = hmac_hex(secret, body, utc_now())
    return {f"{whose}-signature": f"t={second},v1={made}"}


DIALECTS: Final = {
    each.name: each
    for each in (
        Dialect("simulator", "sim_ok", _simulator_settings, _simulator_answer, _simulator_parse, _simulator_events),
        Dialect("stripe", "pm_card_visa", _stripe_settings, _stripe_answer, _stripe_parse, _stripe_events),
        Dialect("adyen", "shopper.8416038790273850", _adyen_settings, _adyen_answer, _adyen_parse, _adyen_events),
    )
}
