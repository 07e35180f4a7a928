"""Whose a provider's object is: what each connector proves from an event's bytes, and what it asks for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from tallystick.domain.marks import ChargeMark, Mark
from tallystick.flows.assembly import open_runtime
from tallystick.flows.runtime import Runtime
from tallystick.flows.webhooks.inbound.envelope import Envelope, envelope_of
from tallystick.kit.ids import new_id
from tallystick.providers.adyen.receiver import AdyenReceiver
from tallystick.providers.adyen.reference import Reference, write_reference
from tallystick.providers.circuit import BoundedProvider, Limits
from tallystick.providers.port import Provider
from tallystick.providers.receiver import Receiver
from tallystick.providers.simulator.receiver import SimulatorReceiver
from tallystick.providers.stripe.receiver import StripeReceiver
from tests.support.adyen.fake_adyen import HMAC_KEY, MERCHANT_ACCOUNT, delivery
from tests.support.database import Database
from tests.support.inbox import WEBHOOK_SETTINGS, accept, drain, states
from tests.support.runtime import BookedProvider
from tests.support.screen import SCREEN
from tests.support.stripe.calls import connector
from tests.support.stripe.events import read
from tests.support.stripe.fake_stripe import FakeStripe, fake_stripe

OURS = {"tallystick_merchant": "m", "tallystick_payment": new_id("pay"), "tallystick_attempt": new_id("att")}
REFERENCE = write_reference(Reference("m", new_id("pay"), new_id("att"), "authorize", True))

STRIPE: Receiver = StripeReceiver("main", ["whsec_tests"])
ADYEN: Receiver = AdyenReceiver("main", MERCHANT_ACCOUNT, [HMAC_KEY])
SIMULATOR: Receiver = SimulatorReceiver("main", ["whsec_tests"])


def stripe_event(name: str, **thing: Any) -> bytes:
    """A recorded event about another thing, under a name of its own."""
    event = read(name) | {"id": new_id("evt")}
    event["data"]["object"] |= thing
    return json.dumps(event).encode()


def read_intent(body: bytes) -> str:
    return str(json.loads(body)["data"]["object"]["id"])


def adyen_item(
    code: str, psp: str, original: str | None = None, reference: str | None = "order 7", currency: str = "EUR"
) -> bytes:
    item: dict[str, Any] = {
        "amount": {"value": 1_000, "currency": currency},
        "eventCode": code,
        "merchantAccountCode": MERCHANT_ACCOUNT,
        "pspReference": psp,
        "success": "true",
    }
    return delivery([item | _given(originalReference=original, merchantReference=reference)])


def simulator_event(kind: str, charge: str, **names: str) -> bytes:
    money = {"amount": 1_000, "currency": "EUR", "occurred_at": "2026-05-04T03:02:00Z"}
    data = money | {"charge_id": charge, "reference": new_id("re"), "effect": "captured"} | names
    event = {"id": new_id("evt"), "type": kind, "created": "2026-05-04T03:02:00Z", "data": data}
    return json.dumps(event).encode()


def _given(**fields: str | None) -> dict[str, str]:
    return {name: value for name, value in fields.items() if value is not None}


@pytest.mark.parametrize(
    ("receiver", "body", "mark"),
    [
        (STRIPE, stripe_event("payment_intent.succeeded", metadata={}), "absent"),
        (STRIPE, stripe_event("payment_intent.succeeded", metadata={"order": "7"}), "absent"),
        (STRIPE, stripe_event("payment_intent.payment_failed", metadata={}), "absent"),
        (STRIPE, stripe_event("payment_intent.succeeded", metadata=None), None),
        (STRIPE, stripe_event("payment_intent.succeeded", metadata=OURS), "ours"),
        (STRIPE, stripe_event("payment_intent.succeeded", metadata={"tallystick_attempt": "?"}), "ours"),
        (STRIPE, stripe_event("refund.created", metadata=OURS), "ours"),
        (STRIPE, stripe_event("refund.created.dashboard"), None),
        (STRIPE, stripe_event("charge.dispute.created"), None),
        (ADYEN, adyen_item("AUTHORISATION", "PSP1"), "absent"),
        (ADYEN, adyen_item("AUTHORISATION", "PSP1", reference=REFERENCE), "ours"),
        (ADYEN, adyen_item("AUTHORISATION", "PSP1", reference=None), None),
        (ADYEN, adyen_item("AUTHORISATION", "PSP2", "PSP1"), None),
        (ADYEN, adyen_item("REFUND", "PSP2", "PSP1"), None),
        (ADYEN, adyen_item("CAPTURE", "PSP2", "PSP1"), None),
        (ADYEN, adyen_item("CHARGEBACK", "PSP2", "PSP1"), None),
        (ADYEN, adyen_item("CHARGEBACK", "PSP2", "PSP1", REFERENCE), "ours"),
        (SIMULATOR, simulator_event("dashboard.captured", "ch_1"), "absent"),
        (SIMULATOR, simulator_event("dashboard.refunded", "ch_1"), "absent"),
        (SIMULATOR, simulator_event("dashboard.captured", "ch_1", merchant_id="m", payment_id="pay_1"), "ours"),
    ],
)
def test_what_an_events_bytes_prove(receiver: Receiver, body: bytes, mark: Mark | None) -> None:
    [found] = receiver.translate(body)
    assert found.notice is not None
    assert found.mark == mark
    assert envelope_of(receiver, found, body, {}, datetime.now(UTC), SCREEN).mark == mark


def test_half_a_name_is_unreadable() -> None:
    [found] = SIMULATOR.translate(simulator_event("dashboard.captured", "ch_1", merchant_id="m"))
    assert (found.type, found.mark) == ("unreadable", None)


def test_a_charge_without_a_payment_intent_is_named_by_itself() -> None:
    """Ours are all made through one."""
    [found] = STRIPE.translate(stripe_event("charge.dispute.created", payment_intent=None, charge="ch_7"))
    assert found.charge_reference == "ch_7"


@pytest.fixture
async def bank() -> AsyncIterator[FakeStripe]:
    async with fake_stripe(deduplicates=False) as fake:
        fake.intents = [_intent("pi_theirs", {}), _intent("pi_ours", OURS), _intent("pi_odd", None)]
        fake.charges = [
            {"id": "ch_bare", "object": "charge", "payment_intent": None, "metadata": {}},
            {"id": "ch_theirs", "object": "charge", "payment_intent": "pi_theirs", "metadata": {}},
            {"id": "ch_ours", "object": "charge", "payment_intent": "pi_ours", "metadata": {}},
        ]
        yield fake


def _intent(name: str, metadata: Mapping[str, str] | None) -> dict[str, Any]:
    return {"id": name, "object": "payment_intent", "created": 1, "currency": "eur", "metadata": metadata}


@pytest.mark.parametrize(
    ("charge", "mark"),
    [
        ("pi_theirs", "absent"),
        ("pi_ours", "ours"),
        ("pi_odd", "unknown"),
        ("pi_of_another_account", "unknown"),
        ("ch_bare", "absent"),
        ("ch_theirs", "absent"),
        ("ch_ours", "ours"),
    ],
)
async def test_stripe_is_asked_for_a_charge(bank: FakeStripe, charge: str, mark: ChargeMark) -> None:
    async with connector(bank.url) as provider:
        assert await provider.charge_mark(charge) == mark
    assert bank.posts == []


@pytest.mark.parametrize(("status", "mark"), [(429, "unanswered"), (500, "unanswered"), (403, "unknown")])
async def test_stripe_does_not_answer(bank: FakeStripe, status: int, mark: ChargeMark) -> None:
    bank.refuses_questions = status
    async with connector(bank.url) as provider:
        assert await provider.charge_mark("pi_theirs") == mark


async def test_stripe_is_not_there() -> None:
    async with fake_stripe(deduplicates=False) as fake:
        url = fake.url
    async with connector(url) as provider:
        assert await provider.charge_mark("pi_theirs") == "unanswered"


async def test_nobody_is_asked_without_a_free_connection() -> None:
    class Slow(BookedProvider):
        def __init__(self) -> None:
            super().__init__()
            self.is_asked, self.answers = asyncio.Event(), asyncio.Event()

        async def charge_mark(self, charge: str) -> ChargeMark:
            self.is_asked.set()
            await self.answers.wait()
            return "absent"

    limits = Limits(
        calls_at_once=1,
        wait_ms=1,
        failure_percent=50,
        calls=10,
        window_ms=10_000,
        open_ms=1_000,
        open_limit_ms=1_000,
        probes=1,
    )
    slow = Slow()
    bounded = BoundedProvider(slow, limits)
    first = asyncio.create_task(bounded.charge_mark("ch_1"))
    await slow.is_asked.wait()
    assert await bounded.charge_mark("ch_2") == "unanswered"
    slow.answers.set()
    assert await first == "absent"


class Named(BookedProvider):
    """A connector that has no question about a charge."""

    def __init__(self, name: str, account: str) -> None:
        super().__init__()
        self.name = name
        self.account = account


@asynccontextmanager
async def worker_of(database: Database, **providers: Provider) -> AsyncIterator[Runtime]:
    async with open_runtime(WEBHOOK_SETTINGS, database.app_url, providers=providers) as runtime:
        yield runtime


async def told(database: Database, runtime: Runtime, receiver: Receiver, *bodies: bytes) -> list[str]:
    """What becomes of each delivery's event, one after another."""
    became = []
    for body in bodies:
        [found] = receiver.translate(body)
        made: Envelope = envelope_of(receiver, found, body, {}, datetime.now(UTC), SCREEN)
        await accept(database, [made])
        await drain(runtime)
        became.append((await states(runtime))[made.provider_event_id])
    return became


async def test_stripes_events_of_other_software(database: Database, bank: FakeStripe) -> None:
    """A dispute and a dashboard's refund of a charge without our mark; the same of one with it are never foreign."""
    account = new_id("req")
    async with connector(bank.url, account=account) as provider, worker_of(database, stripe=provider) as runtime:
        receiver = StripeReceiver(account, ["whsec_tests"])
        theirs = [
            stripe_event("payment_intent.succeeded", metadata={}, id="pi_never_asked_for"),
            stripe_event("charge.dispute.created", payment_intent="pi_theirs"),
            stripe_event("refund.created.dashboard", payment_intent="pi_theirs"),
            stripe_event("charge.dispute.created", payment_intent=None, charge="ch_bare"),
        ]
        assert await told(database, runtime, receiver, *theirs) == ["foreign"] * 4
        second_installation = [
            stripe_event("payment_intent.succeeded", metadata=OURS, id="pi_ours"),
            stripe_event("charge.dispute.created", payment_intent="pi_ours"),
            stripe_event("charge.dispute.created", payment_intent="pi_of_another_account"),
        ]
        assert await told(database, runtime, receiver, *second_installation) == ["dead"] * 3


@pytest.mark.parametrize(
    ("receiver", "body", "mark", "charge"),
    [
        (STRIPE, stripe_event("payment_intent.succeeded", metadata={}, amount="much"), "absent", "pi_1"),
        (STRIPE, stripe_event("payment_intent.succeeded", metadata=OURS, amount="much"), None, None),
        (STRIPE, stripe_event("charge.dispute.created", amount="much"), None, None),
        (ADYEN, adyen_item("AUTHORISATION", "PSP1", currency="XXQ"), "absent", "PSP1"),
        (ADYEN, adyen_item("AUTHORISATION", "PSP1", reference=REFERENCE, currency="XXQ"), None, None),
        (ADYEN, adyen_item("CHARGEBACK", "PSP2", "PSP1", currency="XXQ"), None, None),
        (ADYEN, adyen_item("AUTHORISATION", "PSP:1", currency="XXQ"), None, None),
    ],
)
def test_what_cannot_be_read_may_be_foreign(
    receiver: Receiver, body: bytes, mark: Mark | None, charge: str | None
) -> None:
    [found] = receiver.translate(body)
    assert (found.type, found.mark) == ("unreadable", mark)
    assert found.charge_reference == (read_intent(body) if charge == "pi_1" else charge)


async def test_an_unreadable_event_of_other_software(database: Database) -> None:
    """It is no dead letter, and its charge is foreign."""
    account, charge = new_id("req"), new_id("req")
    receiver = AdyenReceiver(account, MERCHANT_ACCOUNT, [HMAC_KEY])
    async with worker_of(database, adyen=Named("adyen", account)) as runtime:
        assert await told(
            database,
            runtime,
            receiver,
            adyen_item("AUTHORISATION", charge, currency="XXQ"),
            adyen_item("CHARGEBACK", new_id("req"), charge),
            adyen_item("AUTHORISATION", new_id("req"), reference=REFERENCE, currency="XXQ"),
        ) == ["foreign", "foreign", "dead"]


async def test_adyens_events_of_other_software(database: Database) -> None:
    """Adyen has no question: what tells of the payment itself proves whose the payment is, for all that follows."""
    account, charge, unknown = new_id("req"), new_id("req"), new_id("req")
    receiver = AdyenReceiver(account, MERCHANT_ACCOUNT, [HMAC_KEY])
    async with worker_of(database, adyen=Named("adyen", account)) as runtime:
        assert await told(
            database,
            runtime,
            receiver,
            adyen_item("CHARGEBACK", new_id("req"), charge),
            adyen_item("AUTHORISATION", charge),
            adyen_item("CHARGEBACK", new_id("req"), charge),
            adyen_item("REFUND", new_id("req"), charge),
            adyen_item("MONEY_FROM_NOWHERE", new_id("req"), charge),
            adyen_item("REFUND", new_id("req"), unknown),
            adyen_item("AUTHORISATION", unknown, reference=REFERENCE),
        ) == ["dead", "foreign", "foreign", "foreign", "foreign", "dead", "dead"]


async def test_the_simulators_events_of_other_software(database: Database) -> None:
    account, charge = new_id("req"), new_id("req")
    receiver = SimulatorReceiver(account, ["whsec_tests"])
    async with worker_of(database, simulator=Named("simulator", account)) as runtime:
        assert await told(
            database,
            runtime,
            receiver,
            simulator_event("dashboard.captured", charge),
            simulator_event("dashboard.refunded", charge),
            simulator_event("dashboard.captured", charge, merchant_id="gone", payment_id=new_id("pay")),
        ) == ["foreign", "foreign", "dead"]
