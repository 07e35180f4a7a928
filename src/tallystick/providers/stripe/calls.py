"""The connector to Stripe, through its official SDK.

The SDK writes the requests and reads the errors; the connection is ours, so that the line between *nothing was sent*
and *something may have happened* stays where it is for every provider, and its own retries are off. Each PaymentIntent
and Refund carries our merchant, payment and attempt in its metadata: that is how a look-up finds what became of one
attempt when no answer came, in lists, which show a write at once. Search does not, and is never asked.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final, assert_never, cast

import msgspec
import stripe
from msgspec.structs import replace

from tallystick.domain.marks import ChargeMark
from tallystick.domain.money import Exponents
from tallystick.domain.payment_tokens import PaymentTokens
from tallystick.domain.traits import Traits
from tallystick.domain.verdicts import Approved, KeyTaken, NotFound, NotSent, Pending, RequiresAction, Unknown, Verdict
from tallystick.kit.logs import get_logger
from tallystick.providers.heard import hearing
from tallystick.providers.http import NothingSent, ProviderHttp, SentUnanswered, refused_here
from tallystick.providers.http_provider import HttpProvider
from tallystick.providers.port import ProviderCall, ProviderEffect
from tallystick.providers.shared import provider_amount, unanswered, with_api_version
from tallystick.providers.stripe.codes import EXPONENTS, ROUND_TO
from tallystick.providers.stripe.evidence import answer_evidence, read_error
from tallystick.providers.stripe.lists import answer_of, effect_of, pages, window_of
from tallystick.providers.stripe.objects import (
    ATTEMPT,
    MERCHANT,
    PAYMENT,
    Intent,
    mark_of,
    ours,
    read_authorized,
    read_canceled,
    read_captured,
    read_refunded,
)
from tallystick.providers.stripe.read_fields import INTENT, REFUND, error_drift
from tallystick.providers.stripe.transport import SEND_BY_MS, Transport

#: Every request names it, and answers are written by it: what is read here is what this version says. The SDK's own is
#: the newest of its release.
API_VERSION: Final = "2026-10-28.endive"

log = get_logger("tallystick.providers.stripe.calls")

#: Reads an object, with what is kept of it, as a verdict.
Read = Callable[[Mapping[str, Any], dict[str, Any]], Verdict]

#: What can be charged is a PaymentMethod, or one of the older things that Stripe takes in its place.
TOKEN: Final = PaymentTokens(types=("card",), pattern="(pm|card|src)_[A-Za-z0-9_]+", partial_capture=True)


class StripeProvider(HttpProvider):
    """One Stripe account. ``payment_method_types`` are those that a PaymentIntent may be paid with; ``return_url`` is
    where a customer comes back to from a bank's own page, and without it only methods that need none work."""

    name = "stripe"
    provider_exponents = EXPONENTS
    tokens = (TOKEN,)

    def __init__(
        self,
        http: ProviderHttp,
        traits: Traits,
        *,
        api_key: str,
        api_url: str,
        account: str = "main",
        payment_method_types: tuple[str, ...] = ("card",),
        return_url: str | None = None,
    ) -> None:
        super().__init__(http, traits, account)
        self.tokens = (replace(TOKEN, types=payment_method_types),)
        self._client = stripe.StripeClient(
            api_key,
            base_addresses={"api": api_url.rstrip("/")},
            http_client=Transport(http),
            stripe_version=API_VERSION,
            max_network_retries=0,  # a second try is a decision, and recovery's
        )
        self._fixed: dict[str, Any] = {"confirm": True, "payment_method_types": list(payment_method_types)}
        if return_url is not None:
            self._fixed["return_url"] = return_url
        self._filters_by_time = True

    def amount_step(self, currency: str, exponents: Exponents | None = None) -> int:
        """Ariary are whole there, and dinars and rials end in 0."""
        return math.lcm(super().amount_step(currency, exponents), ROUND_TO.get(currency, 1))

    async def authorize(self, call: ProviderCall) -> Verdict:
        """POST /v1/payment_intents, created and confirmed in one."""

        def request() -> Coroutine[Any, Any, Any]:
            params: Any = self._fixed | {
                "amount": provider_amount(call, EXPONENTS),
                "currency": call.currency.lower(),
                "payment_method": call.payment_method,
                "capture_method": "automatic" if call.capture else "manual",
                "metadata": _metadata(call),
            }
            return self._client.v1.payment_intents.create_async(params, {"idempotency_key": call.key})

        return await self._send(call, request, read_authorized)

    async def capture(self, call: ProviderCall) -> Verdict:
        """POST /v1/payment_intents/{id}/capture; what is not captured is released."""
        if call.parent_reference is None:
            return NotSent(reason="there is no PaymentIntent to capture")
        charge = call.parent_reference

        def request() -> Coroutine[Any, Any, Any]:
            amount = provider_amount(call, EXPONENTS)
            options: Any = {"idempotency_key": call.key}
            return self._client.v1.payment_intents.capture_async(charge, {"amount_to_capture": amount}, options)

        return await self._send(call, request, read_captured)

    async def cancel(self, call: ProviderCall) -> Verdict:
        """POST /v1/payment_intents/{id}/cancel."""
        if call.parent_reference is None:
            return NotSent(reason="there is no PaymentIntent to cancel")
        cancel, options = self._client.v1.payment_intents.cancel_async, {"idempotency_key": call.key}
        request = partial(cancel, call.parent_reference, options=cast(Any, options))
        return await self._send(call, request, read_canceled)

    async def refund(self, call: ProviderCall) -> Verdict:
        """POST /v1/refunds."""
        if call.parent_reference is None:
            return NotSent(reason="there is no PaymentIntent to refund")

        def request() -> Coroutine[Any, Any, Any]:
            amount = provider_amount(call, EXPONENTS)
            params: Any = {"payment_intent": call.parent_reference, "amount": amount, "metadata": _metadata(call)}
            return self._client.v1.refunds.create_async(params, {"idempotency_key": call.key})

        return await self._send(call, request, read_refunded)

    async def fetch(self, call: ProviderCall) -> Verdict:
        """What Stripe's books hold of this attempt: by reference where there is one, else by our metadata in lists."""
        return with_api_version(await self._fetched(call), API_VERSION)

    async def _fetched(self, call: ProviderCall) -> Verdict:
        try:
            match call.operation:
                case "authorize":
                    return await self._fetch_authorize(call)
                case "refund":
                    return await self._fetch_refund(call)
                case "capture":
                    return await self._fetch_follow_up(call, _BEFORE_CAPTURE, read_captured)
                case "cancel":
                    return await self._fetch_follow_up(call, _BEFORE_CANCEL, read_canceled)
                case _:
                    assert_never(call.operation)
        except (NothingSent, SentUnanswered) as error:
            return Unknown(reason=f"lookup: {error}")
        except Exception as error:  # whatever the SDK or an answer is made of: a lookup that failed says nothing
            return Unknown(reason=f"lookup: failed with {type(error).__name__}")

    async def charge_mark(self, charge: str) -> ChargeMark:
        """GET /v1/payment_intents/{id}. A charge is asked for its PaymentIntent: ours are all made through one."""
        try:
            return await self._charge_mark(charge)
        except (NothingSent, SentUnanswered):
            return "unanswered"
        except stripe.StripeError as error:
            return "unknown" if error.http_status in (400, 403, 404) else "unanswered"
        except Exception as error:  # whatever the SDK or an answer is made of: it says nothing
            log.error("connector failed", provider=self.name, error=type(error).__name__)
            return "unknown"

    async def _charge_mark(self, charge: str) -> ChargeMark:
        intent: Any = charge
        if not charge.startswith("pi_"):
            found = answer_of(await self._client.v1.charges.retrieve_async(charge)).data
            intent = found.get("payment_intent")
            if intent is None:
                return _mark_in(found)
        if not str(intent).startswith("pi_"):
            return "unknown"
        return _mark_in(answer_of(await self._client.v1.payment_intents.retrieve_async(intent)).data)

    async def effects_since(self, since: datetime) -> AsyncIterator[ProviderEffect]:
        """PaymentIntents and refunds that were made since, of those that bear our names. A capture or cancel is a state
        of its PaymentIntent, and is listed with that."""
        window: Any = {"created": {"gte": math.floor(since.timestamp())}}
        intents, refunds = self._client.v1.payment_intents, self._client.v1.refunds
        async for listed in pages(lambda page: intents.list_async(window | page), bounded=False):
            if (effect := effect_of("authorize", listed)) is not None:
                yield effect
        async for listed in pages(lambda page: refunds.list_async(window | page), bounded=False):
            if (effect := effect_of("refund", listed)) is not None:
                yield effect

    async def _send(
        self,
        call: ProviderCall,
        request: Callable[[], Coroutine[Any, Any, Any]],
        read: Read,
    ) -> Verdict:
        """``request`` makes the SDK's request, which is sent when it is awaited."""
        try:
            made = request()
        except ValueError as error:
            return NotSent(reason=refused_here(error))
        return with_api_version(await self._answered(call, made, read), API_VERSION)

    async def _answered(self, call: ProviderCall, made: Coroutine[Any, Any, Any], read: Read) -> Verdict:
        token = SEND_BY_MS.set(call.send_by_ms)
        try:
            answer = answer_of(await made)
            self._compare(call, answer.data)
            if not _is_about(call, answer.data):
                return _of_another(call, answer.data, answer_evidence(answer))
            return read(answer.data, answer_evidence(answer))
        except (NothingSent, SentUnanswered) as error:
            return unanswered(error)
        except stripe.StripeError as error:
            self._drift.note(error_drift(error.json_body))
            return read_error(error)
        except Exception as error:  # of the SDK, or of reading an unexpected answer: something may have happened
            return Unknown(reason=f"failed with {type(error).__name__}")
        finally:
            SEND_BY_MS.reset(token)

    async def _fetch_authorize(self, call: ProviderCall) -> Verdict:
        if call.reference is not None:
            answer = answer_of(await self._client.v1.payment_intents.retrieve_async(call.reference))
            self._compare(call, answer.data)
            return read_authorized(answer.data, answer_evidence(answer))
        found = []
        async for listed in self._intents(window_of(call)):
            if ours(listed.get("metadata"), ATTEMPT) == call.attempt_id:
                self._compare(call, listed)
                found.append(read_authorized(listed, answer_evidence(None, listed)))
                if self.traits.deduplicates:
                    break
        return _the_one(found)

    async def _fetch_follow_up(self, call: ProviderCall, before: frozenset[str], read: Read) -> Verdict:
        """A PaymentIntent is captured or canceled once, so its state shows whether it was. In a state ``before`` the
        operation it may still happen, and has not yet."""
        if call.parent_reference is None:
            return NotFound()
        answer = answer_of(await self._client.v1.payment_intents.retrieve_async(call.parent_reference))
        raw = answer_evidence(answer)
        self._compare(call, answer.data)
        intent = msgspec.convert(answer.data, Intent)
        if intent.status in before:
            return NotFound(reference=intent.id, raw=raw)
        return read(answer.data, raw)

    async def _fetch_refund(self, call: ProviderCall) -> Verdict:
        if call.reference is not None:
            answer = answer_of(await self._client.v1.refunds.retrieve_async(call.reference))
            self._compare(call, answer.data)
            return read_refunded(answer.data, answer_evidence(answer))
        if call.parent_reference is None:
            return NotFound()
        params: Any = {"payment_intent": call.parent_reference}
        found = []
        async for listed in pages(lambda page: self._client.v1.refunds.list_async(params | page)):
            if ours(listed.get("metadata"), ATTEMPT) == call.attempt_id:
                self._compare(call, listed)
                found.append(read_refunded(listed, answer_evidence(None, listed)))
        return _the_one(found)

    def _compare(self, call: ProviderCall, said: object) -> None:
        """Count where an object differs from what is read of it."""
        self._drift.note((REFUND if call.operation == "refund" else INTENT).drift_in(said))

    async def _intents(self, window: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """PaymentIntents that may be the attempt's: of the time in which it can have been made, where the server can
        filter."""
        bounds: Any = window if self._filters_by_time else {}
        try:
            async for listed in pages(lambda page: self._client.v1.payment_intents.list_async(bounds | page)):
                yield listed
        except stripe.InvalidRequestError:
            if not bounds:
                raise
            self._filters_by_time = False
            async for listed in self._intents({}):
                yield listed


#: The states of a PaymentIntent before a capture, and before a cancel.
_BEFORE_CAPTURE: Final = frozenset({"requires_capture"})
_BEFORE_CANCEL: Final = frozenset(
    {"requires_payment_method", "requires_confirmation", "requires_action", "requires_capture"}
)


def _the_one(found: Sequence[Verdict]) -> Verdict:
    """What was found of one attempt. A request that arrived twice left two objects: the one that moved money counts,
    and where two did, a person has to look."""
    moved = [verdict for verdict in found if isinstance(verdict, Approved | Pending | RequiresAction)]
    if len(moved) > 1:
        return Unknown(reason="the attempt has several effects", raw={"found": [verdict.raw for verdict in moved]})
    return next(iter([*moved, *found]), NotFound())


def _is_about(call: ProviderCall, data: Mapping[str, Any]) -> bool:
    """Whether an object is what the call made, or what it was about."""
    match call.operation:
        case "authorize" | "refund":
            return ours(data.get("metadata"), ATTEMPT) == call.attempt_id
        case "capture" | "cancel":
            return bool(data.get("id") == call.parent_reference)
        case _:
            assert_never(call.operation)


def _of_another(call: ProviderCall, data: Mapping[str, Any], raw: dict[str, Any]) -> Verdict:
    """A keyed answer about something else: where it names another attempt of ours, that one used the key."""
    hearing().forget()  # it is another payment's, and would be there when that one is erased
    other = ours(data.get("metadata"), ATTEMPT)
    if call.operation in ("authorize", "refund") and other is not None:
        return KeyTaken(reason="its key stands for another attempt", raw=raw)
    return Unknown(reason="an answer about another request", raw=raw)


def _mark_in(found: Mapping[str, Any]) -> ChargeMark:
    """Whose a PaymentIntent is, or a charge without one."""
    metadata = found.get("metadata")
    return mark_of(metadata if isinstance(metadata, dict) else None, is_always_marked=True) or "unknown"


def _metadata(call: ProviderCall) -> dict[str, str]:
    return {MERCHANT: call.merchant_id, PAYMENT: call.payment_id, ATTEMPT: call.attempt_id}
