"""What is kept of Stripe's answers, and what an error answer means. Pure.

Answers hold a client secret and personal data, which do not belong in the history: only the fields that decide are
kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
import stripe

from tallystick.domain.verdicts import Declined, KeyInUse, KeyTaken, Unknown, Verdict
from tallystick.providers.shared import CARD_DECLINED, REQUEST_REFUSED, TURNED_AWAY, shortened, turned_away
from tallystick.providers.stripe.codes import KEY_IN_USE, KEY_TAKEN, UNEXPECTED_STATES, decline_reason
from tallystick.providers.stripe.objects import PaymentError

#: Fields of an object that state the outcome.
_OBJECT: Final = (
    "id",
    "object",
    "status",
    "amount",
    "amount_capturable",
    "amount_received",
    "balance_transaction",
    "canceled_at",
    "cancellation_reason",
    "capture_method",
    "charge",
    "created",
    "currency",
    "failure_reason",
    "latest_charge",
    "metadata",
    "payment_intent",
    "reason",
)

#: Fields of an error that state the reason.
_ERROR: Final = (
    "type",
    "code",
    "decline_code",
    "network_decline_code",
    "advice_code",
    "param",
    "message",
    "charge",
    "payment_intent",
    "request_log_url",
)


def answer_evidence(response: Any, listed: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What is kept of a successful answer, or of one object out of a list."""
    data = listed if listed is not None else response.data
    kept = _kept(data, _OBJECT)
    if isinstance(error := data.get("last_payment_error"), Mapping):
        kept["last_payment_error"] = _kept(error, _ERROR)
    if response is None:
        return {"object": kept}
    return {"status": response.code, "request_id": response.request_id, "object": kept}


def read_error(error: stripe.StripeError) -> Verdict:
    """An error of the SDK as a verdict. Without proof that the request was rejected it is unknown, never a decline."""
    status, raw = error.http_status, _error_evidence(error)
    if status in TURNED_AWAY or isinstance(error, stripe.RateLimitError):
        return turned_away(status, raw)
    said = _said(error)
    if said is None:
        return Unknown(reason=f"answered {status}", raw=raw)
    if said.code == KEY_IN_USE:
        return KeyInUse(reason="its key is in use", raw=raw)
    if said.type == KEY_TAKEN:
        if status == 400:
            return KeyTaken(reason="its key was used with other parameters", raw=raw)
        return Unknown(reason=f"answered {status}", raw=raw)
    reference = None if said.payment_intent is None else said.payment_intent.id
    if isinstance(error, stripe.CardError):
        code, retryable = decline_reason(said.code, said.decline_code, CARD_DECLINED)
    elif isinstance(error, stripe.InvalidRequestError) and status in (400, 404):
        code, retryable = decline_reason(said.code, said.decline_code, REQUEST_REFUSED)
        if said.code == "payment_intent_unexpected_state" and said.payment_intent is not None:
            code, retryable = UNEXPECTED_STATES.get(said.payment_intent.status, (code, retryable))
    else:
        return Unknown(reason=f"answered {status}", raw=raw)
    message = shortened(said.message or "The provider refused the request.")
    return Declined(code=code, message=message, retryable=retryable, reference=reference, raw=raw)


def _said(error: stripe.StripeError) -> PaymentError | None:
    """The error object, where Stripe (and not something between us and it) wrote the answer."""
    try:
        return msgspec.convert(_error_body(error), PaymentError)
    except msgspec.ValidationError:
        return None


def _error_body(error: stripe.StripeError) -> Any:
    return error.json_body.get("error") if isinstance(error.json_body, Mapping) else None


def _error_evidence(error: stripe.StripeError) -> dict[str, Any]:
    raw: dict[str, Any] = {"status": error.http_status, "request_id": error.request_id}
    if isinstance(body := _error_body(error), Mapping):
        return raw | {"error": _kept(body, _ERROR)}
    return raw | {"body": _proxy_text(error.http_body)}


def _proxy_text(body: str | bytes | None) -> str:
    """The beginning of an answer that Stripe did not write. A truncated one of Stripe's is not kept: it may hold a
    client secret."""
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else body or ""
    return "" if text.lstrip("\ufeff \t\r\n").startswith(("{", "[")) else shortened(text)


def _kept(data: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """The named fields; of an object within, its name."""
    kept: dict[str, Any] = {}
    for name in names:
        value = data.get(name)
        if value is None:
            continue
        if isinstance(value, Mapping) and name != "metadata":
            value = value.get("id")
        kept[name] = shortened(value) if isinstance(value, str) else value
    return kept
