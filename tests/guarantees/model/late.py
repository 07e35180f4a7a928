"""What may happen to payments after their answer: late money and what an operator decides of it, captures by the bank's
own names, refunds in the dashboard, and a key that was used before a restore."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, Final, ParamSpec

from hypothesis import strategies as st
from hypothesis.stateful import rule

from tallystick.domain.notices import CaptureNotice, ChargeNotice, Notice, RefundNotice
from tallystick.domain.provider_keys import provider_key
from tallystick.domain.verdicts import Approved
from tallystick.flows.operations.late_money import accept, give_back
from tallystick.flows.recovery import in_doubt
from tallystick.kit.ids import new_id
from tests.guarantees.model.driver import Driver
from tests.guarantees.model.provider import STORIES, Instruction, Payment, Refund
from tests.support.crash.provider import Charge
from tests.support.database import Database
from tests.support.inbox import accept as into_the_inbox
from tests.support.inbox import drain, envelope

PICK: Final = st.integers(min_value=0, max_value=999)

#: How a return goes whose outcome is known once recovery has asked.
RETURNS: Final = ["ok", "declined", "timeout_charged", "timeout_not_charged", "refused", "never_charged"]

#: States of a payment that ended, while its charge was never more than a wish.
ENDED: Final = ("declined", "canceled", "expired")

WORDS: Final = {"actor": "kim", "reason": "ticket 7"}

Drawn = ParamSpec("Drawn")
#: A rule's method, which takes the machine and what is drawn for it.
Step = Callable[Concatenate[Any, Drawn], None]


def when(condition: Callable[[Any], object]) -> Callable[[Step[Drawn]], Step[Drawn]]:
    """The step does nothing where its condition does not hold. A precondition would have it not drawn at all; but real
    races end one way or the other, and what is drawn must not depend on that."""

    def decorate(step: Step[Drawn]) -> Step[Drawn]:
        @wraps(step)
        def perhaps(machine: Any, /, *args: Drawn.args, **kwargs: Drawn.kwargs) -> None:
            if condition(machine):
                step(machine, *args, **kwargs)

        return perhaps

    return decorate


class AfterTheEnd(Driver):
    """Rules of what comes after the answer."""

    @rule(which=PICK, amount=st.sampled_from([1, 600, 1_000]))
    @when(lambda self: not self._bank.forgetful and not self.still_in_doubt())
    def key_used_before(self, which: int, amount: int) -> None:
        """A client sends an instruction again that the record has forgotten, and the bank has not."""
        instruction = self._new("create", amount, Payment(amount, manual=False), "key_taken")
        self._bank.done_before_the_restore(self._merchant_id, instruction.key, amount)
        self._shop.begin(instruction)
        self._check(instruction, self._life.run(self._send(self._life.runtime, instruction)), replayed=False)

    @rule(which=PICK, executed=st.booleans())
    @when(lambda self: self.still_in_doubt())
    def a_person_settles(self, which: int, executed: bool) -> None:
        """With the reference of what the bank has under the key."""
        open_ones = self._of_taken_keys()
        instruction = open_ones[which % len(open_ones)]
        self._shop.recover()
        self._recover()
        charge = next(each for each in self._bank.charges if each.payment_id == f"pay_lost_{instruction.key}")
        self._life.run(self._settled(instruction, charge, executed=executed))
        if executed:
            charge.payment_id = instruction.payment.payment_id
        self._shop.settle(instruction, executed=executed)

    @rule(which=PICK)
    @when(lambda self: self._never_paid())
    def paid_all_the_same(self, which: int) -> None:
        """A charge that was declined is captured, and the bank tells it: the money waits in suspense."""
        payment, charge = self._never_paid()[which % len(self._never_paid())]
        self._bank.paid_all_the_same(charge)
        word = Approved(amount=charge.captured, currency="EUR", effect="captured", reference=charge.charge_id)
        self._told(payment, ChargeNotice(verdict=word))
        payment.late = charge.captured

    @rule(which=PICK, accepts=st.booleans(), story=st.sampled_from(RETURNS))
    @when(lambda self: self._waiting())
    def an_operator_decides(self, which: int, accepts: bool, story: str) -> None:
        """Late money becomes the merchant's, or is paid back: then the bank's word on that decides."""
        payment = self._waiting()[which % len(self._waiting())]
        if accepts:
            self._life.run(accept(self._life.runtime, payment.payment_id, **WORDS))
            payment.accepted += payment.waiting()
            return
        self._life.run(self._given_back(payment, story))
        self._shop.recover()
        self._recover()
        if STORIES[story][1]:
            payment.returned += payment.waiting()

    @rule(which=PICK, amount=st.sampled_from([1, 333, 600]))
    @when(lambda self: self._holds())
    def captured_in_parts(self, which: int, amount: int) -> None:
        """One part of a hold, by the bank's own name for it; told twice."""
        payment, charge = self._holds()[which % len(self._holds())]
        part = min(amount, payment.authorized - payment.captured)
        charge.status, charge.captured, charge.by_dashboard = "captured", charge.captured + part, True
        notice = CaptureNotice(reference=new_id("req"), amount=part, currency="EUR")
        self._told(payment, notice, notice)
        payment.state, payment.in_parts = "captured", True
        payment.captured += part

    @rule(which=PICK, amount=st.sampled_from([1, 333, 600]))
    @when(lambda self: self._refundable())
    def refunded_in_the_dashboard(self, which: int, amount: int) -> None:
        """Of what the merchant has, a refund; of late money that nobody decided on, its return."""
        payment, charge = self._refundable()[which % len(self._refundable())]
        most = payment.left() if payment.captured + payment.accepted else payment.waiting()
        amount = min(amount, most)
        charge.refunded += amount
        notice = RefundNotice(reference=new_id("req"), amount=amount, currency="EUR")
        self._told(payment, notice, notice)
        if payment.captured + payment.accepted:
            payment.refunds.append(Refund(amount, "succeeded"))
        else:
            payment.returned += amount

    def still_in_doubt(self) -> bool:
        """Whether a person has to settle what a key stands for."""
        return bool(self._of_taken_keys())

    def _of_taken_keys(self) -> list[Instruction]:
        return [each for each in self._shop.instructions if each.story == "key_taken" and each.progress == "open"]

    async def _settled(self, instruction: Instruction, charge: Charge, *, executed: bool) -> None:
        runtime = self._life.runtime
        parked = await in_doubt.parked_attempts(runtime, runtime.stores.schedule_book, self._merchant_id, 1_000)
        [attempt] = [each.attempt for each in parked if each.attempt.idempotency_key == instruction.key]
        await in_doubt.resolve(
            runtime,
            runtime.stores.schedule_book,
            attempt.attempt_id,
            "executed" if executed else "not_executed",
            evidence="recover",
            reference=charge.charge_id,
            **WORDS,
        )

    async def _given_back(self, payment: Payment, story: str) -> None:
        loaded = await self._life.runtime.reads.load(self._merchant_id, payment.payment_id)
        assert loaded is not None
        key = provider_key(self._merchant_id, payment.payment_id, "late_return", loaded.stored.payment.version)
        self._bank.faults[key] = list(STORIES[story][0])
        await give_back(self._life.runtime, payment.payment_id, **WORDS)

    def _told(self, payment: Payment, *notices: Notice) -> None:
        """The bank's events, processed before anything else happens."""

        async def told() -> None:
            for notice in notices:
                event = envelope(new_id("req"), notice, merchant_id=self._merchant_id, payment_id=payment.payment_id)
                await into_the_inbox(Database(self.url, self.url), [event])
            await drain(self._life.runtime, self._merchant_id)

        self._life.run(told())

    def _with_charges(self) -> list[tuple[Payment, Charge]]:
        charges = {charge.payment_id: charge for charge in self._bank.charges}
        return [(each, charges[each.payment_id]) for each in self._shop.payments if each.payment_id in charges]

    def _never_paid(self) -> list[tuple[Payment, Charge]]:
        return [
            (payment, charge)
            for payment, charge in self._with_charges()
            if payment.state in ENDED and not payment.manual and charge.status == "declined"
        ]

    def _waiting(self) -> list[Payment]:
        return [payment for payment in self._shop.payments if payment.waiting()]

    def _holds(self) -> list[tuple[Payment, Charge]]:
        """Holds of which a part is left, and that nobody captures otherwise meanwhile."""
        return [
            (payment, charge)
            for payment, charge in self._with_charges()
            if payment.authorized > payment.captured
            and not payment.captured_by_hand
            and (payment.state == "authorized" or (payment.state == "captured" and payment.manual))
        ]

    def _refundable(self) -> list[tuple[Payment, Charge]]:
        return [
            (payment, charge)
            for payment, charge in self._with_charges()
            if payment.left() > 0 or (not payment.accepted and payment.waiting() > 0)
        ]
