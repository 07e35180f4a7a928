"""A provider that answers as it is told, behind limits and a circuit with a clock of their own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from tallystick.domain.money import Exponents
from tallystick.domain.subjects import Operation
from tallystick.domain.traits import Traits
from tallystick.domain.verdicts import Approved, NotSent, Unknown, Verdict
from tallystick.kit.clock import monotonic_ms
from tallystick.kit.ids import new_id
from tallystick.providers.circuit import BoundedProvider, Limits
from tallystick.providers.http import UNREACHABLE
from tallystick.providers.port import Provider, ProviderCall

LIMITS = Limits(
    calls_at_once=4,  # three of one merchant
    wait_ms=50,
    failure_percent=50,
    calls=4,
    window_ms=30_000,
    open_ms=5_000,
    open_limit_ms=15_000,
    probes=2,
)

TRAITS = Traits(
    deduplicates=True,
    lookup_is_consistent=True,
    key_lifetime_ms=None,
    settling_time_ms=0,
    max_delivery_delay_ms=0,
    request_timeout_ms=1_000,
)

APPROVED = Approved(amount=1_000, currency="EUR", effect="captured", reference="ch_1")
UNKNOWN = Unknown(reason="time-out")
REFUSED_CONNECTION = NotSent(reason=f"{UNREACHABLE}: ClientConnectorError")
TOO_LATE = NotSent(reason="too late to send: recovery may have taken over")
TURNED_AWAY = NotSent(reason="rejected with 429, before processing", raw={"status": 429})

OPERATIONS: tuple[Operation, ...] = ("authorize", "capture", "cancel", "refund")


class Time:
    """The circuit's clock."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def monotonic(self) -> float:
        """In seconds."""
        return self.now_s


class Scripted(Provider):
    """Answers everything with ``says``; ``hold`` runs before."""

    name = "scripted"
    account = "eu"
    traits = TRAITS

    def __init__(self, says: Verdict | Exception = APPROVED) -> None:
        self.says = says
        self.asked: list[str] = []
        self.closed = False
        self.hold: Callable[[], Awaitable[Any]] | None = None

    def supports(self, payment_method: str) -> bool:
        return payment_method == "good"

    def representable(self, amount: int, currency: str, exponents: Exponents | None = None) -> bool:
        return (amount, currency) == (1, "EUR")

    async def authorize(self, call: ProviderCall) -> Verdict:
        return await self._answer("authorize")

    async def capture(self, call: ProviderCall) -> Verdict:
        return await self._answer("capture")

    async def cancel(self, call: ProviderCall) -> Verdict:
        return await self._answer("cancel")

    async def refund(self, call: ProviderCall) -> Verdict:
        return await self._answer("refund")

    async def fetch(self, call: ProviderCall) -> Verdict:
        return await self._answer("fetch")

    async def close(self) -> None:
        self.closed = True

    async def _answer(self, operation: str) -> Verdict:
        self.asked.append(operation)
        says = self.says
        if self.hold is not None:
            await self.hold()
        if isinstance(says, Exception):
            raise says
        return says


def call(operation: Operation = "authorize", merchant_id: str = "m") -> ProviderCall:
    """A new attempt."""
    return ProviderCall(
        merchant_id=merchant_id,
        payment_id=new_id("pay"),
        attempt_id=new_id("att"),
        operation=operation,
        amount=1_000,
        currency="EUR",
        payment_method="good",
        capture=True,
        key=new_id("att"),
        parent_reference=None,
        reference=None,
        send_by_ms=monotonic_ms() + 5_000,
    )


async def fail(provider: BoundedProvider, inner: Scripted, times: int = LIMITS.calls) -> None:
    """So many calls without an answer."""
    before, inner.says = inner.says, UNKNOWN
    for _ in range(times):
        await provider.authorize(call())
    inner.says = before
    inner.asked.clear()


def circuit(provider: Provider) -> str:
    """The circuit's state, read anew: to the type checker the property of one object never changes."""
    return provider.circuit
