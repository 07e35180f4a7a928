"""The provider port: five operations, each answering with a verdict.

A connector translates, and decides nothing: what a verdict does to a payment is the business of
``decisions.verdicts``. The line that matters is between *nothing can have happened* (``NotSent``) and
*something may have happened* (``Unknown``); a connector that is not sure says ``Unknown``.
"""

from __future__ import annotations

from typing import Protocol, assert_never

from msgspec import Struct

from tallystick.domain.subjects import Operation
from tallystick.domain.traits import Traits
from tallystick.domain.verdicts import Verdict


class ProviderCall(Struct, frozen=True, kw_only=True):
    """One attempt, as a connector needs it. ``send_by_ms`` is on this process's monotonic clock (``kit.clock``):
    a sender that comes to write to the socket after it answers ``NotSent`` instead."""

    merchant_id: str
    payment_id: str
    attempt_id: str
    operation: Operation
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
    """Call the attempt's operation."""
    match call.operation:
        case "authorize":
            return await provider.authorize(call)
        case "capture":
            return await provider.capture(call)
        case "cancel":
            return await provider.cancel(call)
        case "refund":
            return await provider.refund(call)
        case _:
            assert_never(call.operation)
