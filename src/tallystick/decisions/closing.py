"""A payment has ended without money, and its payer still holds what the provider gave them to act on: the charge is
closed at the provider too. Pure.

The call is an attempt of its own purpose. It is opened in the change that ends the payment, as not sent, and recovery
sends it: nobody waits for it, and whatever becomes of it moves nothing and is told to nobody. What the payer managed to
pay meanwhile is late money.
"""

from __future__ import annotations

from typing import Final

from tallystick.decisions.change_builder import ChangeBuilder
from tallystick.decisions.terms import CLOSED
from tallystick.domain.change import Change
from tallystick.domain.provider_keys import provider_key
from tallystick.domain.subjects import Attempt, Payment, Schedule
from tallystick.domain.verdicts import Approved, Verdict
from tallystick.kit.ids import sibling_id

#: Recovery sends it in its next round.
_AT_ONCE: Final = Schedule(next_check_in_ms=0, deadline_in_ms=0, settled_in_ms=0)


def payer_may_act(payment: Payment, attempt: Attempt) -> bool:
    """Whether the payer was ever given something to act on: that step alone gives a payment without money the
    provider's name for its charge."""
    waits = "requires_action" in (payment.state, attempt.state)
    return attempt.operation == "authorize" and (waits or payment.provider_reference is not None)


def close_charge(builder: ChangeBuilder, payment: Payment, attempt: Attempt) -> None:
    """Open the call that closes the charge of ``attempt``. Where the provider never named the charge there is nothing
    that it could be asked to close."""
    charge = payment.provider_reference or attempt.provider_reference
    if charge is None:
        return
    opened = builder.open(
        Attempt(
            merchant_id=payment.merchant_id,
            payment_id=payment.payment_id,
            attempt_id=sibling_id("att", builder.cause.change_id),
            version=1,
            state="submitted",
            operation="cancel",
            purpose="close",
            amount=payment.amount,
            currency=payment.currency,
            payment_method=payment.payment_method,
            provider=payment.provider,
            account=attempt.account,
            provider_key=provider_key(payment.merchant_id, payment.payment_id, "close", 1),
            parent_reference=charge,
            submissions=0,
            schedule=_AT_ONCE,
        )
    )
    builder.move(opened, "not_sent", schedule=_AT_ONCE)


def closing_ended(builder: ChangeBuilder, attempt: Attempt, event: str, verdict: Verdict | None = None) -> Change:
    """The outcome of closing a charge: the attempt's, and of nothing else. Where nobody could tell the provider, a
    person should know that the charge may still be paid."""
    reference = attempt.provider_reference
    if isinstance(verdict, Approved):
        reference = verdict.reference or reference
    builder.move(attempt, event, schedule=CLOSED, provider_reference=reference)
    if event == "give_up":
        reason = "the provider could not be told to close the charge: its payer may still pay it"
        failed = sibling_id("rej", builder.cause.change_id)
        builder.reject(failed, attempt, event, origin="recovery", category="conflicting", reason=reason)
    return builder.change(must_not_be_shed=True)
