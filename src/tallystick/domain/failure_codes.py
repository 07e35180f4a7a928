"""Every ``code`` of a payment's or refund's ``failure``, with its meaning. Connectors turn providers' own codes into
these; a test looks for every code that the source gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

#: By what a shop does about it: the customer's means of payment, the payment itself, the provider.
FAILURE_CODES: Final[Mapping[str, str]] = {
    "authentication_failed": "The customer did not confirm the payment, or not in time.",
    "card_declined": "The bank refuses, and says no reason that may be told. Lost and stolen cards are here too.",
    "card_limit_exceeded": "The amount or the number of payments is above what the card may pay.",
    "card_not_supported": "The means of payment is not taken for this kind of payment or currency.",
    "duplicate_transaction": "The bank takes it for a repetition of a payment of a moment ago.",
    "expired_card": "The card has expired.",
    "incorrect_card_details": "Number, expiry, security code, PIN or address is wrong.",
    "insufficient_funds": "The account has too little money.",
    "issuer_unavailable": "The customer's bank could not be asked.",
    "payment_declined": "The customer, or the provider's own check, refused the payment.",
    "unknown_payment_method": "The provider does not know the token, or it cannot be used any more.",
    "amount_out_of_range": "The provider takes no amount as small or as large.",
    "amount_too_large": "The provider takes no amount as large; or more than is left of the hold or the payment.",
    "authorization_expired": "The hold has expired.",
    "cancel_failed": "The provider did not cancel.",
    "capture_failed": "The provider did not capture, or the captured money does not come.",
    "charge_already_canceled": "The charge was canceled before.",
    "charge_already_captured": "The charge was captured before.",
    "charge_already_refunded": "The charge was refunded before, in full.",
    "charge_disputed": "The payment is disputed, and is not refunded beside that.",
    "charge_in_other_state": "The provider's charge is in a state that does not allow it.",
    "charge_not_authorized": "The provider holds no money of the charge.",
    "charge_not_captured": "The charge was never captured, so nothing can be refunded.",
    "card_closed": "The refund came back: the customer's card or account is closed.",
    "refund_canceled": "The refund was canceled at the provider.",
    "refund_declined": "The customer's bank does not take the refund.",
    "refund_failed": "The refund came back, or was not made; the provider says no more.",
    "refund_no_longer_possible": "Less is left of the payment than the refund was for; it was not sent.",
    "declined_by_operator": "An operator found out that nothing happened, and settled it by hand.",
    "not_known_to_provider": "The provider does not know the charge.",
    "provider_balance_insufficient": "The account at the provider has too little money for the refund.",
    "provider_not_executed": "The provider did not execute it, whatever was tried.",
    "provider_unreachable": "Nothing could be sent to the provider.",
    "request_refused": "The provider refused the request for a reason that has no code here.",
    "voided_at_provider": "The authorization was released at the provider before it was known here.",
}
