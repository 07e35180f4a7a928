"""Adyen's codes and ours, as data: decline reasons, errors of bad requests, and the units of currencies.

Sources: Adyen's pages on refusal reasons, API error codes, currency codes and API idempotency.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tallystick.domain.subjects import Operation
from tallystick.providers.shared import (
    AUTHENTICATION_FAILED,
    CARD_DECLINED,
    CARD_LIMIT_EXCEEDED,
    CARD_NOT_SUPPORTED,
    EXPIRED_CARD,
    INCORRECT_CARD_DETAILS,
    INSUFFICIENT_FUNDS,
    ISSUER_UNAVAILABLE,
    REQUEST_REFUSED,
    DeclineReason,
)

#: Where Adyen's minor units differ from ISO 4217.
EXPONENTS: Final[Mapping[str, int]] = {"CLP": 2, "CVE": 0, "IDR": 0, "ISK": 2}

_CANCELED: Final = DeclineReason("payment_declined", True)

#: refusalReasonCode -> our decline reason. Blocked and suspected cards are plain declines, as Adyen asks: their
#: holder must not learn of it.
DECLINES: Final[Mapping[str, DeclineReason]] = {
    "2": CARD_DECLINED,  # Refused
    "3": CARD_DECLINED,  # Referral
    "4": ISSUER_UNAVAILABLE,  # Acquirer Error
    "5": CARD_DECLINED,  # Blocked Card
    "6": EXPIRED_CARD,
    "7": CARD_LIMIT_EXCEEDED,  # Invalid Amount
    "8": INCORRECT_CARD_DETAILS,  # Invalid Card Number
    "9": ISSUER_UNAVAILABLE,  # Issuer Unavailable
    "10": CARD_NOT_SUPPORTED,
    "11": AUTHENTICATION_FAILED,  # 3D Not Authenticated
    "12": INSUFFICIENT_FUNDS,  # Not enough balance
    "14": CARD_DECLINED,  # Acquirer Fraud
    "15": _CANCELED,
    "16": _CANCELED,  # Shopper Cancelled
    "17": INCORRECT_CARD_DETAILS,  # Invalid Pin
    "18": CARD_DECLINED,  # Pin tries exceeded
    "19": INCORRECT_CARD_DETAILS,  # Pin validation not possible
    "20": CARD_DECLINED,  # FRAUD
    "21": REQUEST_REFUSED,  # Not Submitted
    "22": CARD_DECLINED,  # FRAUD-CANCELLED
    "23": CARD_NOT_SUPPORTED,  # Transaction Not Permitted
    "24": INCORRECT_CARD_DETAILS,  # CVC Declined
    "25": CARD_NOT_SUPPORTED,  # Restricted Card
    "26": CARD_DECLINED,  # Revocation Of Auth
    "27": CARD_DECLINED,  # Declined Non Generic
    "28": CARD_LIMIT_EXCEEDED,  # Withdrawal amount exceeded
    "29": CARD_LIMIT_EXCEEDED,  # Withdrawal count exceeded
    "31": CARD_DECLINED,  # Issuer Suspected Fraud
    "32": INCORRECT_CARD_DETAILS,  # AVS Declined
    "33": CARD_NOT_SUPPORTED,  # Card requires online pin
    "34": CARD_NOT_SUPPORTED,  # No checking account available on Card
    "35": CARD_NOT_SUPPORTED,  # No savings account available on Card
    "36": CARD_NOT_SUPPORTED,  # Mobile pin required
    "37": _CANCELED,  # Contactless fallback
    "38": AUTHENTICATION_FAILED,  # Authentication required
    "39": AUTHENTICATION_FAILED,  # RReq not received from DS
    "40": ISSUER_UNAVAILABLE,  # Current AID is in Penalty Box
    "41": AUTHENTICATION_FAILED,  # CVM Required Restart Payment
    "42": AUTHENTICATION_FAILED,  # 3DS Authentication Error
    "46": _CANCELED,  # Transaction blocked by Adyen to prevent excessive retry fees
}

#: What a notification's ``reason`` says, in small letters -> the refusalReasonCode of an answer.
REASONS: Final[Mapping[str, str]] = {
    "refused": "2",
    "referral": "3",
    "acquirer error": "4",
    "blocked card": "5",
    "expired card": "6",
    "invalid amount": "7",
    "invalid card number": "8",
    "issuer unavailable": "9",
    "not supported": "10",
    "3d not authenticated": "11",
    "not enough balance": "12",
    "acquirer fraud": "14",
    "cancelled": "15",
    "shopper cancelled": "16",
    "invalid pin": "17",
    "pin tries exceeded": "18",
    "pin validation not possible": "19",
    "fraud": "20",
    "not submitted": "21",
    "fraud-cancelled": "22",
    "transaction not permitted": "23",
    "cvc declined": "24",
    "restricted card": "25",
    "revocation of auth": "26",
    "declined non generic": "27",
    "withdrawal amount exceeded": "28",
    "withdrawal count exceeded": "29",
    "issuer suspected fraud": "31",
    "avs declined": "32",
    "authentication required": "38",
}

#: errorCode of an answer that rejects the request -> our decline reason.
ERRORS: Final[Mapping[str, DeclineReason]] = {
    "101": INCORRECT_CARD_DETAILS,  # Invalid card number
    "103": INCORRECT_CARD_DETAILS,  # CVC is not the right length
    "129": INCORRECT_CARD_DETAILS,  # Expiry Date Invalid
    "137": DeclineReason("amount_out_of_range", False),  # Invalid amount specified
    "138": CARD_NOT_SUPPORTED,  # Unsupported currency specified
    "142": INCORRECT_CARD_DETAILS,
    "167": DeclineReason("not_known_to_provider", False),  # Original pspReference required for this operation
    "800": DeclineReason("unknown_payment_method", False),  # Contract not found
    "803": DeclineReason("unknown_payment_method", False),  # PaymentDetail not found
    "830": DeclineReason("unknown_payment_method", False),  # No payment details for this shopper
}

#: errorCodes of a request whose idempotency key belongs to a request that is still under way: they reject nothing.
UNDER_WAY: Final = frozenset({"704"})

#: A modification that failed -> our decline reason where the notification's own is unknown.
FAILURES: Final[Mapping[Operation, DeclineReason]] = {
    "authorize": CARD_DECLINED,
    "capture": DeclineReason("capture_failed", False),
    "cancel": DeclineReason("cancel_failed", False),
    "refund": DeclineReason("refund_failed", True),
}

#: resultCodes of a customer who must act first, and of an outcome that comes by notification.
ACTIONS: Final = frozenset({"RedirectShopper", "ChallengeShopper", "IdentifyShopper", "PresentToShopper"})
WAITING: Final = frozenset({"Pending", "Received"})
DECLINING: Final = frozenset({"Refused", "Cancelled"})

#: A resultCode ``Error`` with one of these reasons is documented to have moved nothing: Adyen itself did not submit
#: it. Of every other error nobody says what the acquirer did.
ERRORS_THAT_DECLINE: Final = frozenset({"7", "8", "10", "21"})


def decline_reason(code: str | None, otherwise: DeclineReason) -> DeclineReason:
    """Our reason for a refusalReasonCode; ``otherwise`` for an unknown one."""
    return DECLINES.get(code or "", otherwise)


def decline_reason_from_text(reason: str | None, otherwise: DeclineReason) -> DeclineReason:
    """Our reason for a notification's ``reason``, before which the acquirer's own code may stand: ``05 : Refused``."""
    return decline_reason(REASONS.get(reason_word(reason or "")), otherwise)


def reason_word(reason: str) -> str:
    """A notification's ``reason`` as ``REASONS`` has it."""
    return reason.rpartition(":")[2].strip().lower()
