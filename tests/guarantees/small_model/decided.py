"""The product's own decisions, over numbered snapshots and verdicts: each is taken once for the same input.

Nothing is decided here. A change is committed as the journal commits it: only if it takes the next version of every
subject that it moves.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import msgspec
from msgspec.structs import replace

from tallystick.decisions import instructions as first
from tallystick.decisions import resubmission, verdicts
from tallystick.decisions.change_builder import Cause
from tallystick.decisions.instructions import Instruction
from tallystick.decisions.provider_events.dispositions import EventDecision
from tallystick.decisions.provider_events.route import decide_notice
from tallystick.decisions.terms import Checks, Terms
from tallystick.domain.change import Change
from tallystick.domain.notices import Notice
from tallystick.domain.snapshot import PaymentSnapshot, opened_by
from tallystick.domain.subjects import Attempt, Schedule
from tallystick.domain.verdicts import Verdict
from tests.guarantees.small_model.states import NOTHING

#: The true time. What is explored takes less than a minute, which no rule of it can tell from no time.
NOW: Final = datetime(2030, 1, 1, tzinfo=UTC)

AMOUNT: Final = 1_000

#: Two fit into the payment, so that a provider would execute one instruction twice.
REFUND: Final = 400
CURRENCY: Final = "EUR"
MERCHANT: Final = "mer_1"

TERMS: Final = Terms(account="main", send_window_ms=5_000, request_timeout_ms=5_000, settling_ms=30_000)

_CAUSE: Final = Cause(change_id="chg_1", at=NOW, trigger="small model", actor="small model")
_CHECKS: Final = Checks(unknown_in_ms=1, pending_in_ms=1, not_sent_in_ms=1, authorization_deadline_ms=1)
_BODY: Final = msgspec.json.Decoder(dict[str, Any])


class Step(NamedTuple):
    """What a change came to. ``fresh``: it was committed, so ``after`` is the record's snapshot now. ``answers``: the
    final answers that it recorded, each an instruction and the state of its subject."""

    fresh: bool
    after: int
    answers: tuple[tuple[str, str], ...] = ()
    alerts: tuple[str, ...] = ()
    opened: tuple[str, ...] = ()
    moved: bool = False


class Decided:
    """The tables of one exploration, and every decision over them."""

    def __init__(self) -> None:
        self._snapshots: list[PaymentSnapshot] = []
        self._numbers: dict[bytes, int] = {}
        self._verdicts: list[Verdict] = []
        self._verdict_numbers: dict[bytes, int] = {}
        self._known: dict[Any, Any] = {}

    def snapshot(self, number: int) -> PaymentSnapshot:
        """The snapshot of a number."""
        return self._snapshots[number]

    def attempt(self, number: int, attempt_id: str) -> Attempt:
        """One attempt of a numbered snapshot."""
        return self._snapshots[number].attempt(attempt_id)

    def verdict(self, number: int) -> Verdict:
        """The verdict of a number."""
        return self._verdicts[number]

    def number_of(self, verdict: Verdict) -> int:
        """The verdict's number."""
        return _numbered(verdict, self._verdicts, self._verdict_numbers)

    def create(self, instruction: str, attempt: str, payment: str, provider: str, *, automatic: bool) -> Step:
        """A client's first instruction; its payment is new."""

        def change(_: PaymentSnapshot | None) -> Change:
            return first.create_payment(
                _instruction(instruction, attempt),
                payment,
                amount=AMOUNT,
                currency=CURRENCY,
                payment_method="pm_1",
                automatic=automatic,
                provider=provider,
                description=None,
                metadata={},
                terms=TERMS,
            )

        return self._once(("create", instruction, attempt, payment, provider, automatic), change, NOTHING, NOTHING)

    def follow_up(self, current: int, instruction: str, attempt: str) -> Step:
        """A capture, cancel or refund of the record's payment; it may be refused."""
        asked = _instruction(instruction, attempt)

        def change(stored: PaymentSnapshot) -> Change:
            match operation_of(instruction):
                case "capture":
                    return first.capture_payment(asked, stored.payment, None, TERMS)
                case "cancel":
                    return first.cancel_payment(asked, stored.payment, TERMS)
            name = attempt.replace("att_", "re_")
            return first.create_refund(
                asked, stored.payment, stored.disputes, name, amount=REFUND, reason=None, terms=TERMS
            )

        return self._once(("follow_up", instruction, attempt, current), change, current, current)

    def settle(self, held: int, current: int, attempt: str, verdict: int) -> Step:
        """What a verdict means: decided on the snapshot at hand, and again on the newest after a lost race."""

        def change(stored: PaymentSnapshot) -> Change | None:
            submissions = self.attempt(held, attempt).submissions
            return verdicts.apply_verdict(
                stored, attempt, self._verdicts[verdict], _CAUSE, "rej_1", _CHECKS, submissions=submissions
            )

        return self._once(("settle", held, current, attempt, verdict), change, held, current, again=True)

    def give_up(self, held: int, current: int, attempt: str) -> Step:
        """Recovery ends it as failed."""
        key = ("give_up", held, current, attempt)
        return self._once(key, lambda stored: verdicts.give_up(stored, attempt, _CAUSE), held, current)

    def resubmit(self, held: int, current: int, attempt: str) -> Step:
        """Recovery is about to send it again."""
        key = ("resubmit", held, current, attempt)
        return self._once(key, lambda stored: resubmission.resubmit(stored, attempt, _CAUSE, TERMS), held, current)

    def park(self, held: int, current: int, attempt: str) -> Step:
        """Recovery leaves it to a person, and says so."""
        key = ("park", held, current, attempt)
        step = self._once(key, lambda stored: resubmission.park(stored, attempt, _CAUSE), held, current)
        return step._replace(alerts=(*step.alerts, f"{attempt} is in doubt")) if step.fresh else step

    def event(
        self, current: int, notice: Notice, provider: str, charge: str | None, newest: int
    ) -> tuple[EventDecision, Step]:
        """What a webhook comes to, and its change if it has one."""
        key = ("event", current, self.number_of_notice(notice), provider, charge, newest)
        if key not in self._known:
            decision = decide_notice(
                self._snapshots[current],
                notice,
                provider=provider,
                account="main",
                cause=_CAUSE,
                rejection_id="rej_1",
                checks=_CHECKS,
                charge=charge,
                newest=None if newest == NOTHING else self._verdicts[newest],
            )
            change = getattr(decision, "change", None)
            step = Step(False, current) if change is None else self._committed(change, current)
            self._known[key] = (decision, step)
        found: tuple[EventDecision, Step] = self._known[key]
        return found

    def number_of_notice(self, notice: Notice) -> bytes:
        """What tells notices apart."""
        return msgspec.json.encode(notice)

    def _once(
        self, key: Any, decide: Callable[[Any], Change | None], held: int, current: int, *, again: bool = False
    ) -> Step:
        if key not in self._known:
            self._known[key] = self._decide(decide, held, current, again=again)
        step: Step = self._known[key]
        return step

    def _decide(self, decide: Callable[[Any], Change | None], held: int, current: int, *, again: bool) -> Step:
        change = decide(None if held == NOTHING else self._snapshots[held])
        if change is not None and not self._fits(change, current) and again:
            change = decide(self._snapshots[current])
        if change is None or not self._fits(change, current):
            return Step(False, current)
        return self._committed(change, current)

    def _fits(self, change: Change, current: int) -> bool:
        """The journal's guard: each step takes a version that nobody took."""
        versions = {} if current == NOTHING else _versions(self._snapshots[current])
        for step in change.transitions:
            if step.version != versions.get(step.subject_id, 0) + 1:
                return False
            versions[step.subject_id] = step.version
        return True

    def _committed(self, change: Change, current: int) -> Step:
        after = opened_by(change) if current == NOTHING else self._snapshots[current].after(change)
        attempts = tuple(replace(each, schedule=Schedule(parked=each.schedule.parked)) for each in after.attempts)
        return Step(
            fresh=True,
            after=_numbered(replace(after, attempts=attempts), self._snapshots, self._numbers),
            answers=tuple((each.idempotency_key, _state_in(each.body)) for each in change.responses),
            alerts=tuple(f"{each.event} of {each.subject_id} refused" for each in change.rejections if each.alert),
            opened=tuple(each.attempt_id for each in change.every(Attempt) if each.version == 1),
            moved=bool(change.transitions),
        )


def operation_of(instruction: str) -> str:
    """What an instruction of this name does."""
    return instruction.partition("_")[0].replace("create", "authorize")


def _instruction(name: str, attempt: str) -> Instruction:
    return Instruction(
        merchant_id=MERCHANT,
        idempotency_key=name,
        operation=name,
        path="/",
        fingerprint=b"",
        fingerprint_version=1,
        request=b"{}",
        actor="client",
        request_id="req_1",
        instruction_id="ins_1",
        change_id="chg_1",
        attempt_id=attempt,
        rejection_id="rej_1",
        at=NOW,
    )


def _versions(stored: PaymentSnapshot) -> dict[str, int]:
    payment = stored.payment
    return {
        payment.payment_id: payment.version,
        **{each.attempt_id: each.version for each in stored.attempts},
        **{each.refund_id: each.version for each in stored.refunds},
    }


def _state_in(body: bytes) -> str:
    """The state that an answer shows; a refusal shows none."""
    return str(_BODY.decode(body).get("state", "refused"))


def _numbered(value: Any, values: list[Any], numbers: dict[bytes, int]) -> int:
    name = msgspec.json.encode(value)
    if name not in numbers:
        numbers[name] = len(values)
        values.append(value)
    return numbers[name]
