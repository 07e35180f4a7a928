"""Stripe's codes and ours, as data: decline reasons, states of disputes, and the units of currencies.

Sources: Stripe's pages on decline codes, error codes, the Dispute and Refund objects, and supported currencies.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tallystick.domain.subjects import DisputeState
from tallystick.providers.shared import (
    AUTHENTICATION_FAILED,
    CARD_DECLINED,
    CARD_LIMIT_EXCEEDED,
    CARD_NOT_SUPPORTED,
    EXPIRED_CARD,
    INCORRECT_CARD_DETAILS,
    INSUFFICIENT_FUNDS,
    ISSUER_UNAVAILABLE,
    DeclineReason,
)

#: Where Stripe's minor units differ from ISO 4217. Krónur and Ugandan shillings lost their decimals after Stripe had
#: fixed its own; the ariary has five iraimbilanja by ISO and none there.
EXPONENTS: Final[Mapping[str, int]] = {"ISK": 2, "UGX": 2, "MGA": 0}

#: Three-decimal currencies are written in thousandths there, and the last digit must be 0.
ROUND_TO: Final[Mapping[str, int]] = {"BHD": 10, "JOD": 10, "KWD": 10, "OMR": 10, "TND": 10}

#: Decline code -> our decline reason. Lost, stolen and suspected cards are plain declines, as Stripe asks: their
#: holder must not learn of it.
DECLINES: Final[Mapping[str, DeclineReason]] = {
    "approve_with_id": ISSUER_UNAVAILABLE,
    "authentication_not_handled": AUTHENTICATION_FAILED,
    "authentication_required": AUTHENTICATION_FAILED,
    "call_issuer": CARD_DECLINED,
    "card_not_supported": CARD_NOT_SUPPORTED,
    "card_velocity_exceeded": CARD_LIMIT_EXCEEDED,
    "currency_not_supported": CARD_NOT_SUPPORTED,
    "do_not_honor": CARD_DECLINED,
    "do_not_try_again": CARD_DECLINED,
    "duplicate_transaction": DeclineReason("duplicate_transaction", False),
    "expired_card": EXPIRED_CARD,
    "fraudulent": CARD_DECLINED,
    "generic_decline": CARD_DECLINED,
    "highest_risk_level": CARD_DECLINED,
    "incorrect_address": INCORRECT_CARD_DETAILS,
    "incorrect_cvc": INCORRECT_CARD_DETAILS,
    "incorrect_number": INCORRECT_CARD_DETAILS,
    "incorrect_pin": INCORRECT_CARD_DETAILS,
    "incorrect_zip": INCORRECT_CARD_DETAILS,
    "insufficient_funds": INSUFFICIENT_FUNDS,
    "invalid_account": CARD_DECLINED,
    "invalid_amount": CARD_LIMIT_EXCEEDED,
    "invalid_cvc": INCORRECT_CARD_DETAILS,
    "invalid_expiry_month": INCORRECT_CARD_DETAILS,
    "invalid_expiry_year": INCORRECT_CARD_DETAILS,
    "invalid_number": INCORRECT_CARD_DETAILS,
    "invalid_pin": INCORRECT_CARD_DETAILS,
    "issuer_not_available": ISSUER_UNAVAILABLE,
    "lost_card": CARD_DECLINED,
    "merchant_blacklist": CARD_DECLINED,
    "mobile_device_authentication_required": AUTHENTICATION_FAILED,
    "new_account_information_available": CARD_DECLINED,
    "no_action_taken": CARD_DECLINED,
    "not_permitted": CARD_DECLINED,
    "offline_pin_required": AUTHENTICATION_FAILED,
    "online_or_offline_pin_required": AUTHENTICATION_FAILED,
    "pickup_card": CARD_DECLINED,
    "pin_try_exceeded": CARD_DECLINED,
    "previously_declined_do_not_honor": CARD_DECLINED,
    "processing_error": ISSUER_UNAVAILABLE,
    "reenter_transaction": ISSUER_UNAVAILABLE,
    "restricted_card": CARD_DECLINED,
    "revocation_of_all_authorizations": CARD_DECLINED,
    "revocation_of_authorization": CARD_DECLINED,
    "security_violation": CARD_DECLINED,
    "service_not_allowed": CARD_NOT_SUPPORTED,
    "stolen_card": CARD_DECLINED,
    "stop_payment_order": CARD_DECLINED,
    "testmode_decline": CARD_DECLINED,
    "transaction_not_allowed": CARD_NOT_SUPPORTED,
    "try_again_later": ISSUER_UNAVAILABLE,
    "withdrawal_count_limit_exceeded": CARD_LIMIT_EXCEEDED,
}

#: Error code -> our decline reason, for errors without a decline code.
ERRORS: Final[Mapping[str, DeclineReason]] = {
    "amount_too_large": DeclineReason("amount_out_of_range", False),
    "amount_too_small": DeclineReason("amount_out_of_range", False),
    "authentication_required": AUTHENTICATION_FAILED,
    "balance_insufficient": DeclineReason("provider_balance_insufficient", True),
    "capture_charge_authorization_expired": DeclineReason("authorization_expired", False),
    "card_declined": CARD_DECLINED,
    "charge_already_captured": DeclineReason("charge_already_captured", False),
    "charge_already_refunded": DeclineReason("charge_already_refunded", False),
    "charge_disputed": DeclineReason("charge_disputed", False),
    "charge_expired_for_capture": DeclineReason("authorization_expired", False),
    "expired_card": EXPIRED_CARD,
    "incorrect_address": INCORRECT_CARD_DETAILS,
    "incorrect_cvc": INCORRECT_CARD_DETAILS,
    "incorrect_number": INCORRECT_CARD_DETAILS,
    "incorrect_zip": INCORRECT_CARD_DETAILS,
    "insufficient_funds": INSUFFICIENT_FUNDS,
    "invalid_card_type": CARD_NOT_SUPPORTED,
    "invalid_cvc": INCORRECT_CARD_DETAILS,
    "invalid_expiry_month": INCORRECT_CARD_DETAILS,
    "invalid_expiry_year": INCORRECT_CARD_DETAILS,
    "invalid_number": INCORRECT_CARD_DETAILS,
    "payment_intent_authentication_failure": AUTHENTICATION_FAILED,
    "payment_intent_payment_attempt_expired": DeclineReason("authentication_failed", True),
    "payment_intent_payment_attempt_failed": DeclineReason("payment_declined", False),
    "payment_intent_unexpected_state": DeclineReason("charge_in_other_state", False),
    "payment_method_customer_decline": DeclineReason("payment_declined", True),
    "payment_method_currency_mismatch": CARD_NOT_SUPPORTED,
    "payment_method_provider_decline": DeclineReason("payment_declined", False),
    "payment_method_provider_timeout": ISSUER_UNAVAILABLE,
    "payment_method_unactivated": DeclineReason("unknown_payment_method", False),
    "payment_method_unexpected_state": DeclineReason("unknown_payment_method", False),
    "processing_error": ISSUER_UNAVAILABLE,
    "refund_disputed_payment": DeclineReason("charge_disputed", False),
    "resource_missing": DeclineReason("not_known_to_provider", False),
}

#: Error code of a key whose request is still under way: it rejects nothing, and the outcome comes to that request.
KEY_IN_USE: Final = "idempotency_key_in_use"

#: Type of the error for a key that was used with other parameters.
KEY_TAKEN: Final = "idempotency_error"

#: A follow-up met a PaymentIntent in this state -> what that means to the one who asked.
UNEXPECTED_STATES: Final[Mapping[str, DeclineReason]] = {
    "succeeded": DeclineReason("charge_already_captured", False),
    "canceled": DeclineReason("charge_already_canceled", False),
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

#: Dispute statuses of an inquiry: no money has moved, and a refund may still avoid the chargeback.
INQUIRIES: Final = frozenset({"warning_needs_response", "warning_under_review", "warning_closed"})

#: Dispute status -> ours. An inquiry (``warning_…``) is a dispute before any money moved; closed, it was won. A
#: prevented one was settled before it began.
DISPUTES: Final[Mapping[str, DisputeState]] = {
    "warning_needs_response": "opened",
    "warning_under_review": "under_review",
    "warning_closed": "won",
    "needs_response": "opened",
    "under_review": "under_review",
    "prevented": "won",
    "won": "won",
    "lost": "lost",
}


def decline_reason(code: str | None, decline_code: str | None, otherwise: DeclineReason) -> DeclineReason:
    """Our reason for an error: by its decline code, else by its code; ``otherwise`` where both are unknown."""
    if decline_code is not None and decline_code in DECLINES:
        return DECLINES[decline_code]
    if code is not None and code in ERRORS:
        return ERRORS[code]
    return otherwise
