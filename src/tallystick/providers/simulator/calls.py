"""The connector to the test acquirer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any, Final, get_args
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Struct

from tallystick.domain.payment_tokens import PaymentTokens
from tallystick.domain.subjects import Operation
from tallystick.domain.traits import Traits
from tallystick.domain.verdicts import (
    Approved,
    Declined,
    Effect,
    KeyTaken,
    NotFound,
    NotSent,
    Pending,
    RequiresAction,
    Reversed,
    Unknown,
    Verdict,
)
from tallystick.providers.contract_drift import version_of
from tallystick.providers.heard import hearing
from tallystick.providers.http import NothingSent, ProviderHttp, ProviderResponse, SentUnanswered
from tallystick.providers.http_provider import HttpProvider
from tallystick.providers.json_bytes import ILL_FORMED, said_in
from tallystick.providers.port import ProviderCall, ProviderEffect
from tallystick.providers.shared import TURNED_AWAY, DeclineReason, shortened, turned_away, unanswered
from tallystick.providers.simulator.codes import DECLINES
from tallystick.providers.simulator.methods import METHODS
from tallystick.providers.simulator.read_fields import OPERATION

#: Where the acquirer's minor units differ from ISO 4217, as those of real providers do here and there.
EXPONENTS: Final[Mapping[str, int]] = {"IDR": 0, "CVE": 0}

#: Says the version of the acquirer's API in each answer.
VERSION_HEADER: Final = "Acquirer-Version"

#: Longest raw answer kept as evidence, in characters: the acquirer's answers are under 1,000.
RAW_LIMIT: Final = 4_096


class OperationBody(Struct, frozen=True):
    """An operation, as answers and events show it."""

    attempt_id: str
    operation: str
    status: str
    amount: int
    currency: str
    reference: str | None = None
    effect: Effect | None = None
    decline_code: str | None = None
    decline_message: str | None = None
    next_action: dict[str, Any] | None = None
    occurred_at: datetime | None = None


_DECODER: Final = msgspec.json.Decoder(OperationBody)


class ErrorBody(Struct, frozen=True):
    """What an error answer of the acquirer's says."""

    error: str


_ERROR_DECODER: Final = msgspec.json.Decoder(ErrorBody)


class OperationPage(Struct, frozen=True):
    """A page of the acquirer's list of operations."""

    data: list[ProviderEffect]
    next_cursor: str | None


_OPERATIONS: Final = msgspec.json.Decoder(OperationPage)

#: Operations on one page of the list.
PAGE_OPERATIONS: Final = 500

_FOUND: Final = msgspec.json.Decoder(dict[str, Any])

#: Reason of an answer that names another attempt than was asked about.
ANOTHER_ATTEMPT: Final = "an answer for another attempt"

#: The acquirer's own word for the absence of an operation.
NO_SUCH_OPERATION: Final = "no_such_operation"

#: Its word for a key that was used with another payload.
KEY_REUSED: Final = "idempotency_key_reused"


class SimulatorProvider(HttpProvider):
    """The test acquirer over HTTP. ``deduplicates=False`` for one that was started with ``--forgetful``;
    ``return_url`` is where a customer comes back to from its page."""

    name = "simulator"
    provider_exponents = EXPONENTS
    tokens = (PaymentTokens(types=("script",), pattern="|".join(sorted(METHODS)), partial_capture=True),)

    def __init__(
        self, http: ProviderHttp, traits: Traits, account: str = "main", *, return_url: str | None = None
    ) -> None:
        super().__init__(http, traits, account)
        self._fixed = {} if return_url is None else {"return_url": return_url}

    async def authorize(self, call: ProviderCall) -> Verdict:
        """POST /sim/charges."""
        body = self._fixed | {
            "payment_id": call.payment_id,
            "attempt_id": call.attempt_id,
            "merchant_id": call.merchant_id,
            "amount": call.amount,
            "currency": call.currency,
            "payment_method": call.payment_method,
            "capture": call.capture,
        }
        return await self._post("/sim/charges", call, body)

    async def capture(self, call: ProviderCall) -> Verdict:
        """POST /sim/charges/{id}/capture."""
        return await self._act("capture", call)

    async def cancel(self, call: ProviderCall) -> Verdict:
        """POST /sim/charges/{id}/cancel."""
        return await self._act("cancel", call)

    async def refund(self, call: ProviderCall) -> Verdict:
        """POST /sim/charges/{id}/refunds."""
        return await self._act("refunds", call)

    async def fetch(self, call: ProviderCall) -> Verdict:
        """GET /sim/operations/{attempt_id}: what the acquirer's books hold of one attempt."""
        try:
            answer = await self._http.get(f"/sim/operations/{call.attempt_id}")
        except (NothingSent, SentUnanswered) as error:
            return Unknown(reason=f"lookup: {error}")
        if answer.status == 404:
            # Only the acquirer itself says that it has no such operation; something between us and it proves nothing.
            if _error(answer) == NO_SUCH_OPERATION:
                return NotFound(raw=_raw(answer))
            return Unknown(reason="lookup: answered 404", raw=_raw(answer))
        verdict = self._read(call, answer)
        if isinstance(verdict, NotSent):  # the look-up was not sent, which proves nothing of the attempt
            return Unknown(reason=f"lookup: {verdict.reason}", raw=verdict.raw)
        return verdict

    async def effects_since(self, since: datetime) -> AsyncIterator[ProviderEffect]:
        """GET /sim/operations, all pages."""
        cursor: str | None = "0"
        while cursor is not None:
            query = urlencode({"since": since.timestamp(), "cursor": cursor, "limit": PAGE_OPERATIONS})
            answer = await self._http.get(f"/sim/operations?{query}")
            page = _OPERATIONS.decode(answer.body)
            for effect in page.data:
                yield effect
            cursor = page.next_cursor

    async def _act(self, action: str, call: ProviderCall) -> Verdict:
        if call.parent_reference is None:
            return NotSent(reason=f"there is no charge to {call.operation}")
        body: dict[str, Any] = {"attempt_id": call.attempt_id}
        if action != "cancel":
            body["amount"] = call.amount
        return await self._post(f"/sim/charges/{call.parent_reference}/{action}", call, body)

    async def _post(self, path: str, call: ProviderCall, body: dict[str, Any]) -> Verdict:
        try:
            answer = await self._http.post(path, body, key=call.key, send_by_ms=call.send_by_ms)
        except (NothingSent, SentUnanswered) as error:
            return unanswered(error)
        if answer.status == 409 and _error(answer) == KEY_REUSED:
            return KeyTaken(reason="its key was used with another payload", raw=_raw(answer))
        verdict = self._read(call, answer)
        if isinstance(verdict, Unknown) and verdict.reason == ANOTHER_ATTEMPT:
            return KeyTaken(reason="its key stands for another attempt", raw=verdict.raw)
        return verdict

    async def held_by_key(self, key: str) -> dict[str, Any] | None:
        """GET /sim/keys/{key}."""
        answer = await self._http.get(f"/sim/keys/{quote(key, safe='')}")
        return _FOUND.decode(answer.body) if answer.status == 200 else None

    def _read(self, call: ProviderCall, answer: ProviderResponse) -> Verdict:
        """An answer as a verdict; where it differs from what is read is counted."""
        if answer.status in _ABOUT_AN_OPERATION:
            self._drift.note(OPERATION.drift_in(said_in(answer.body)))
        return _read(call, answer)


_OPERATIONS_BY_NAME: Final = frozenset(get_args(Operation))

#: The statuses of answers that show an operation.
_ABOUT_AN_OPERATION: Final = frozenset({200, 402})


def _read(call: ProviderCall, answer: ProviderResponse) -> Verdict:
    """An answer as a verdict. One that is not understood is unknown, never a guess."""
    raw = _raw(answer)
    if answer.status in TURNED_AWAY:
        return turned_away(answer.status, raw)
    if answer.status not in _ABOUT_AN_OPERATION:
        return Unknown(reason=f"answered {answer.status}", raw=raw)
    try:
        body = _DECODER.decode(answer.body)
    except ILL_FORMED:
        return Unknown(reason="an answer that cannot be read", raw=raw)
    if body.next_action is not None:  # it is for the payer: evidence does not repeat it
        raw["body"] = _text(msgspec.json.encode(msgspec.json.decode(answer.body) | {"next_action": None}))
    if body.operation not in _OPERATIONS_BY_NAME:
        return Unknown(reason="an answer about an unknown operation", raw=raw)
    if body.attempt_id != call.attempt_id:
        hearing().forget()  # it is another payment's, and would be there when that one is erased
        return Unknown(reason=ANOTHER_ATTEMPT, raw=raw)
    return verdict_of(body, raw)


def verdict_of(body: OperationBody, raw: dict[str, Any] | None) -> Verdict:
    """What an operation's status means. A refund that came back is a decline here: nothing moved, and only the
    record knows that it was approved once. A capture that was taken back is reversed."""
    match body.status:
        case "approved" if body.effect is not None:
            return Approved(
                amount=body.amount,
                currency=body.currency,
                effect=body.effect,
                reference=body.reference,
                occurred_at=body.occurred_at,
                raw=raw,
            )
        case "declined" | "failed":
            theirs = body.decline_code or body.status
            code, retryable = DECLINES.get(theirs, DeclineReason(theirs, False))
            message = body.decline_message or "The provider declined."
            if body.status == "failed" and body.operation != "refund":
                return Reversed(
                    code=code, message=message, reference=body.reference, occurred_at=body.occurred_at, raw=raw
                )
            return Declined(
                code=code,
                message=message,
                retryable=retryable,
                reference=body.reference,
                occurred_at=body.occurred_at,
                raw=raw,
            )
        case "pending":
            return Pending(reference=body.reference, raw=raw)
        case "requires_action" if body.next_action is not None:
            return RequiresAction(next_action=body.next_action, reference=body.reference, raw=raw)
    return Unknown(reason=f"an unexpected status {body.status}", raw=raw)


def _error(answer: ProviderResponse) -> str | None:
    """The acquirer's word in an error answer; None where somebody else wrote it."""
    try:
        return _ERROR_DECODER.decode(answer.body).error
    except msgspec.MsgspecError:
        return None


def _raw(answer: ProviderResponse) -> dict[str, Any]:
    version = version_of(answer.headers, VERSION_HEADER)
    said = {} if version is None else {"api_version": version}
    return {"status": answer.status, "body": _text(answer.body)} | said


def _text(body: bytes) -> str:
    return shortened(body.decode("utf-8", "replace"), RAW_LIMIT)
