"""The provider port: four operations and a look-up, each answered with a verdict.

A connector translates, and decides nothing: ``decisions.verdicts`` decides what a verdict does to a payment. A
connector must separate *nothing can have happened* (``NotSent``) from *something may have happened* (``Unknown``); in
doubt it answers ``Unknown``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any, Literal, Protocol, assert_never

from msgspec import Struct

from tallystick.domain.marks import ChargeMark
from tallystick.domain.money import Exponents, exponents_at, is_multiple
from tallystick.domain.payment_tokens import PaymentTokens
from tallystick.domain.subjects import Operation
from tallystick.domain.traits import Traits
from tallystick.domain.verdicts import Verdict
from tallystick.kit.clock_skew import Skew
from tallystick.providers.contract_drift import DriftTally
from tallystick.providers.pause import Pause

#: ``open``: calls are refused until a wait is over. ``half_open``: single calls probe whether the provider answers.
CircuitState = Literal["closed", "open", "half_open"]


class ProviderCall(Struct, frozen=True, kw_only=True):
    """One attempt, as a connector needs it. ``send_by_ms`` is on this process's monotonic clock (``kit.clock``):
    a connector that would write to the socket later answers ``NotSent`` instead. ``earliest`` and ``latest`` are for
    look-ups: between these the provider can have received it, on the provider's clock as far as that is known."""

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
    exponents: Exponents | None = None  # stored with the payment; None: as the tables stand
    earliest: datetime | None = None
    latest: datetime | None = None


class ProviderEffect(Struct, frozen=True, kw_only=True):
    """One operation in a provider's books, with our names on it. ``amount`` is in ISO 4217 minor units; ``state`` is
    the provider's word."""

    reference: str
    operation: Operation
    merchant_id: str
    payment_id: str
    attempt_id: str
    amount: int
    currency: str
    state: str
    at: datetime | None = None


class Provider(Protocol):
    """A payment provider. No method raises for a failure of the provider or the network.

    Connectors are subclasses, so that they have the circuit of one that stands alone: always closed.
    """

    name: str
    account: str  # whose account at the provider the calls are made with; webhooks name it in their path
    traits: Traits

    @property
    def tokens(self) -> Sequence[PaymentTokens]:
        """What can be charged there."""
        return ()

    @property
    def circuit(self) -> CircuitState:
        """Whether calls go through to the provider."""
        return "closed"

    @property
    def rests(self) -> bool:
        """Whether the circuit is known to refuse whatever is sent now."""
        return False

    @property
    def pause(self) -> Pause | None:
        """What the account asked for by Retry-After; None for a connector that is never asked."""
        return None

    @property
    def clock_skew(self) -> Skew | None:
        """This host's clock minus the provider's, where its answers say what time it is there."""
        return None

    @property
    def drift(self) -> DriftTally | None:
        """Where its answers differed from what is read of them; None where nobody compares."""
        return None

    def supports(self, payment_method: str) -> bool:
        """Whether the provider can charge this kind of token."""
        return self.kind_of_token(payment_method) is not None

    def kind_of_token(self, payment_method: str) -> PaymentTokens | None:
        """The first of ``tokens`` that describes it."""
        return next((kind for kind in self.tokens if kind.accepts(payment_method)), None)

    def exponents(self, currency: str) -> Exponents:
        """The currency's exponents by today's tables, ours and the provider's: stored with a new payment."""
        return exponents_at(currency, {})

    def amount_step(self, currency: str, exponents: Exponents | None = None) -> int:
        """The provider can express multiples of this: its exponents may differ from ISO 4217. ``exponents``: those that
        are stored with the payment, if there is one."""
        return (exponents or self.exponents(currency)).step

    def representable(self, amount: int, currency: str, exponents: Exponents | None = None) -> bool:
        """Whether the provider can express the amount, by ``amount_step``."""
        return is_multiple(amount, self.amount_step(currency, exponents))

    async def authorize(self, call: ProviderCall) -> Verdict:
        """Hold the amount, or charge it at once where ``call.capture``."""

    async def capture(self, call: ProviderCall) -> Verdict:
        """Take ``call.amount`` out of the hold; the rest is released."""

    async def cancel(self, call: ProviderCall) -> Verdict:
        """Release the hold."""

    async def refund(self, call: ProviderCall) -> Verdict:
        """Pay ``call.amount`` back."""

    async def fetch(self, call: ProviderCall) -> Verdict:
        """Look up the outcome of *this* attempt, by its own reference. Moves no money."""

    async def held_by_key(self, key: str) -> dict[str, Any] | None:
        """What the provider's books have under an idempotency key, in its own words; None where they have nothing, or
        cannot be asked. It is shown to a person, and never booked by itself. Raises NothingSent and SentUnanswered."""
        return None

    async def charge_mark(self, charge: str) -> ChargeMark:
        """Whether the provider's charge of that name bears our mark. Moves no money. ``unknown`` where the provider has
        no such question."""
        return "unknown"

    def effects_since(self, since: datetime) -> AsyncIterator[ProviderEffect] | None:
        """The operations with our names on them that the provider booked since then; None where it has no such list.
        Iterating raises what the network and the answers raise: a list that breaks off is no list."""
        return None

    async def close(self) -> None:
        """Close every connection."""


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
