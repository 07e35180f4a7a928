"""One process's way to the bank: a connector, with the faults that lie on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from tallystick.domain.money import Exponents
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
    Unknown,
    Verdict,
)
from tallystick.kit.clock import monotonic_ms
from tallystick.providers.port import Provider, ProviderCall
from tests.support.crash.provider import Bank, Operation
from tests.support.heard import hear

#: Long enough for others to come in between.
SLOW_S: Final = 0.003

#: Faults in which the request never reaches the books.
_NOT_EXECUTED: Final = ("timeout_not_charged", "refused")


def traits_of(bank: Bank) -> Traits:
    """What a connector to this bank declares."""
    return Traits(
        deduplicates=not bank.forgetful,
        lookup_is_consistent=True,
        key_lifetime_ms=None,
        settling_time_ms=1_000,
        max_delivery_delay_ms=2_000,
        request_timeout_ms=5_000,
    )


Reach = Callable[[str], Awaitable[None]]


async def _nothing_there(_: str) -> None:
    """A process that nobody kills."""


async def _at_once() -> None:
    """Answers that nothing holds up."""


class BankConnection(Provider):
    """One process's way to the bank. ``reach`` is awaited at every point where a process could die, and ``late``
    before an answer that takes its time."""

    name = "simulator"
    account = "main"

    def __init__(
        self,
        bank: Bank,
        traits: Traits,
        reach: Reach = _nothing_there,
        late: Callable[[], Awaitable[object]] = _at_once,
    ) -> None:
        self.bank = bank
        self.traits = traits
        self._reach = reach
        self._late = late

    def supports(self, payment_method: str) -> bool:
        """All tokens."""
        return True

    def representable(self, amount: int, currency: str, exponents: Exponents | None = None) -> bool:
        """All amounts."""
        return True

    async def authorize(self, call: ProviderCall) -> Verdict:
        """A new charge."""
        return await self._send(call)

    async def capture(self, call: ProviderCall) -> Verdict:
        """Money out of a hold."""
        return await self._send(call)

    async def cancel(self, call: ProviderCall) -> Verdict:
        """A hold released."""
        return await self._send(call)

    async def refund(self, call: ProviderCall) -> Verdict:
        """Money back."""
        return await self._send(call)

    async def fetch(self, call: ProviderCall) -> Verdict:
        """What the books say of an attempt."""
        await self._reach("before the provider's lookup")
        operation = self.bank.lookup(call.attempt_id)
        if operation is None:
            hear(404, b'{"error": "no_such_operation"}')
        else:
            hear(200, answer_body(operation))
        verdict = NotFound() if operation is None else _said(operation)
        await self._reach("after the provider's lookup")
        return verdict

    async def close(self) -> None:
        """Nothing is held."""

    async def _send(self, call: ProviderCall) -> Verdict:
        await self._reach(f"before the provider's {call.operation}")
        if monotonic_ms() > call.send_by_ms:
            return NotSent(reason="too late to send")
        fault = self.bank.next_fault(call.key)
        if fault == "refused":
            return NotSent(reason="connection refused")
        operation = None if fault in _NOT_EXECUTED else self.bank.execute(call, fault)
        await self._reach(f"after the provider's {call.operation}")
        if fault == "late_answer":
            await self._late()
        if fault == "slow":
            await asyncio.sleep(SLOW_S)  # the fault itself: the answer takes so long
        if fault == "crash":
            raise ConnectionResetError("reset")
        if operation is None or fault == "timeout_charged":
            return Unknown(reason="time-out")
        hear(402 if operation.status == "declined" else 200, answer_body(operation))
        if operation.attempt_id != call.attempt_id:
            return KeyTaken(reason="the key was used for another request")
        return _said(operation)


def answer_body(operation: Operation) -> bytes:
    """What the bank writes of an operation."""
    return f'{{"reference": "{operation.reference}", "status": "{operation.status}"}}'.encode()


def _said(operation: Operation) -> Verdict:
    charge = operation.charge
    match operation.status:
        case "pending":
            return Pending(reference=operation.reference)
        case "requires_action":
            return RequiresAction(reference=operation.reference, next_action={"type": "redirect", "url": "/act"})
        case "declined":
            return Declined(reference=operation.reference, code=operation.code or "declined", message="Declined.")
    effects: dict[str, Effect] = {"capture": "captured", "cancel": "voided", "refund": "refunded"}
    effect = effects.get(operation.kind)
    if effect is None:
        released = charge.status == "released"
        effect = "captured" if charge.at_once or charge.by_dashboard else "voided" if released else "authorized"
    return Approved(reference=operation.reference, amount=operation.amount, currency=charge.currency, effect=effect)
