"""Stripe's objects, as far as they are read here, and each as a verdict. Pure.

Answers, look-ups and events carry the same objects, so they are read in one place.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct

from tallystick.domain.marks import Mark
from tallystick.domain.verdicts import Approved, Declined, Pending, RequiresAction, Reversed, Unknown, Verdict
from tallystick.providers.shared import CARD_DECLINED, Told, iso_amount, shortened
from tallystick.providers.stripe.codes import EXPONENTS, REFUND_FAILURES, RELEASE_REASON, decline_reason

#: Names of what we write into the metadata of everything that we make there.
MERCHANT, PAYMENT, ATTEMPT = "tallystick_merchant", "tallystick_payment", "tallystick_attempt"

#: Why a verdict is unknown whose object is in a known state.
INEXPRESSIBLE: Final = "an amount that cannot be expressed here"

#: The last second of the year 9999, which is as far as a date goes.
_LAST_SECOND: Final = 253_402_300_799

Seconds = Annotated[int, Meta(ge=0, le=_LAST_SECOND)]
Amount = Annotated[int, Meta(ge=0, lt=2**53)]  # what JSON can say exactly everywhere
Metadata = dict[str, Any] | None


class PaymentError(Struct, frozen=True):
    """Why the last try at a PaymentIntent failed, or what an error answer says."""

    type: str | None = None
    code: str | None = None
    decline_code: str | None = None
    message: str | None = None
    payment_intent: Intent | None = None


class Refund(Struct, frozen=True):
    """A Refund. ``payment_intent`` may be expanded."""

    id: str
    object: Literal["refund"]
    status: str | None
    amount: Amount
    currency: str
    created: Seconds | None = None
    payment_intent: str | Named | None = None
    balance_transaction: str | Named | None = None
    failure_reason: str | None = None
    reason: str | None = None
    metadata: Metadata = None


class Named(Struct, frozen=True):
    """An object of which only the id is read."""

    id: str


class Refunds(Struct, frozen=True):
    """The list of refunds in an expanded Charge."""

    data: list[Refund] = []


class Charge(Struct, frozen=True):
    """A Charge where it is expanded."""

    id: str
    amount: Amount
    refunds: Refunds | None = None


class Intent(Struct, frozen=True):
    """A PaymentIntent."""

    id: str
    object: Literal["payment_intent"]
    status: str
    amount: Amount
    currency: str
    created: Seconds | None = None
    amount_received: Amount | None = None
    amount_capturable: Amount | None = None
    canceled_at: Seconds | None = None
    cancellation_reason: str | None = None
    client_secret: str | None = None
    last_payment_error: PaymentError | None = None
    latest_charge: str | Charge | None = None
    metadata: Metadata = None
    next_action: dict[str, Any] | None = None


class BalanceTransaction(Struct, frozen=True):
    """Money that moved at Stripe: in the account's own currency, and below zero where it left. ``exchange_rate``: what
    an ``amount`` of the converted currency was multiplied by to give this one."""

    id: str
    amount: int
    currency: str
    exchange_rate: Decimal | None = None


class Dispute(Struct, frozen=True):
    """A Dispute. ``balance_transactions`` are all of its movements up to now, the oldest first."""

    id: str
    object: Literal["dispute"]
    status: str
    amount: Amount
    currency: str
    payment_intent: str | Named | None = None
    reason: str | None = None
    balance_transactions: tuple[BalanceTransaction, ...] | None = None


def moment(seconds: int | None) -> datetime | None:
    """Their timestamps are whole seconds."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def name_of(thing: str | Named | Charge | None) -> str | None:
    """The id, expanded or not."""
    return thing if thing is None or isinstance(thing, str) else thing.id


def ours(metadata: Metadata, name: str) -> str | None:
    """What we wrote into the metadata under this name."""
    found = (metadata or {}).get(name)
    return found if isinstance(found, str) and found else None


def mark_of(metadata: Metadata, *, is_always_marked: bool) -> Mark | None:
    """Whose an object with this metadata is. ``is_always_marked``: it is of a kind that we never make without our mark.
    None where the metadata proves nothing."""
    if any(ours(metadata, name) is not None for name in (MERCHANT, PAYMENT, ATTEMPT)):
        return "ours"
    return "absent" if is_always_marked and metadata is not None else None


def amount_of(amount: int, currency: str) -> Told:
    """In ISO 4217 minor units, with the currency's ISO code. Raises ValueError where it cannot be converted."""
    return iso_amount(amount, currency.upper(), EXPONENTS)


def standing(intent: Intent, *, occurred_at: datetime | None = None, raw: dict[str, Any] | None = None) -> Verdict:
    """Where a PaymentIntent stands, as a verdict on the authorization that made it."""
    common: dict[str, Any] = {"reference": intent.id, "occurred_at": occurred_at, "raw": raw}
    try:
        match intent.status:
            case "succeeded":
                captured = captured_amount(intent)
                if captured is None:
                    return Unknown(reason="it does not say what was captured", **common)
                told = amount_of(captured, intent.currency)._asdict()
                return Approved(**told, effect="captured", **common)
            case "requires_capture":
                held = intent.amount if intent.amount_capturable is None else intent.amount_capturable
                told = amount_of(held, intent.currency)._asdict()
                return Approved(**told, effect="authorized", **common)
            case "canceled":
                told = amount_of(intent.amount, intent.currency)._asdict()
                return Approved(**told, effect="voided", **common)
    except ValueError:
        return Unknown(reason=INEXPRESSIBLE, **common)
    match intent.status:
        case "processing":
            return Pending(**common)
        case "requires_action":
            return RequiresAction(next_action=next_action_of(intent), **common)
        case "requires_payment_method" if intent.last_payment_error is not None:
            # Made and confirmed in one call, it is back here because that confirmation failed, and stays so for us.
            return declined(intent.last_payment_error, **common)
    return Unknown(reason=f"a PaymentIntent that is {shortened(intent.status)}", **common)


def captured_amount(intent: Intent) -> int | None:
    """What was captured, in their unit. Servers of an older API do not say ``amount_received``: they show the charge
    with the hold it had, and the part that a capture released as a refund that nobody made. None where neither is
    there: what was asked for is not always what was captured."""
    if intent.amount_received is not None:
        return intent.amount_received
    if not isinstance(intent.latest_charge, Charge):
        return None
    refunds = intent.latest_charge.refunds or Refunds()
    return intent.latest_charge.amount - sum(refund.amount for refund in refunds.data if is_release(refund))


def is_release(refund: Refund) -> bool:
    """Whether it is no refund but the release of a hold, or of the part of one that was not captured: Stripe writes
    both down as refunds, of a charge, and without a balance transaction, since nothing had been received."""
    if ours(refund.metadata, ATTEMPT) is not None:
        return False
    return refund.payment_intent is None or refund.balance_transaction is None or refund.reason == RELEASE_REASON


def next_action_of(intent: Intent) -> dict[str, Any]:
    """What the customer has to do, with the secret that Stripe's own code in the browser needs for it."""
    action = dict(intent.next_action or {})
    if intent.client_secret is not None:
        action["client_secret"] = intent.client_secret
    return action


def declined(error: PaymentError, **common: Any) -> Declined:
    """A failed payment as a decline, in our code."""
    code, retryable = decline_reason(error.code, error.decline_code, CARD_DECLINED)
    message = shortened(error.message or "The card was declined.")
    return Declined(code=code, message=message, retryable=retryable, **common)


def refund_standing(refund: Refund, raw: dict[str, Any] | None = None) -> Verdict:
    """Where a Refund stands, as a verdict on the attempt that made it. One that came back is *reversed*: the record
    knows whether anything had been booked."""
    common: dict[str, Any] = {"reference": refund.id, "raw": raw}
    match refund.status:
        case "succeeded":
            try:
                told = amount_of(refund.amount, refund.currency)._asdict()
            except ValueError:
                return Unknown(reason=INEXPRESSIBLE, **common)
            return Approved(**told, effect="refunded", occurred_at=moment(refund.created), **common)
        case "pending" | "requires_action":
            return Pending(**common)
        case "failed":
            code = REFUND_FAILURES.get(refund.failure_reason or "unknown", "refund_failed")
            return Reversed(code=code, message="The refund failed at the provider.", **common)
        case "canceled":
            return Reversed(code="refund_canceled", message="The refund was canceled at the provider.", **common)
    return Unknown(reason="a refund in an unknown state", **common)


def read_authorized(data: Mapping[str, Any], raw: dict[str, Any]) -> Verdict:
    intent = msgspec.convert(data, Intent)
    return standing(intent, occurred_at=moment(intent.created), raw=raw)


def read_captured(data: Mapping[str, Any], raw: dict[str, Any]) -> Verdict:
    """The amount that counts is what was captured; what that released is no refund, whatever it is written as."""
    intent = msgspec.convert(data, Intent)
    match intent.status:
        case "succeeded" | "processing":
            return standing(intent, raw=raw)
        case "canceled":
            return _already("charge_already_canceled", intent, raw)
    return Unknown(reason=f"a capture left the PaymentIntent {intent.status}", reference=intent.id, raw=raw)


def read_canceled(data: Mapping[str, Any], raw: dict[str, Any]) -> Verdict:
    intent = msgspec.convert(data, Intent)
    match intent.status:
        case "canceled":
            return standing(intent, occurred_at=moment(intent.canceled_at), raw=raw)
        case "succeeded":
            return _already("charge_already_captured", intent, raw)
    return Unknown(reason=f"a cancel left the PaymentIntent {intent.status}", reference=intent.id, raw=raw)


def _already(code: str, intent: Intent, raw: dict[str, Any]) -> Declined:
    done = "canceled" if code.endswith("canceled") else "captured"
    return Declined(code=code, message=f"The charge was {done} already.", reference=intent.id, raw=raw)


def read_refunded(data: Mapping[str, Any], raw: dict[str, Any]) -> Verdict:
    verdict = refund_standing(msgspec.convert(data, Refund), raw)
    if isinstance(verdict, Reversed):  # nobody reported it done, so it is a decline
        return Declined(code=verdict.code, message=verdict.message, reference=verdict.reference, raw=raw)
    return verdict
