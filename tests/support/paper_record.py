"""One payment's record on paper: applies changes as the door would, without a database. For the pure decisions."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

from tallystick.decisions.change_builder import Cause
from tallystick.decisions.instructions import (
    Instruction,
    cancel_payment,
    capture_payment,
    create_payment,
    create_refund,
)
from tallystick.decisions.provider_events.dispositions import Ask, Decided, EventDecision, NotYet
from tallystick.decisions.provider_events.route import decide_notice
from tallystick.decisions.terms import Checks, Terms
from tallystick.decisions.verdicts import apply_verdict
from tallystick.domain.change import Change, Message, Rejection, Transfer
from tallystick.domain.lifecycles.attempt import ATTEMPT_OPEN
from tallystick.domain.lifecycles.machines import next_state
from tallystick.domain.notices import Notice
from tallystick.domain.snapshot import PaymentSnapshot, opened_by
from tallystick.domain.subjects import Attempt, Payment
from tallystick.domain.verdicts import Approved, Effect, Verdict

PROVIDER = "bank"
ACCOUNT = "main"
AMOUNT = 1_000
CURRENCY = "EUR"
AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
TERMS = Terms(account=ACCOUNT, send_window_ms=1, request_timeout_ms=1, settling_ms=1)
CHECKS = Checks(unknown_in_ms=1, pending_in_ms=1, not_sent_in_ms=1, authorization_deadline_ms=1)

#: The effect that an approval of each operation reports; of an authorization it depends on the attempt.
EFFECTS: dict[str, Effect] = {"capture": "captured", "cancel": "voided", "refund": "refunded"}


class PaperRecord:
    """A payment, by default of 1,000 EUR, with all that ever happened to it. Ids are counted, so equal lives are equal
    records."""

    def __init__(self, *, automatic: bool = False, amount: int = AMOUNT, currency: str = CURRENCY) -> None:
        self._number = 0
        self._versions: Counter[str] = Counter()
        self.changes: list[Change] = []
        self.transfers: list[Transfer] = []
        self.rejections: list[Rejection] = []
        self.messages: list[Message] = []
        self._stored: PaymentSnapshot | None = None
        self.apply(
            create_payment(
                self._instruction(),
                "pay_1",
                amount=amount,
                currency=currency,
                payment_method="card",
                automatic=automatic,
                provider=PROVIDER,
                description=None,
                metadata={},
                terms=TERMS,
            )
        )

    @property
    def stored(self) -> PaymentSnapshot:
        """As it is loaded for a decision."""
        assert self._stored is not None
        return self._stored

    @property
    def payment(self) -> Payment:
        """The payment as it is now."""
        return self.stored.payment

    def attempt(self, operation: str) -> Attempt | None:
        """The operation's latest attempt."""
        return next((each for each in reversed(self.stored.attempts) if each.operation == operation), None)

    def capture(self, amount: int | None = None) -> None:
        """The merchant wants the money."""
        self.apply(capture_payment(self._instruction(), self.payment, amount, TERMS))

    def cancel(self) -> None:
        """The merchant lets go."""
        self.apply(cancel_payment(self._instruction(), self.payment, TERMS))

    def refund(self, amount: int | None = None) -> None:
        """The merchant pays back."""
        instruction = self._instruction()
        refund_id = f"re_{self._number}"
        self.apply(
            create_refund(
                instruction, self.payment, self.stored.disputes, refund_id, amount=amount, reason=None, terms=TERMS
            )
        )

    def answer(self, operation: str, verdict: Verdict | None = None) -> Change | None:
        """The provider's answer to our own call; by default it approves what was asked."""
        attempt = self.attempt(operation)
        assert attempt is not None
        said = approval(attempt) if verdict is None else verdict
        change = apply_verdict(self.stored, attempt.attempt_id, said, self.step(), self._id("rej"), CHECKS)
        if change is not None:
            self.apply(change)
        return change

    def decide(
        self,
        notice: Notice | None,
        newest: Verdict | None = None,
        *,
        provider: str = PROVIDER,
        account: str = ACCOUNT,
        unsettled_ms: int = 0,
    ) -> EventDecision:
        """What an event comes to, by itself."""
        return decide_notice(
            self.stored,
            notice,
            provider=provider,
            account=account,
            cause=self.step(),
            rejection_id=self._id("rej"),
            checks=CHECKS,
            newest=newest,
            unsettled_ms=unsettled_ms,
        )

    def take(self, notice: Notice | None, newest: Verdict | None = None, *, unsettled_ms: int = 0) -> str:
        """What an event comes to, and does: its disposition, or ``ask`` or ``later``."""
        outcome = self.decide(notice, newest, unsettled_ms=unsettled_ms)
        if isinstance(outcome, Decided) and outcome.change is not None:
            self.apply(outcome.change)
        match outcome:
            case Decided():
                return outcome.disposition
            case Ask():
                return "ask"
            case NotYet():
                return "later"

    def apply(self, change: Change) -> None:
        """As the door would: every version is the next one, every edge is in the tables, every ledger row belongs to a
        step of the change, and what was told is told at a version that is new. Raises AssertionError."""
        steps = {(step.subject_id, step.version) for step in change.transitions}
        assert len(steps) == len(change.transitions)
        for step in change.transitions:
            assert step.version == self._versions[step.subject_id] + 1, f"{step.subject_id} is stale"
            assert next_state(step.subject, step.from_state, step.event) == step.to_state
            self._versions[step.subject_id] = step.version
        legs = {(row.subject_id, row.version, row.leg) for row in change.transfers}
        assert len(legs) == len(change.transfers)
        assert {leg[:2] for leg in legs} <= steps, "a ledger row without a step of history"
        for row in change.transfers:
            assert row.amount > 0 and row.debit != row.credit
        told = {(message.version, message.subject_id) for message in self.messages}
        for message in change.messages:
            assert (message.version, message.subject_id) not in told, "one place in the order, twice"
            payment = change.one(Payment)
            assert payment is not None and message.version == payment.version
        self.changes.append(change)
        self.transfers += change.transfers
        self.rejections += change.rejections
        self.messages += change.messages
        self._stored = opened_by(change) if self._stored is None else self._stored.after(change)
        self._check()

    def sums(self) -> dict[str, int]:
        """Each account's debits less its credits, where they differ."""
        sums: Counter[str] = Counter()
        for row in self.transfers:
            sums[row.debit] += row.amount
            sums[row.credit] -= row.amount
        return {account: amount for account, amount in sorted(sums.items()) if amount}

    def step(self) -> Cause:
        """The next step's cause."""
        number = self._next()
        at = AT + timedelta(seconds=number)
        actor, evidence = f"provider:{PROVIDER}", {"event_id": f"evt_{number}"}
        return Cause(change_id=f"chg_{number}", at=at, trigger="webhook", actor=actor, evidence=evidence)

    def _check(self) -> None:
        payment = self.payment
        pending = sum(refund.amount for refund in self.stored.refunds if refund.state in ("submitting", "pending"))
        succeeded = sum(refund.amount for refund in self.stored.refunds if refund.state == "succeeded")
        assert (payment.amount_refunded, payment.amount_refund_pending) == (succeeded, pending)
        assert 0 <= payment.amount_captured <= payment.amount_authorized <= payment.amount
        came = payment.amount_captured + payment.amount_late_accepted
        assert payment.amount_refunded + payment.amount_refund_pending <= came
        sums = self.sums()
        holding = payment.amount_authorized if payment.state in ("authorized", "capturing", "canceling") else 0
        assert sums.get(f"authorized:{PROVIDER}", 0) == holding
        assert -sums.get(f"refunds_in_flight:{PROVIDER}", 0) == pending
        undecided = [dispute for dispute in self.stored.disputes if dispute.state not in ("won", "lost")]
        assert -sums.get("dispute_reserve", 0) == sum(dispute.amount for dispute in undecided)
        if payment.state not in ("authorizing", "requires_action", "canceling", "capturing"):
            awaited = [each for each in self.stored.attempts if each.operation != "refund" and each.purpose != "close"]
            assert not [each for each in awaited if each.state in ATTEMPT_OPEN], "an attempt that nobody awaits"

    def _instruction(self) -> Instruction:
        number = self._next()
        return Instruction(
            merchant_id="m1",
            idempotency_key=f"key-{number}",
            operation="POST",
            path="/v1/payments",
            fingerprint=b"f",
            fingerprint_version=1,
            request=b"{}",
            actor="key:test",
            request_id=f"req_{number}",
            instruction_id=f"ins_{number}",
            change_id=f"chg_{number}",
            attempt_id=f"att_{number}",
            rejection_id=f"rej_{number}",
            at=AT + timedelta(seconds=number),
        )

    def _id(self, prefix: str) -> str:
        return f"{prefix}_{self._next()}"

    def _next(self) -> int:
        self._number += 1
        return self._number


def approval(attempt: Attempt, amount: int | None = None) -> Approved:
    """The provider did what the attempt asked for."""
    effect: Effect = EFFECTS.get(attempt.operation) or ("captured" if attempt.capture else "authorized")
    return Approved(
        amount=attempt.amount if amount is None else amount,
        currency=attempt.currency,
        effect=effect,
        reference=f"ref_{attempt.attempt_id}",
    )
