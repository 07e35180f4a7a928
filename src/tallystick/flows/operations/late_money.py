"""Late money, and what an operator decides of it: the merchant's, or back to the payer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct

from tallystick.decisions.change_builder import Cause
from tallystick.decisions.late_money import NoLateMoney, accept_late_money, return_late_money
from tallystick.decisions.operator_acts import carrying
from tallystick.domain.change import Change
from tallystick.domain.errors import Overloaded, ProviderNotConfigured
from tallystick.domain.late_money import unclaimed
from tallystick.domain.operator_act import AskedAct
from tallystick.domain.snapshot import PaymentSnapshot
from tallystick.domain.subjects import Payment
from tallystick.flows.compliance.amounts import require_second_person
from tallystick.flows.payments.attempts import carry_out, send_by
from tallystick.flows.runtime import Runtime
from tallystick.kit.ids import new_id
from tallystick.record.journal import Fresh

#: An act that loses so many races in a row is on a payment that is busy: nothing was written.
RACES: Final = 20


class LateMoney(Struct, frozen=True, kw_only=True):
    """A payment with late money that waits to be decided on, in minor units of its currency; and who looks at it."""

    payment: Payment
    waiting: int
    taken_by: str | None


async def waiting_late_money(
    runtime: Runtime, merchant_id: str | None, limit: int, after_id: str = ""
) -> Sequence[LateMoney]:
    """Payments with late money that nobody has decided on, oldest first, after one of them."""
    found = await runtime.reads.late_money(merchant_id, limit, after_id)
    taken = await runtime.stores.work_owners.of("late_money", [each.payment_id for each in found])
    return [LateMoney(payment=each, waiting=unclaimed(each), taken_by=taken.get(each.payment_id)) for each in found]


async def accept(
    runtime: Runtime, payment_id: str, asked: AskedAct | None = None, /, *, actor: str, reason: str
) -> Change:
    """All that waits becomes the merchant's. Raises NoLateMoney, NeedsSecondPerson and Overloaded."""
    change, _ = await _decided(runtime, payment_id, actor, reason, accept_late_money, asked)
    return change


async def give_back(
    runtime: Runtime, payment_id: str, asked: AskedAct | None = None, /, *, actor: str, reason: str
) -> Change | None:
    """All that waits is refunded at the provider. Returns what its answer came to, or None where it said nothing yet:
    recovery finishes what is open. Raises NoLateMoney, NeedsSecondPerson, Overloaded, and ProviderNotConfigured: then
    nothing was written."""
    attempt_id = new_id("att")
    deadline_ms = send_by(runtime)

    def opened(stored: PaymentSnapshot, cause: Cause) -> Change:
        nonlocal deadline_ms
        charge = next(each for each in stored.attempts if each.operation == "authorize")
        if runtime.lacks(charge.provider, charge.account, charge.payment_id):
            where = f"{charge.provider}/{charge.account}"
            raise ProviderNotConfigured(f"{where}, which has the charge, is not configured here; nothing was executed")
        deadline_ms = send_by(runtime)
        return return_late_money(stored, attempt_id, cause, runtime.terms(stored.payment.provider))

    change, stored = await _decided(runtime, payment_id, actor, reason, opened, asked)
    return await carry_out(runtime, stored.after(change), attempt_id, deadline_ms)


async def _decided(
    runtime: Runtime,
    payment_id: str,
    actor: str,
    reason: str,
    decision: Callable[[PaymentSnapshot, Cause], Change],
    asked: AskedAct | None,
) -> tuple[Change, PaymentSnapshot]:
    change_id = new_id("chg")
    for _ in range(RACES):
        merchant_id = await runtime.reads.merchant_of_late_money(payment_id)
        loaded = None if merchant_id is None else await runtime.reads.load(merchant_id, payment_id)
        if loaded is None:
            raise NoLateMoney(f"there is no payment {payment_id} that ever had late money")
        payment = loaded.stored.payment
        await require_second_person(runtime, asked, payment_id, payment.currency, unclaimed(payment))
        cause = Cause(
            change_id=change_id,
            at=runtime.clock.now(),
            trigger="operator",
            actor=actor,
            evidence={"operator": {"reason": reason}},
        )
        change = carrying(asked, decision(loaded.stored, cause), cause.at)
        if isinstance(await runtime.journal.commit(change), Fresh):
            return change, loaded.stored
    raise Overloaded("the payment is changed by too many others")
