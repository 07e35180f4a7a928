"""The provider port: five operations, each answering with a verdict.

A connector translates, and decides nothing: what a verdict does to a payment is the business of
``decisions.settlement``. The line that matters is between *nothing can have happened* (``NotSent``) and
*something may have happened* (``Unknown``); a connector that is not sure says ``Unknown``.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Protocol

from msgspec import Struct


class Verdict(Struct, frozen=True, kw_only=True, tag_field="verdict"):
    """What a provider said of one attempt, with its raw answer as evidence."""

    reference: str | None = None
    occurred_at: datetime | None = None
    raw: dict[str, Any] | None = None


class Approved(Verdict, frozen=True, kw_only=True, tag="approved"):
    """The effect happened. ``effect`` is where the provider's money is now:
    authorized | captured | voided | refunded."""

    amount: int
    currency: str
    effect: str


class Declined(Verdict, frozen=True, kw_only=True, tag="declined"):
    """The provider refused, and nothing moved."""

    code: str
    message: str
    retryable: bool = False


class Pending(Verdict, frozen=True, kw_only=True, tag="pending"):
    """Accepted, outcome later."""


class RequiresAction(Verdict, frozen=True, kw_only=True, tag="requires_action"):
    """The customer must act first."""

    next_action: dict[str, Any]


class Unknown(Verdict, frozen=True, kw_only=True, tag="unknown"):
    """A time-out, a reset, or a 5xx after sending: it may or may not have happened."""

    reason: str


class NotFound(Verdict, frozen=True, kw_only=True, tag="not_found"):
    """The provider's consistent lookup knows no such attempt. Evidence only after its settling time."""


class NotSent(Verdict, frozen=True, kw_only=True, tag="not_sent"):
    """Proof that nothing was sent: a refused connection, an open breaker, a sender too late to send."""

    reason: str


class Reversed(Verdict, frozen=True, kw_only=True, tag="reversed"):
    """An effect that the provider had reported done has failed after all: a refund that came back, a capture that the
    card's bank refused days later. The whole effect, never a part of it."""

    code: str
    message: str


class Traits(Struct, frozen=True, kw_only=True):
    """What a connector declares of its provider; recovery's rules are built on these.

    ``deduplicates``: the same key never has two effects, for ``key_lifetime_ms`` (None: for ever).
    ``lookup_is_consistent``: "no such charge" from ``fetch`` can be believed after ``settling_time_ms``.
    ``max_delivery_delay_ms``: the longest time that a request, once written to a socket, may be under way.
    """

    deduplicates: bool
    lookup_is_consistent: bool
    key_lifetime_ms: int | None
    settling_time_ms: int
    max_delivery_delay_ms: int
    request_timeout_ms: int
    can_fetch: bool = True  # False: there is no lookup; what webhooks say is the provider's newest word
    keeps_references: bool = False  # True: some events name a charge by the provider's reference alone


class ProviderCall(Struct, frozen=True, kw_only=True):
    """One attempt, as a connector needs it. ``send_by_ms`` is on this process's monotonic clock (``clock.py``):
    a sender that comes to write to the socket after it answers ``NotSent`` instead."""

    merchant_id: str
    payment_id: str
    attempt_id: str
    operation: str
    amount: int
    currency: str
    payment_method: str
    capture: bool
    key: str
    parent_reference: str | None
    reference: str | None
    send_by_ms: int


class Provider(Protocol):
    """A payment provider. No method raises for anything that the provider or the network does."""

    name: str
    account: str  # whose account at the provider the calls are made with; webhooks name it in their path
    traits: Traits

    def supports(self, payment_method: str) -> bool:
        """Whether the provider can be asked to charge this token at all."""

    def representable(self, amount: int, currency: str) -> bool:
        """Whether the provider can express the amount: exponents differ from ISO 4217 here and there."""

    async def authorize(self, call: ProviderCall) -> Verdict:
        """Hold the amount, or charge it at once where ``call.capture``."""

    async def capture(self, call: ProviderCall) -> Verdict:
        """Take ``call.amount`` out of the hold; the rest is released."""

    async def cancel(self, call: ProviderCall) -> Verdict:
        """Release the hold."""

    async def refund(self, call: ProviderCall) -> Verdict:
        """Pay ``call.amount`` back."""

    async def fetch(self, call: ProviderCall) -> Verdict:
        """What became of *this attempt's* effect, found by its own reference. Moves nothing."""

    async def close(self) -> None:
        """Let go of connections."""


async def send(provider: Provider, call: ProviderCall) -> Verdict:
    """Call the operation that the attempt stands for."""
    match call.operation:
        case "authorize":
            return await provider.authorize(call)
        case "capture":
            return await provider.capture(call)
        case "cancel":
            return await provider.cancel(call)
        case "refund":
            return await provider.refund(call)
    raise ValueError(f"no such operation: {call.operation}")
