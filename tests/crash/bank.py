"""A provider that outlives the processes that call it: an acquirer's books in memory, and a connection to them.

Written apart from the platform: what it does to its money is plain arithmetic on its own rows.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from itertools import count

from tallystick.clock import monotonic_ms
from tallystick.decisions.instructions import provider_key
from tallystick.providers.base import (
    Approved,
    Declined,
    NotFound,
    NotSent,
    Pending,
    ProviderCall,
    RequiresAction,
    Traits,
    Unknown,
    Verdict,
)

#: Long enough for others to come in between.
SLOW_S = 0.003

#: Faults in which the request never reaches the books.
_NOT_EXECUTED = ("timeout_not_charged", "refused")


@dataclass
class Charge:
    """Money of one payer. ``status``: waiting | pending | authorized | captured | released | declined."""

    charge_id: str
    merchant_id: str
    payment_id: str
    amount: int
    currency: str
    at_once: bool
    status: str
    captured: int = 0
    refunded: int = 0
    by_dashboard: bool = False


@dataclass
class Operation:
    """One request that reached the books. ``status``: approved | declined | pending | requires_action."""

    reference: str
    key: str
    attempt_id: str
    kind: str
    amount: int
    charge: Charge
    status: str
    code: str | None = None


@dataclass
class Bank:
    """The books. ``faults`` holds, for each provider key, what happens to the next sends:

    declined | pending | action_required | slow | late_answer, and those that nobody hears an answer of:
    timeout_charged and crash (the books have it), timeout_not_charged and refused (they do not).
    """

    forgetful: bool = False
    charges: list[Charge] = field(default_factory=list)
    operations: list[Operation] = field(default_factory=list)
    faults: dict[str, list[str]] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def expect(self, merchant_id: str, idempotency_key: str, kind: str, *faults: str) -> None:
        """Let the next sends of an instruction go wrong, in this order; those after them go well."""
        self.faults[provider_key(merchant_id, idempotency_key, kind, 1)] = list(faults)

    def next_fault(self, key: str) -> str | None:
        """What happens to a send that comes now."""
        planned = self.faults.get(key)
        return planned.pop(0) if planned else None

    def execute(self, call: ProviderCall, fault: str | None) -> Operation:
        """Book a request; the same key is the same operation, unless the bank forgets."""
        if not self.forgetful:
            for known in self.operations:
                if known.key == call.key:
                    return known
        operation = self._authorize(call, fault) if call.operation == "authorize" else self._follow_up(call, fault)
        self.operations.append(operation)
        return operation

    def lookup(self, attempt_id: str) -> Operation | None:
        """The first thing that was booked for an attempt."""
        return next((known for known in self.operations if known.attempt_id == attempt_id), None)

    def effects(self, payment_id: str) -> Counter[tuple[str, str]]:
        """How often money was held or moved for a payment, by kind and attempt."""
        return Counter(
            (known.kind, known.attempt_id)
            for known in self.operations
            if known.charge.payment_id == payment_id and known.status == "approved"
        )

    def customer(self, charge: Charge, *, completes: bool) -> None:
        """The payer acts, or leaves; nothing where the bank does not wait for the payer."""
        if charge.status == "waiting":
            self._decide(charge, approved=completes)

    def dashboard_capture(self, charge: Charge) -> None:
        """Someone captures by hand, and tells nobody; nothing where there is no hold."""
        if charge.status == "authorized":
            charge.status, charge.captured, charge.by_dashboard = "captured", charge.amount, True

    def mature(self) -> None:
        """Time passes: what was pending is approved where the charge still allows it."""
        for operation in self.operations:
            if operation.status != "pending":
                continue
            if operation.kind == "authorize":
                self._decide(operation.charge, approved=True)
            else:
                operation.code = self._refusal(operation.kind, operation.charge, operation.amount)
                operation.status = "declined" if operation.code else "approved"
                if operation.code is None:
                    self._apply(operation)

    def _authorize(self, call: ProviderCall, fault: str | None) -> Operation:
        number = next(self._numbers)
        status = {"declined": "declined", "pending": "pending", "action_required": "requires_action"}.get(
            fault or "", "approved"
        )
        charge = Charge(
            charge_id=f"ch_{number}_{call.attempt_id}",
            merchant_id=call.merchant_id,
            payment_id=call.payment_id,
            amount=call.amount,
            currency=call.currency,
            at_once=call.capture,
            status={"requires_action": "waiting"}.get(status, status),
        )
        self.charges.append(charge)
        code = "card_declined" if status == "declined" else None
        operation = Operation(
            charge.charge_id, call.key, call.attempt_id, "authorize", call.amount, charge, status, code
        )
        if status == "approved":
            self._hold(charge)
        return operation

    def _follow_up(self, call: ProviderCall, fault: str | None) -> Operation:
        charge = next(charge for charge in self.charges if charge.charge_id == call.parent_reference)
        code = self._refusal(call.operation, charge, call.amount)
        if code is None and fault == "declined":
            code = "declined_by_script"
        status = "declined" if code else "pending" if fault == "pending" else "approved"
        reference = f"{call.operation}_{next(self._numbers)}"
        operation = Operation(reference, call.key, call.attempt_id, call.operation, call.amount, charge, status, code)
        if status == "approved":
            self._apply(operation)
        return operation

    def _refusal(self, kind: str, charge: Charge, amount: int) -> str | None:
        if kind == "refund":
            if charge.status != "captured":
                return "charge_not_captured"
            return "amount_too_large" if amount > charge.captured - charge.refunded else None
        if kind == "cancel":
            return None if charge.status in ("authorized", "waiting", "pending") else f"charge_{charge.status}"
        if charge.status != "authorized":
            return f"charge_{charge.status}"
        return "amount_too_large" if amount > charge.amount else None

    def _apply(self, operation: Operation) -> None:
        charge = operation.charge
        if operation.kind == "capture":
            charge.status, charge.captured = "captured", operation.amount
        elif operation.kind == "refund":
            charge.refunded += operation.amount
        elif charge.status == "authorized":
            charge.status = "released"
        else:
            self._decide(charge, approved=False)

    def _decide(self, charge: Charge, *, approved: bool) -> None:
        for operation in self.operations:
            if operation.kind == "authorize" and operation.charge is charge:
                operation.status = "approved" if approved else "declined"
                operation.code = None if approved else "authentication_failed"
        if approved:
            self._hold(charge)
        else:
            charge.status = "declined"

    def _hold(self, charge: Charge) -> None:
        charge.status, charge.captured = ("captured", charge.amount) if charge.at_once else ("authorized", 0)


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


class BankConnection:
    """One process's way to the bank. ``reach`` is awaited at every point where a process could die, and ``late``
    before an answer that takes its time."""

    name = "simulator"

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

    def representable(self, amount: int, currency: str) -> bool:
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
            await asyncio.sleep(SLOW_S)
        if fault == "crash":
            raise ConnectionResetError("reset")
        if operation is None or fault == "timeout_charged":
            return Unknown(reason="time-out")
        return _said(operation)


def _said(operation: Operation) -> Verdict:
    charge = operation.charge
    match operation.status:
        case "pending":
            return Pending(reference=operation.reference)
        case "requires_action":
            return RequiresAction(reference=operation.reference, next_action={"type": "redirect", "url": "/act"})
        case "declined":
            return Declined(reference=operation.reference, code=operation.code or "declined", message="Declined.")
    effect = {"capture": "captured", "cancel": "voided", "refund": "refunded"}.get(operation.kind)
    if effect is None:
        released = charge.status == "released"
        effect = "captured" if charge.at_once or charge.by_dashboard else "voided" if released else "authorized"
    return Approved(reference=operation.reference, amount=operation.amount, currency=charge.currency, effect=effect)
