"""The model: payments and refunds in plain Python, written from the contract and from nothing else.

An instruction is *begun* (or refused), and *finished* once the bank's word on it is known. Between the two it is open.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

#: What the bank will do with an instruction, in the words of the model:
#: the faults of its sends, and whether the money moves in the end. None: it depends on what happens meanwhile.
STORIES: dict[str, tuple[tuple[str, ...], bool | None]] = {
    "ok": ((), True),
    "slow": (("slow",), True),
    "declined": (("declined",), False),
    "pending": (("pending",), None),
    "action_required": (("action_required",), None),
    "timeout_charged": (("timeout_charged",), True),
    "timeout_not_charged": (("timeout_not_charged",), True),
    "error_charged": (("crash",), True),
    "refused": (("refused",), True),
    "refused_then_timeout": (("refused", "timeout_charged"), True),
    "never_charged": (("timeout_not_charged",) * 5, False),
    "late_answer": (("late_answer",), True),
    "key_taken": ((), None),
}

#: Stories after which the client's first call is answered finally.
PROMPT = ("ok", "slow", "declined")

#: Stories whose outcome nobody knows until the bank is asked.
DOUBTFUL = ("timeout_charged", "timeout_not_charged", "error_charged", "never_charged", "key_taken")

STATUS = {"create": 201, "refund": 201, "capture": 200, "cancel": 200}


@dataclass
class Refund:
    """Money on its way back. ``state`` as in the contract."""

    amount: int
    state: str = "submitting"
    refund_id: str = ""


@dataclass
class Payment:
    """A payment as the contract describes it. ``captured_by_hand``: in the bank's own dashboard, and nobody told us;
    ``refused``: the bank refused something, so it will be asked why. ``late``: captured after the payment had ended; of
    that ``accepted`` for the merchant and ``returned`` to the payer. ``in_parts``: captures by the bank's own names."""

    amount: int
    manual: bool
    state: str = "authorizing"
    authorized: int = 0
    captured: int = 0
    refunds: list[Refund] = field(default_factory=list)
    payment_id: str = ""
    captured_by_hand: bool = False
    refused: bool = False
    late: int = 0
    accepted: int = 0
    returned: int = 0
    in_parts: bool = False

    def waiting(self) -> int:
        """Late money that nobody has decided on."""
        return self.late - self.accepted - self.returned

    def refunded(self) -> int:
        """What arrived back."""
        return sum(refund.amount for refund in self.refunds if refund.state == "succeeded")

    def refund_pending(self) -> int:
        """What is promised."""
        return sum(refund.amount for refund in self.refunds if refund.state in ("submitting", "pending"))

    def left(self) -> int:
        """What may still be refunded: captured, or late and accepted, minus all refunds not failed."""
        return self.captured + self.accepted - self.refunded() - self.refund_pending()


@dataclass
class Instruction:
    """One key and everything that was ever asked under it. ``asked_amount`` is what the client sent; ``amount`` what
    that means."""

    key: str
    kind: str
    amount: int | None
    asked_amount: int | None
    payment: Payment
    story: str = "ok"
    refund: Refund | None = None
    before: str = ""
    progress: str = "open"  # open | final | refused
    recorded: tuple[int, bytes] | None = None
    subject_state: tuple[str, ...] = ()

    def doubtful(self) -> bool:
        """Whether nobody can know yet what became of it."""
        return self.progress == "open" and self.story in DOUBTFUL


class Shop:
    """All payments of one merchant, as they must be."""

    def __init__(self) -> None:
        self.payments: list[Payment] = []
        self.instructions: list[Instruction] = []

    def begin(self, instruction: Instruction) -> bool:
        """Whether the contract allows it; then it is open."""
        self.instructions.append(instruction)
        payment, amount = instruction.payment, instruction.amount
        match instruction.kind:
            case "create":
                self.payments.append(payment)
            case "capture":
                allowed = payment.state == "authorized"
                if not allowed or (amount is not None and amount > payment.authorized):
                    return self._refuse(instruction)
                instruction.amount = payment.authorized if amount is None else amount
                payment.state = "capturing"
            case "cancel":
                if payment.state not in ("authorized", "requires_action"):
                    return self._refuse(instruction)
                instruction.before, payment.state = payment.state, "canceling"
            case "refund":
                asked = payment.left() if amount is None else amount
                if not (payment.captured or payment.accepted) or not 0 < asked <= payment.left():
                    return self._refuse(instruction)
                instruction.refund = Refund(asked)
                payment.refunds.append(instruction.refund)
        self._first_answer(instruction)
        return True

    def refuse(self, instruction: Instruction) -> None:
        """It met a payment that something else was under way on."""
        self.instructions.append(instruction)
        instruction.progress = "refused"

    def recover(self) -> None:
        """Time passes and the bank is asked: whatever it knows is known now."""
        for instruction in self.instructions:
            money_moves = STORIES[instruction.story][1]
            if instruction.progress == "open" and money_moves is not None:
                self.finish(instruction, executed=money_moves)
        for payment in self.payments:
            if payment.captured_by_hand and payment.refused and payment.state == "authorized":
                payment.state, payment.captured = "captured", payment.amount

    def mature(self) -> None:
        """The bank made up its mind about what was pending, and is asked."""
        for instruction in self.instructions:
            if instruction.progress == "open" and instruction.story == "pending":
                self.finish(instruction, executed=True)
        self.recover()

    def finish(self, instruction: Instruction, *, executed: bool) -> None:
        """The bank's word is known, and the instruction is final."""
        payment = instruction.payment
        if instruction.kind in ("capture", "cancel"):
            executed = executed and not payment.captured_by_hand
            payment.refused = payment.refused or not executed
        match instruction.kind:
            case "create" if executed:
                payment.authorized = payment.amount
                held = payment.manual and not payment.captured_by_hand
                payment.captured = 0 if held else payment.amount
                payment.state = "authorized" if held else "captured"
            case "create":
                waited = instruction.story in ("declined", "action_required", "pending")
                payment.state = "declined" if waited else "failed"
            case "capture":
                payment.state = "captured" if executed else "authorized"
                payment.captured = (instruction.amount or 0) if executed else 0
            case "cancel":
                payment.state = "canceled" if executed else instruction.before
                if executed:
                    self._close_create(payment)
            case "refund":
                assert instruction.refund is not None
                instruction.refund.state = "succeeded" if executed else "failed"
        instruction.progress = "final"
        instruction.subject_state = (instruction.refund.state if instruction.refund else payment.state,)

    def customer(self, payment: Payment, *, completes: bool) -> None:
        """The customer acted, or left, and everything that was under way on the payment is known."""
        create = self.create_of(payment)
        cancels = [each for each in self.instructions if each.kind == "cancel" and each.payment is payment]
        cancel = next((each for each in cancels if each.progress == "open"), None)
        if cancel is not None and completes and payment.manual and STORIES[cancel.story][1] is not False:
            # The hold came, and the cancel released it: nobody can say whether it was booked in between.
            self.finish(cancel, executed=True)
            create.subject_state = ("authorized", "canceled")
            return
        self.finish(create, executed=completes)
        if cancel is not None:
            # It lost: its answer is whatever the payment was when the bank refused it.
            cancel.progress, cancel.subject_state = "final", ("requires_action", payment.state)

    def settle(self, instruction: Instruction, *, executed: bool) -> None:
        """A person has looked at what the bank has under a key that was used before."""
        payment = instruction.payment
        if executed:
            payment.authorized = payment.captured = payment.amount
        payment.state = "captured" if executed else "failed"
        instruction.progress, instruction.subject_state = "final", (payment.state,)

    def expire(self) -> None:
        """Weeks pass: nobody captured, or the customer never acted."""
        for payment in self.payments:
            if payment.state in ("authorized", "requires_action"):
                if payment.captured_by_hand:
                    payment.state, payment.captured = "captured", payment.amount
                    continue
                payment.state = "expired"
                self._close_create(payment)

    def create_of(self, payment: Payment) -> Instruction:
        """The instruction that made a payment."""
        return next(each for each in self.instructions if each.kind == "create" and each.payment is payment)

    def in_doubt(self, payment: Payment) -> bool:
        """Whether any outcome of a payment or its refunds is unknown."""
        return any(each.payment is payment and each.doubtful() for each in self.instructions)

    def expected(self, payment: Payment) -> dict[str, Any]:
        """What a client must read."""
        return {
            "state": payment.state,
            "final": payment.state in ("captured", "declined", "failed", "canceled", "expired"),
            "amount": payment.amount,
            "amount_authorized": payment.authorized,
            "amount_captured": payment.captured,
            "amount_refunded": payment.refunded(),
            "amount_refund_pending": payment.refund_pending(),
            "in_doubt": self.in_doubt(payment),
        }

    def _first_answer(self, instruction: Instruction) -> None:
        if instruction.story == "pending" and instruction.payment.captured_by_hand and instruction.refund is None:
            instruction.story = "declined"  # the bank has nothing to make up its mind about
        story = instruction.story
        if story in PROMPT:
            self.finish(instruction, executed=STORIES[story][1] is True)
        elif story == "action_required":
            instruction.payment.state = "requires_action"
        elif story == "pending" and instruction.refund is not None:
            instruction.refund.state = "pending"

    def _close_create(self, payment: Payment) -> None:
        create = self.create_of(payment)
        if create.progress == "open":
            create.progress, create.subject_state = "final", (payment.state,)

    def _refuse(self, instruction: Instruction) -> bool:
        instruction.progress = "refused"
        return False
