"""Stripe's words in ours, as data: reasons of refusals, states of disputes, and the units of currencies.

Sources: Stripe's pages on decline codes, error codes, the Dispute and Refund objects, and supported currencies.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple


class Refusal(NamedTuple):
    """``retryable``: whether the same customer may succeed with a new instruction, without another card."""

    code: str
    retryable: bool


#: Where Stripe's minor units differ from ISO 4217. Krónur and Ugandan shillings lost their decimals after Stripe had
#: fixed its own; the ariary has five iraimbilanja by ISO and none there.
EXPONENTS: Final[Mapping[str, int]] = {"ISK": 2, "UGX": 2, "MGA": 0}

#: Three-decimal currencies are written in thousandths there, and the last digit must be 0.
ROUND_TO: Final[Mapping[str, int]] = {"BHD": 10, "JOD": 10, "KWD": 10, "OMR": 10, "TND": 10}

DECLINED: Final = Refusal("card_declined", False)

#: What a refused request is called where its own code says nothing that we know.
REFUSED: Final = Refusal("request_refused", False)

_AUTHENTICATION: Final = Refusal("authentication_failed", True)
_DETAILS: Final = Refusal("incorrect_card_details", False)
_EXPIRED: Final = Refusal("expired_card", False)
_LATER: Final = Refusal("issuer_unavailable", True)
_LIMIT: Final = Refusal("card_limit_exceeded", True)
_NOT_SUPPORTED: Final = Refusal("card_not_supported", False)

#: Decline code -> our refusal. Lost, stolen and suspected cards are plain declines, as Stripe asks: their holder is
#: not to be told.
DECLINES: Final[Mapping[str, Refusal]] = {
    "approve_with_id": _LATER,
    "authentication_not_handled": _AUTHENTICATION,
    "authentication_required": _AUTHENTICATION,
    "call_issuer": DECLINED,
    "card_not_supported": _NOT_SUPPORTED,
    "card_velocity_exceeded": _LIMIT,
    "currency_not_supported": _NOT_SUPPORTED,
    "do_not_honor": DECLINED,
    "do_not_try_again": DECLINED,
    "duplicate_transaction": Refusal("duplicate_transaction", False),
    "expired_card": _EXPIRED,
    "fraudulent": DECLINED,
    "generic_decline": DECLINED,
    "highest_risk_level": DECLINED,
    "incorrect_address": _DETAILS,
    "incorrect_cvc": _DETAILS,
    "incorrect_number": _DETAILS,
    "incorrect_pin": _DETAILS,
    "incorrect_zip": _DETAILS,
    "insufficient_funds": Refusal("insufficient_funds", True),
    "invalid_account": DECLINED,
    "invalid_amount": _LIMIT,
    "invalid_cvc": _DETAILS,
    "invalid_expiry_month": _DETAILS,
    "invalid_expiry_year": _DETAILS,
    "invalid_number": _DETAILS,
    "invalid_pin": _DETAILS,
    "issuer_not_available": _LATER,
    "lost_card": DECLINED,
    "merchant_blacklist": DECLINED,
    "mobile_device_authentication_required": _AUTHENTICATION,
    "new_account_information_available": DECLINED,
    "no_action_taken": DECLINED,
    "not_permitted": DECLINED,
    "offline_pin_required": _AUTHENTICATION,
    "online_or_offline_pin_required": _AUTHENTICATION,
    "pickup_card": DECLINED,
    "pin_try_exceeded": DECLINED,
    "previously_declined_do_not_honor": DECLINED,
    "processing_error": _LATER,
    "reenter_transaction": _LATER,
    "restricted_card": DECLINED,
    "revocation_of_all_authorizations": DECLINED,
    "revocation_of_authorization": DECLINED,
    "security_violation": DECLINED,
    "service_not_allowed": _NOT_SUPPORTED,
    "stolen_card": DECLINED,
    "stop_payment_order": DECLINED,
    "testmode_decline": DECLINED,
    "transaction_not_allowed": _NOT_SUPPORTED,
    "try_again_later": _LATER,
    "withdrawal_count_limit_exceeded": _LIMIT,
}

#: Error code -> our refusal, for errors that carry no decline code.
ERRORS: Final[Mapping[str, Refusal]] = {
    "amount_too_large": Refusal("amount_out_of_range", False),
    "amount_too_small": Refusal("amount_out_of_range", False),
    "authentication_required": _AUTHENTICATION,
    "balance_insufficient": Refusal("provider_balance_insufficient", True),
    "capture_charge_authorization_expired": Refusal("authorization_expired", False),
    "card_declined": DECLINED,
    "charge_already_captured": Refusal("charge_already_captured", False),
    "charge_already_refunded": Refusal("charge_already_refunded", False),
    "charge_disputed": Refusal("charge_disputed", False),
    "charge_expired_for_capture": Refusal("authorization_expired", False),
    "expired_card": _EXPIRED,
    "incorrect_address": _DETAILS,
    "incorrect_cvc": _DETAILS,
    "incorrect_number": _DETAILS,
    "incorrect_zip": _DETAILS,
    "insufficient_funds": Refusal("insufficient_funds", True),
    "invalid_card_type": _NOT_SUPPORTED,
    "invalid_cvc": _DETAILS,
    "invalid_expiry_month": _DETAILS,
    "invalid_expiry_year": _DETAILS,
    "invalid_number": _DETAILS,
    "payment_intent_authentication_failure": _AUTHENTICATION,
    "payment_intent_payment_attempt_expired": Refusal("authentication_failed", True),
    "payment_intent_payment_attempt_failed": Refusal("payment_declined", False),
    "payment_intent_unexpected_state": Refusal("charge_in_other_state", False),
    "payment_method_customer_decline": Refusal("payment_declined", True),
    "payment_method_currency_mismatch": _NOT_SUPPORTED,
    "payment_method_provider_decline": Refusal("payment_declined", False),
    "payment_method_provider_timeout": _LATER,
    "payment_method_unactivated": Refusal("unknown_payment_method", False),
    "payment_method_unexpected_state": Refusal("unknown_payment_method", False),
    "processing_error": _LATER,
    "refund_disputed_payment": Refusal("charge_disputed", False),
    "resource_missing": Refusal("not_known_to_provider", False),
}

#: A follow-up met a PaymentIntent in this state -> what that means to the one who asked.
UNEXPECTED_STATES: Final[Mapping[str, Refusal]] = {
    "succeeded": Refusal("charge_already_captured", False),
    "canceled": Refusal("charge_already_canceled", False),
}

#: Why a refund that was under way came back -> our code.
REFUND_FAILURES: Final[Mapping[str, str]] = {
    "charge_for_pending_refund_disputed": "charge_disputed",
    "declined": "refund_declined",
    "expired_or_canceled_card": "card_closed",
    "insufficient_funds": "provider_balance_insufficient",
    "lost_or_stolen_card": "card_closed",
    "merchant_request": "refund_canceled",
    "unknown": "refund_failed",
}

#: A hold that ran out, whoever let it: Stripe's own reasons for canceling, as against a person's.
EXPIRY_REASONS: Final = frozenset({"automatic", "expired"})

#: Reason that Stripe itself gives to the release of a hold, which it writes down as a refund. No money came back.
RELEASE_REASON: Final = "expired_uncaptured_charge"

#: Dispute status -> ours. An inquiry (``warning_…``) is a dispute before any money moved; closed, it was won. A
#: prevented one was settled before it began.
DISPUTES: Final[Mapping[str, str]] = {
    "warning_needs_response": "opened",
    "warning_under_review": "under_review",
    "warning_closed": "won",
    "needs_response": "opened",
    "under_review": "under_review",
    "prevented": "won",
    "won": "won",
    "lost": "lost",
}


def refusal_of(code: str | None, decline_code: str | None, otherwise: Refusal) -> Refusal:
    """Our word for an error: its decline code says most, its code less, and what is new to us is ``otherwise``."""
    if decline_code is not None and decline_code in DECLINES:
        return DECLINES[decline_code]
    if code is not None and code in ERRORS:
        return ERRORS[code]
    return otherwise
