"""Adyen's words in ours, as data: reasons of refusals, answers to bad requests, and the units of currencies.

Sources: Adyen's pages on refusal reasons, API error codes, currency codes and API idempotency.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple


class Refusal(NamedTuple):
    """``retryable``: whether the same customer may succeed with a new instruction, without another card."""

    code: str
    retryable: bool


#: Where Adyen's minor units differ from ISO 4217.
EXPONENTS: Final[Mapping[str, int]] = {"CLP": 2, "CVE": 0, "IDR": 0, "ISK": 2}

DECLINED: Final = Refusal("card_declined", False)

#: What a refused request is called where its own code says nothing that we know.
REFUSED: Final = Refusal("request_refused", False)

_AUTHENTICATION: Final = Refusal("authentication_failed", True)
_CANCELED: Final = Refusal("payment_declined", True)
_DETAILS: Final = Refusal("incorrect_card_details", False)
_EXPIRED: Final = Refusal("expired_card", False)
_FUNDS: Final = Refusal("insufficient_funds", True)
_LATER: Final = Refusal("issuer_unavailable", True)
_LIMIT: Final = Refusal("card_limit_exceeded", True)
_NOT_SUPPORTED: Final = Refusal("card_not_supported", False)

#: refusalReasonCode -> our refusal. Blocked and suspected cards are plain declines, as Adyen asks: their holder is not
#: to be told.
REFUSALS: Final[Mapping[str, Refusal]] = {
    "2": DECLINED,  # Refused
    "3": DECLINED,  # Referral
    "4": _LATER,  # Acquirer Error
    "5": DECLINED,  # Blocked Card
    "6": _EXPIRED,
    "7": _LIMIT,  # Invalid Amount
    "8": _DETAILS,  # Invalid Card Number
    "9": _LATER,  # Issuer Unavailable
    "10": _NOT_SUPPORTED,
    "11": _AUTHENTICATION,  # 3D Not Authenticated
    "12": _FUNDS,  # Not enough balance
    "14": DECLINED,  # Acquirer Fraud
    "15": _CANCELED,
    "16": _CANCELED,  # Shopper Cancelled
    "17": _DETAILS,  # Invalid Pin
    "18": DECLINED,  # Pin tries exceeded
    "19": _DETAILS,  # Pin validation not possible
    "20": DECLINED,  # FRAUD
    "21": Refusal("request_refused", False),  # Not Submitted
    "22": DECLINED,  # FRAUD-CANCELLED
    "23": _NOT_SUPPORTED,  # Transaction Not Permitted
    "24": _DETAILS,  # CVC Declined
    "25": _NOT_SUPPORTED,  # Restricted Card
    "26": DECLINED,  # Revocation Of Auth
    "27": DECLINED,  # Declined Non Generic
    "28": _LIMIT,  # Withdrawal amount exceeded
    "29": _LIMIT,  # Withdrawal count exceeded
    "31": DECLINED,  # Issuer Suspected Fraud
    "32": _DETAILS,  # AVS Declined
    "33": _NOT_SUPPORTED,  # Card requires online pin
    "34": _NOT_SUPPORTED,  # No checking account available on Card
    "35": _NOT_SUPPORTED,  # No savings account available on Card
    "36": _NOT_SUPPORTED,  # Mobile pin required
    "37": _CANCELED,  # Contactless fallback
    "38": _AUTHENTICATION,  # Authentication required
    "39": _AUTHENTICATION,  # RReq not received from DS
    "40": _LATER,  # Current AID is in Penalty Box
    "41": _AUTHENTICATION,  # CVM Required Restart Payment
    "42": _AUTHENTICATION,  # 3DS Authentication Error
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

#: errorCode of an answer that refuses the request -> our refusal.
ERRORS: Final[Mapping[str, Refusal]] = {
    "101": _DETAILS,  # Invalid card number
    "103": _DETAILS,  # CVC is not the right length
    "129": _DETAILS,  # Expiry Date Invalid
    "137": Refusal("amount_out_of_range", False),  # Invalid amount specified
    "138": _NOT_SUPPORTED,  # Unsupported currency specified
    "142": _DETAILS,
    "167": Refusal("not_known_to_provider", False),  # Original pspReference required for this operation
    "800": Refusal("unknown_payment_method", False),  # Contract not found
    "803": Refusal("unknown_payment_method", False),  # PaymentDetail not found
    "830": Refusal("unknown_payment_method", False),  # No payment details for this shopper
}

#: errorCodes that tell of the first request with the same idempotency key, still under way: they refuse nothing.
UNDER_WAY: Final = frozenset({"704"})

#: A modification that failed -> our code where the notification's own reason says nothing that we know.
FAILURES: Final[Mapping[str, Refusal]] = {
    "authorize": DECLINED,
    "capture": Refusal("capture_failed", False),
    "cancel": Refusal("cancel_failed", False),
    "refund": Refusal("refund_failed", True),
}

#: resultCodes of a customer who must act first, and of an outcome that comes by notification.
ACTIONS: Final = frozenset({"RedirectShopper", "ChallengeShopper", "IdentifyShopper", "PresentToShopper"})
WAITING: Final = frozenset({"Pending", "Received"})
REFUSING: Final = frozenset({"Refused", "Cancelled"})

#: A resultCode ``Error`` with one of these reasons is documented to have moved nothing: Adyen itself did not submit
#: it. Of every other error nobody says what the acquirer did.
ERRORS_THAT_REFUSE: Final = frozenset({"7", "8", "10", "21"})


def refusal_of(code: str | None, otherwise: Refusal) -> Refusal:
    """Our word for a refusalReasonCode; what is new to us is ``otherwise``."""
    return REFUSALS.get(code or "", otherwise)


def refusal_from_text(reason: str | None, otherwise: Refusal) -> Refusal:
    """Our word for a notification's ``reason``, which may have the acquirer's own code before it: ``05 : Refused``."""
    said = (reason or "").rpartition(":")[2].strip().lower()
    return refusal_of(REASONS.get(said), otherwise)
