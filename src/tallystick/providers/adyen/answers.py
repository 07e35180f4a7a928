"""Adyen's answers as verdicts, and what is kept of them. Pure.

An answer that is not understood is unknown, never a guess. Answers hold card data and personal data, which do not
belong in the history: only the fields that decide are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec
from Adyen.exceptions import AdyenAPIResponseError
from msgspec import Meta, Struct

from tallystick.domain.verdicts import Approved, Declined, KeyInUse, KeyTaken, Pending, RequiresAction, Unknown, Verdict
from tallystick.providers.adyen.codes import (
    ACTIONS,
    DECLINING,
    ERRORS,
    ERRORS_THAT_DECLINE,
    EXPONENTS,
    UNDER_WAY,
    WAITING,
    decline_reason,
)
from tallystick.providers.adyen.reference import read_reference
from tallystick.providers.heard import hearing
from tallystick.providers.port import ProviderCall
from tallystick.providers.shared import (
    CARD_DECLINED,
    REQUEST_REFUSED,
    TURNED_AWAY,
    iso_amount,
    shortened,
    turned_away,
)

#: Fields of an answer that state the outcome, or why there is none.
_KEPT: Final = (
    "pspReference",
    "paymentPspReference",
    "merchantReference",
    "reference",
    "resultCode",
    "refusalReason",
    "refusalReasonCode",
    "status",
    "errorCode",
    "errorType",
    "message",
)

#: Requests that were examined and rejected as a whole.
_INVALID: Final = frozenset({400, 422})

_Named = Annotated[str, Meta(min_length=1, max_length=255)]


class _Amount(Struct, frozen=True):
    """In the provider's own minor unit."""

    value: Annotated[int, Meta(ge=0, lt=2**53)]  # what JSON can say exactly everywhere
    currency: Annotated[str, Meta(pattern=r"^[A-Z]{3}\Z")]


class _Paid(Struct, frozen=True, rename="camel"):
    result_code: str
    psp_reference: _Named | None = None
    merchant_reference: str | None = None
    amount: _Amount | None = None
    refusal_reason: str | None = None
    refusal_reason_code: str | None = None
    action: dict[str, Any] | None = None


class _Modified(Struct, frozen=True, rename="camel"):
    psp_reference: _Named
    status: str
    payment_psp_reference: str | None = None
    reference: str | None = None


def read_paid(call: ProviderCall, reference: str, status: int, body: Any) -> Verdict:
    """The answer to POST /payments. Raises what msgspec raises for one that cannot be read."""
    raw, paid = evidence(status, body), msgspec.convert(body, _Paid)
    if paid.merchant_reference not in (None, reference):
        return _of_another(paid.merchant_reference, raw)
    common: dict[str, Any] = {"reference": paid.psp_reference, "raw": raw}
    code = paid.result_code
    if code == "Authorised" and paid.psp_reference is not None:
        told: dict[str, Any] = {"amount": call.amount, "currency": call.currency}
        if paid.amount is not None:
            told = iso_amount(paid.amount.value, paid.amount.currency, EXPONENTS)._asdict()
        return Approved(effect="captured" if call.capture else "authorized", **told, **common)
    if code in DECLINING or (code == "Error" and paid.refusal_reason_code in ERRORS_THAT_DECLINE):
        ours, retryable = decline_reason(paid.refusal_reason_code, CARD_DECLINED)
        message = shortened(paid.refusal_reason or "The provider declined.")
        return Declined(code=ours, message=message, retryable=retryable, **common)
    if code in WAITING:
        return Pending(**common)
    if code in ACTIONS and paid.action is not None:
        return RequiresAction(next_action=paid.action, **common)
    return Unknown(reason=f"a payment that is {shortened(code)}", **common)


def read_modified(call: ProviderCall, reference: str, status: int, body: Any) -> Verdict:
    """The answer to a capture, cancel or refund. Raises what msgspec raises for one that cannot be read."""
    raw, modified = evidence(status, body), msgspec.convert(body, _Modified)
    if modified.reference not in (None, reference):
        return _of_another(modified.reference, raw)
    if modified.status != "received" or modified.payment_psp_reference not in (None, call.parent_reference):
        return Unknown(reason="an answer about another request", raw=raw)
    return Pending(reference=modified.psp_reference, raw=raw)


def _of_another(said: str | None, raw: dict[str, Any]) -> Verdict:
    """Adyen gives a key's first answer again, whatever the request: where it names another attempt of ours, that one
    used the key."""
    hearing().forget()  # it is another payment's, and would be there when that one is erased
    if read_reference(said) is not None:
        return KeyTaken(reason="its key stands for another attempt", raw=raw)
    return Unknown(reason="an answer about another request", raw=raw)


def read_error(error: AdyenAPIResponseError) -> Verdict:
    """An error answer as a verdict. Without proof that the request was rejected it is unknown, never a decline."""
    status = error.status_code
    said = error.message if isinstance(error.message, Mapping) else {}
    raw = evidence(status, said)
    if status in TURNED_AWAY:
        return turned_away(status, raw)
    code = str(said.get("errorCode", ""))
    # Only Adyen itself writes an error code; something between us and it does not, and proves nothing.
    transient = str(error.headers.get("transient-error", "")).lower() == "true"
    if status in _INVALID and code in UNDER_WAY:
        return KeyInUse(reason="its key is in use", raw=raw)
    if status not in _INVALID or not code or transient:
        return Unknown(reason=f"answered {status}", raw=raw)
    ours, retryable = ERRORS.get(code, REQUEST_REFUSED)
    message = shortened(str(said.get("message") or "The provider refused the request."))
    return Declined(code=ours, message=message, retryable=retryable, raw=raw)


def evidence(status: int, body: Any) -> dict[str, Any]:
    """What is kept of an answer."""
    kept: dict[str, Any] = {"status": status}
    for name in _KEPT if isinstance(body, Mapping) else ():
        value = body.get(name)
        if isinstance(value, str | int):
            kept.setdefault("body", {})[name] = shortened(value) if isinstance(value, str) else value
    if isinstance(body, Mapping) and isinstance(amount := body.get("amount"), Mapping):
        kept.setdefault("body", {})["amount"] = {name: amount.get(name) for name in ("value", "currency")}
    return kept
