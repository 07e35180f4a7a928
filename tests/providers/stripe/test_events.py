"""Events as Stripe documents them, one file each in ``events/``, and what each is to us."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from tallystick.domain.notices import StoredNotice, Unreadable
from tallystick.flows.webhooks.inbound.envelope import envelope_of
from tallystick.providers.receiver import Notification
from tallystick.providers.stripe.receiver import StripeReceiver
from tests.support.screen import SCREEN
from tests.support.stripe.events import EVENTS, read

SECRET = "whsec_tests"
RECEIVER = StripeReceiver("main", [SECRET])
NOW = datetime.now(UTC)

INTENT, REFUND, DISPUTE = "pi_3SGexample00000000000001", "re_3SGexample00000000000001", "du_1SGexample0000000000001"
PAYMENT = "pay_0199a8c1f2d07c3e9b5a4f6e8d7c6b5a"
REFUND_ATTEMPT = "att_0199a8c1f3a07d4f8c6b5a7f9e8d7c6c"


def receive(event: dict[str, Any]) -> Notification:
    """One event, signed and delivered now."""
    body = json.dumps(event).encode()
    signed_at = int(NOW.timestamp())
    signature = hmac.new(SECRET.encode(), b"%d.%s" % (signed_at, body), hashlib.sha256).hexdigest()
    [notification] = RECEIVER.receive(body, {"stripe-signature": f"t={signed_at},v1={signature}"}, NOW)
    return notification


def euros(amount: int) -> dict[str, Any]:
    """An amount in a currency whose units Stripe counts as we do: it says the same amount."""
    return {"amount": amount, "provider_amount": amount, "currency": "EUR"}


def charge(verdict: str, **fields: Any) -> dict[str, Any]:
    return {"notice": "charge", "expired": False, "verdict": {"verdict": verdict, "reference": INTENT} | fields}


def approved(effect: str, amount: int = 1_000) -> dict[str, Any]:
    return charge("approved", **euros(amount), effect=effect)


def refund(verdict: str, attempt_id: str | None = REFUND_ATTEMPT, **fields: Any) -> dict[str, Any]:
    about = {"notice": "attempt", "operation": "refund", "attempt_id": attempt_id, "reference": REFUND}
    return about | {"verdict": {"verdict": verdict, "reference": REFUND} | fields}


def dispute(state: str, funds: str | None = None, *, moved: int = 0, kind: str = "chargeback") -> dict[str, Any]:
    """``moved``: so many of its two movements are in its list."""
    about = {"notice": "dispute", "reference": DISPUTE, **euros(1_000), "reason": "fraudulent"}
    return about | {"state": state, "funds": funds, "movements": MOVEMENTS[:moved], "opens": True, "kind": kind}


MOVEMENTS = (
    {
        "reference": "txn_3SGexample0000000000002",
        "funds": "withdrawn",
        "amount": 1_000,
        "provider_amount": 1_000,
        "before_verdict": True,
    },
    {
        "reference": "txn_3SGexample0000000000003",
        "funds": "returned",
        "amount": 1_000,
        "provider_amount": 1_000,
        "before_verdict": False,
    },
)


CARD_CLOSED = {"code": "card_closed", "message": "The refund failed at the provider."}
CANCELED = {"code": "refund_canceled", "message": "The refund was canceled at the provider."}
FUNDS = {"code": "insufficient_funds", "message": "Your card has insufficient funds.", "retryable": True}
AUTHENTICATION = {
    "code": "authentication_failed",
    "message": "The provided PaymentMethod has failed authentication.",
    "retryable": True,
}
ACTION = {
    "type": "redirect_to_url",
    "redirect_to_url": {
        "return_url": "https://shop.example/back",
        "url": "https://hooks.stripe.com/redirect/authenticate/src_example",
    },
    "client_secret": "pi_3SGexample00000000000001_secret_example",
}

#: file -> the notice in it, without times; None: it says nothing that another event does not say.
NOTICES: dict[str, dict[str, Any] | None] = {
    "payment_intent.created": None,
    "payment_intent.succeeded": approved("captured"),
    "payment_intent.succeeded.partial": approved("captured", 600),
    "payment_intent.amount_capturable_updated": approved("authorized"),
    "payment_intent.payment_failed": charge("declined", **FUNDS),
    "payment_intent.payment_failed.authentication": charge("declined", **AUTHENTICATION),
    "payment_intent.canceled": approved("voided"),
    "payment_intent.canceled.expired": approved("voided") | {"expired": True},
    "payment_intent.processing": charge("pending"),
    "payment_intent.requires_action": charge("requires_action", next_action=ACTION),
    "charge.succeeded": None,
    "charge.refunded": None,
    "refund.created": refund("approved", **euros(400), effect="refunded"),
    "refund.created.pending": refund("pending"),
    "refund.created.dashboard": {"notice": "refund", "reference": REFUND, **euros(400)},
    "refund.created.dashboard_pending": None,
    "refund.created.release": None,
    "refund.created.expired_hold": None,
    "refund.updated.dashboard_failed": refund("reversed", None, **CARD_CLOSED | {"code": "refund_failed"}),
    "refund.failed": refund("reversed", **CARD_CLOSED),
    "charge.refund.updated": refund("reversed", **CANCELED),
    "charge.dispute.created": dispute("opened"),
    "charge.dispute.created.inquiry": dispute("opened", kind="inquiry"),
    "charge.dispute.funds_withdrawn": dispute("opened", "withdrawn", moved=1),
    "charge.dispute.updated": dispute("under_review", moved=1),
    "charge.dispute.funds_reinstated": dispute("won", "returned", moved=2),
    "charge.dispute.closed.won": dispute("won", moved=2),
    "charge.dispute.closed.lost": dispute("lost", moved=1),
    "charge.dispute.closed.inquiry": dispute("won", kind="inquiry"),
    "customer.created": None,
}


def plain(notice: StoredNotice | None) -> Any:
    """A notice as data, without times and what is not said."""
    said = msgspec.to_builtins(notice)

    def pruned(part: Any) -> Any:
        return {name: value for name, value in part.items() if name not in ("occurred_at", "raw")}

    if isinstance(said, dict):
        said = pruned(said)
        if "verdict" in said:
            verdict = pruned(said["verdict"])
            said["verdict"] = {name: value for name, value in verdict.items() if (name, value) != ("retryable", False)}
    return said


def test_every_file_is_here() -> None:
    assert {path.stem for path in EVENTS.glob("*.json")} == set(NOTICES)


@pytest.mark.parametrize("name", NOTICES)
def test_what_an_event_is_to_us(name: str) -> None:
    event = read(name)
    notification = receive(event)
    assert (notification.provider_event_id, notification.type) == (event["id"], event["type"])
    assert notification.occurred_at == datetime.fromtimestamp(event["created"], UTC)
    assert plain(notification.notice) == NOTICES[name]
    thing = event["data"]["object"]
    assert notification.charge_reference == (None if name == "customer.created" else INTENT)
    ours = thing["metadata"] != {}
    assert (notification.merchant_id, notification.payment_id) == (("shop-1", PAYMENT) if ours else (None, None))
    envelope = envelope_of(RECEIVER, notification, b"", {}, NOW, SCREEN)
    assert envelope.payment_id == notification.payment_id


def test_expanded_objects_are_read_by_their_id() -> None:
    event = read("charge.dispute.created")
    event["data"]["object"]["payment_intent"] = {"id": INTENT, "object": "payment_intent"}
    assert receive(event).charge_reference == INTENT


def _disputed(name: str, *moved: tuple[str, int, str]) -> Any:
    """What an event of a dispute with these balance transactions is."""
    event = read(name)
    listed = [{"id": each[0], "amount": each[1], "currency": each[2]} for each in moved]
    event["data"]["object"]["balance_transactions"] = listed
    return receive(event).notice


def test_movements_of_an_account_in_another_currency_are_the_dispute_s_amount() -> None:
    told = _disputed("charge.dispute.closed.won", ("t1", -1_180, "usd"), ("t2", 1_170, "usd"))
    assert [(each.funds, each.amount) for each in told.movements] == [("withdrawn", 1_000), ("returned", 1_000)]
    told = _disputed("charge.dispute.funds_withdrawn", ("t1", -1_180, "eur"))
    assert [(each.funds, each.amount) for each in told.movements] == [("withdrawn", 1_180)]


def test_money_that_moved_without_a_name_is_none_that_did_not_move() -> None:
    assert _disputed("charge.dispute.funds_withdrawn").movements is None
    assert _disputed("charge.dispute.closed.lost").movements == ()


def test_what_was_won_without_money_and_is_taken_then_is_no_part_of_its_course() -> None:
    event = read("charge.dispute.funds_withdrawn")
    event["data"]["object"]["status"] = "won"
    told: Any = receive(event).notice
    assert [each.before_verdict for each in told.movements] == [False]


def test_an_event_that_its_object_has_overtaken_says_nothing() -> None:
    """Some accounts have events rendered when they are sent: a hold that was captured meanwhile is no hold."""
    event = read("payment_intent.amount_capturable_updated")
    event["data"]["object"] |= {"status": "succeeded", "amount_received": 1_000, "amount_capturable": 0}
    assert receive(event).notice is None


@pytest.mark.parametrize(
    "change",
    [
        {"amount": -1},
        {"amount": 10.5},
        {"amount": 2**53},
        {"amount": None},
        {"id": None},
        {"object": "charge"},
        {"currency": 978},
        {"metadata": []},
    ],
)
@pytest.mark.parametrize("name", ["payment_intent.succeeded", "refund.created", "charge.dispute.created"])
def test_an_object_that_is_not_what_its_event_says_is_kept_unread(name: str, change: dict[str, Any]) -> None:
    event = read(name)
    event["data"]["object"] |= change
    if name.startswith("charge.dispute") and "metadata" in change:
        return  # nobody reads a dispute's
    assert receive(event).notice == Unreadable(reason="it cannot be read: ValidationError")


def test_money_that_cannot_be_expressed_is_kept_unread() -> None:
    for name in ("payment_intent.succeeded", "refund.created", "charge.dispute.created"):
        event = read(name)
        event["data"]["object"]["currency"] = "xxx"
        assert isinstance(receive(event).notice, Unreadable), name


def test_the_currency_of_a_balance_transaction_that_is_ignored() -> None:
    event = read("charge.dispute.funds_withdrawn")
    event["data"]["object"]["balance_transactions"] = [
        {"id": "txn_1", "amount": -1_000, "currency": "xxx"},
        {"id": "txn_2", "amount": 0, "currency": "xxx"},
    ]
    told: Any = receive(event).notice
    assert [(each.reference, each.moved_currency) for each in told.movements] == [("txn_1", "XXX")]


def test_a_thin_event_names_nobody() -> None:
    thin = {"id": "evt_1", "object": "v2.core.event", "created": "2026-01-01"}
    thin["type"] = "v1.billing.meter.error_report_triggered"
    notification = receive(thin)
    assert (notification.notice, notification.charge_reference, notification.occurred_at) == (None, None, None)


@pytest.mark.parametrize("event_type", ["v1.payment_intent.succeeded", "refund.created"])
def test_an_event_about_money_without_its_object_is_kept_unread(event_type: str) -> None:
    found = receive({"id": "evt_1", "type": event_type, "created": "2026-01-01"})
    assert isinstance(found.notice, Unreadable)
    assert "subscribe to snapshot events" in found.notice.reason
