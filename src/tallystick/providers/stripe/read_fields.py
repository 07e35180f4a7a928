"""The fields of Stripe's objects that are read here, and the values of them that are known. Data alone.

Stripe writes every field of an object, null where it says nothing. A field that decides in an event is one whose
absence would let a default move money.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any, Final

from tallystick.providers.contract_drift import AMOUNT, Drift, ReadField, ReadObject, is_one_of, text_in
from tallystick.providers.stripe.codes import (
    DECLINES,
    DISPUTES,
    ERRORS,
    EXPIRY_REASONS,
    KEY_IN_USE,
    KEY_TAKEN,
    REFUND_FAILURES,
    RELEASE_REASON,
)
from tallystick.providers.stripe.event_codes import EVENT_CODES, MOVES_MONEY

#: The states of a PaymentIntent.
INTENT_STATES: Final = frozenset(
    {
        "requires_payment_method",
        "requires_confirmation",
        "requires_action",
        "processing",
        "requires_capture",
        "succeeded",
        "canceled",
    }
)

_CANCELLATION_REASONS: Final = EXPIRY_REASONS | {
    "abandoned",
    "duplicate",
    "failed_invoice",
    "fraudulent",
    "requested_by_customer",
    "void_invoice",
}

_REFUND_STATES: Final = frozenset({"pending", "requires_action", "succeeded", "failed", "canceled"})

_REFUND_REASONS: Final = frozenset({"duplicate", "fraudulent", "requested_by_customer", RELEASE_REASON})

_ERROR_TYPES: Final = frozenset({"api_error", "card_error", "invalid_request_error", KEY_TAKEN})

_ERROR_CODES: Final = frozenset({*ERRORS, *DECLINES, KEY_IN_USE})


def _is_snapshot(event: Mapping[str, Any]) -> bool:
    return not str(event.get("type", "")).startswith(("v1.", "v2."))


def _is_paid_out(refund: Mapping[str, Any]) -> bool:
    """Whether only its reason can make it the release of a hold."""
    return refund.get("payment_intent") is not None and refund.get("balance_transaction") is not None


def _was_declined(intent: Mapping[str, Any]) -> bool:
    """Whether its last error has the word of the card's bank."""
    error = intent.get("last_payment_error")
    return isinstance(error, Mapping) and _has_bank_word(error)


def _has_bank_word(error: Mapping[str, Any]) -> bool:
    return error.get("code") == "card_declined" or "decline_code" in error


_canceled = is_one_of("status", {"canceled"})
_succeeded = is_one_of("status", {"succeeded"})
_waits_for_payer = is_one_of("status", {"requires_action"})


def _object_about_money(name: str, states: Container[str], *others: ReadField) -> ReadObject:
    """What it is, where it stands and its amount decide. ``name``: the value of ``object``."""
    return ReadObject(
        name,
        ReadField("id", decides=True),
        ReadField("object", known={name}, decides=True),
        ReadField("status", known=states, decides=True),
        *AMOUNT,
        *others,
    )


EVENT: Final = ReadObject(
    "event",
    ReadField("id"),
    ReadField("type", known=EVENT_CODES, decides=True),
    ReadField("created", (int,), when=_is_snapshot),
    ReadField("api_version", optional=True, when=_is_snapshot),
    ReadField("data", (dict,), when=_is_snapshot),
    ReadField("data.object", (dict,), when=_is_snapshot),
)

INTENT: Final = _object_about_money(
    "payment_intent",
    INTENT_STATES,
    ReadField("created", (int,)),
    ReadField("amount_received", (int,), when=_succeeded),
    ReadField("amount_capturable", (int,), when=is_one_of("status", {"requires_capture"})),
    ReadField("canceled_at", (int,), when=_canceled),
    ReadField("cancellation_reason", known=_CANCELLATION_REASONS, optional=True, when=_canceled),
    ReadField("client_secret", when=_waits_for_payer),
    ReadField("next_action", (dict,), when=_waits_for_payer),
    ReadField("last_payment_error", (dict,), optional=True),
    ReadField("last_payment_error.code", known=_ERROR_CODES),
    ReadField("last_payment_error.decline_code", known=DECLINES, when=_was_declined),
    ReadField("last_payment_error.message"),
    ReadField("latest_charge", (str, dict), optional=True),
    ReadField("metadata", (dict,)),
)

REFUND: Final = _object_about_money(
    "refund",
    _REFUND_STATES,
    ReadField("created", (int,)),
    ReadField("payment_intent", (str, dict), optional=True, decides=True),  # null: the release of a hold
    ReadField("balance_transaction", (str, dict), optional=True, decides=True),  # null: likewise
    ReadField("reason", known=_REFUND_REASONS, optional=True, when=_is_paid_out, decides=True),
    ReadField("failure_reason", known=REFUND_FAILURES, when=is_one_of("status", {"failed"})),
    ReadField("metadata", (dict,), decides=True),  # without our names it is a refund of the dashboard
)

DISPUTE: Final = _object_about_money(
    "dispute",
    DISPUTES,
    ReadField("payment_intent", (str, dict), optional=True),
    ReadField("reason"),
    ReadField("balance_transactions", (list,), decides=True),  # without it nothing would have moved
    ReadField("balance_transactions[].id", decides=True),
    ReadField("balance_transactions[].amount", (int,), decides=True),
    ReadField("balance_transactions[].currency", decides=True),
)

ERROR: Final = ReadObject(
    "error",
    ReadField("type", known=_ERROR_TYPES),
    ReadField("code", known=_ERROR_CODES, when=lambda error: "code" in error or error.get("type") == "card_error"),
    ReadField("decline_code", known=DECLINES, when=_has_bank_word),
    ReadField("message"),
)

#: The value of ``object`` -> its fields. Of another object only names are read.
OBJECTS: Final[Mapping[str, ReadObject]] = {each.name: each for each in (INTENT, REFUND, DISPUTE)}


def event_drift(said: object) -> tuple[Drift, ...]:
    """Of an event and its object. The last but one part of an event's type is the name of its object."""
    found, event_type = EVENT.drift_in(said), text_in(said, "type")
    data = said.get("data") if isinstance(said, Mapping) else None
    thing = data.get("object") if isinstance(data, Mapping) else None
    if event_type is None or event_type not in MOVES_MONEY or thing is None:
        return found
    return found + OBJECTS[event_type.split(".")[-2]].drift_in(thing)


def error_drift(body: object) -> tuple[Drift, ...]:
    """Of the body of an error answer; of one that Stripe did not write nothing."""
    error = body.get("error") if isinstance(body, Mapping) else None
    return ERROR.drift_in(error) if isinstance(error, Mapping) else ()
