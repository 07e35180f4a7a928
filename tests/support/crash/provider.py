"""A provider that outlives the processes that call it: an acquirer's books in memory.

Written apart from the platform: what it does to its money is plain arithmetic on its own rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

from tallystick.domain.provider_keys import provider_key
from tallystick.providers.port import ProviderCall


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

    def fails_authentication(self, charge: Charge) -> None:
        """The payer failed to prove who they are. The charge stays open, and they may try again."""
        self._authorize_of(charge).status, self._authorize_of(charge).code = "declined", "authentication_failed"

    def paid_all_the_same(self, charge: Charge) -> None:
        """A charge that was declined is approved, long after that was told."""
        self._authorize_of(charge).status, self._authorize_of(charge).code = "approved", None
        self._hold(charge)

    def done_before_the_restore(self, merchant_id: str, idempotency_key: str, amount: int = 1_000) -> Charge:
        """A charge under this key, for an attempt that the record has forgotten."""
        lost = f"att_lost_{idempotency_key}"
        payment_id = f"pay_lost_{idempotency_key}"
        charge = Charge(f"ch_{lost}", merchant_id, payment_id, amount, "EUR", True, "captured", amount)
        key = provider_key(merchant_id, idempotency_key, "authorize", 1)
        self.charges.append(charge)
        self.operations.append(Operation(charge.charge_id, key, lost, "authorize", amount, charge, "approved"))
        return charge

    def charge_of(self, payment_id: str) -> Charge:
        """The charge of a payment that has one."""
        [charge] = [each for each in self.charges if each.payment_id == payment_id]
        return charge

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

    def _authorize_of(self, charge: Charge) -> Operation:
        return next(each for each in self.operations if each.kind == "authorize" and each.charge is charge)

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
