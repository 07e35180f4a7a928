"""The one line that a request with an instruction ends in: what was asked, what was done, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, cast

import msgspec
from msgspec import Struct

from tallystick.decisions.instructions import Instruction
from tallystick.domain.change import Change
from tallystick.domain.instruction import StoredInstruction
from tallystick.domain.subjects import Attempt, Payment, Refund
from tallystick.domain.verdicts import Verdict, verdict_name
from tallystick.kit.clock import monotonic_ns
from tallystick.kit.log_lines import Line
from tallystick.kit.steps import Awaited, Step, awaited, duration_ms
from tallystick.record.commit_lines import money_of

INSTRUCTION: Final = Line(
    "instruction",
    "info",
    "tallystick.interfaces.api",
    {
        "request_id": "own",
        "operation": "own",
        "status": "own",
        "code": "own",
        "replayed": "own",
        "merchant_id": "word",
        "key_id": "own",
        "key_kind": "own",
        "idempotency_key": "text",
        "payment_id": "own",
        "refund_id": "own",
        "attempt_id": "own",
        "calls": "own",
        "provider": "word",
        "account": "word",
        "provider_reference": "text",
        "verdict": "own",
        "failure": "word",
        "from_state": "own",
        "state": "own",
        "version": "own",
        "amount": "own",
        "currency": "own",
        "money": "own",
        "traceparent": "own",
        "duration_ms": "own",
    },
)


class _Answered(Struct, frozen=True):
    """What an answer says, of all that it has."""

    code: str | None = None
    state: str | None = None
    version: int | None = None


_NOTHING: Final = _Answered()
_ANSWERED: Final = msgspec.json.Decoder(_Answered)


class Trail(Awaited):
    """What is known of an instruction while it is carried out; each step adds to it. ``before``: its payment as it
    stood. ``stored``: what was found under its key."""

    __slots__ = (
        "attempt",
        "before",
        "calls",
        "found",
        "has_begun",
        "has_ended",
        "instruction",
        "payment",
        "refund",
        "replayed",
        "started_ns",
        "verdict",
    )

    def __init__(self) -> None:
        super().__init__()
        self.started_ns = monotonic_ns()
        self.instruction: Instruction | None = None
        self.before: Payment | None = None
        self.payment: Payment | None = None
        self.attempt: Attempt | None = None
        self.refund: Refund | None = None
        self.has_begun = self.has_ended = self.replayed = False
        self.verdict: Verdict | None = None
        self.calls = 0
        self.found: StoredInstruction | None = None

    def began(self, before: Payment | None, change: Change) -> None:
        """Its intent, or its refusal, is committed."""
        self.has_begun = True
        self.before = self.payment = before
        self._learn(change)

    def ended(self, outcome: Change | None) -> None:
        """What came of its call is committed; None where the verdict changed nothing, or another process was first."""
        if outcome is not None:
            self.has_ended = True
            self._learn(outcome)

    def _learn(self, change: Change) -> None:
        """Its subjects as the change left them."""
        for subject in change.subjects:
            kind = type(subject)
            if kind is Payment:
                self.payment = cast(Payment, subject)
            elif kind is Refund:
                self.refund = cast(Refund, subject)
            elif kind is Attempt:
                attempt = cast(Attempt, subject)
                if self.attempt is None or attempt.attempt_id == self.attempt.attempt_id:
                    self.attempt = attempt

    def called(self, verdict: Verdict) -> None:
        """The provider was asked, and this came back."""
        self.calls += 1
        self.verdict = verdict


def trail() -> Trail | None:
    """That of the request that waits for what this task does; None where none does."""
    found = awaited()
    return found if isinstance(found, Trail) else None


def say_instruction(
    of: Trail,
    step: Step | None,
    *,
    request_id: str,
    operation: str,
    status: int | None,
    body: bytes,
    asked_by: Mapping[str, str],
) -> None:
    """Say the line. ``status`` is None where nobody waits for an answer any more."""
    of.is_said = True
    attempt, payment, refund, verdict = of.attempt, of.payment, of.refund, of.verdict
    subject: Payment | Refund | None = refund or payment
    answered = _NOTHING if status is None or (status < 400 and of.has_ended) else _answered(body)
    values = (
        request_id,
        operation,
        status,
        answered.code,
        of.replayed or None,
        asked_by.get("merchant_id"),
        asked_by.get("key_id"),
        asked_by.get("key_kind"),
        of.idempotency_key,
        payment.payment_id if payment is not None else of.found and of.found.payment_id,
        refund.refund_id if refund is not None else _refund_of(of.found),
        attempt and attempt.attempt_id,
        of.calls,
        attempt and attempt.provider,
        attempt and attempt.account,
        (verdict and verdict.reference)
        or (attempt and attempt.provider_reference)
        or (payment and payment.provider_reference),
        verdict and verdict_name(verdict),
        subject and subject.failure and subject.failure.code,
        of.before.state if of.before is not None and refund is None else None,
        answered.state or (subject and subject.state),
        answered.version or (subject and subject.version),
        attempt and attempt.amount,
        attempt and attempt.currency,
        # Where another process had the outcome first, its own line says what came of the money.
        money_of(attempt) if attempt is not None and (of.has_ended or status not in (200, 201)) else None,
        of.instruction and of.instruction.traceparent,
        duration_ms(of.started_ns),
    )
    if step is None:
        INSTRUCTION.say(*values)
    else:
        step.end(*values, failed=status is None or status >= 500)


def _answered(body: bytes) -> _Answered:
    """What the answer alone says: a problem's code; and where its subject stands, where no change here says it."""
    try:
        return _ANSWERED.decode(body)
    except msgspec.MsgspecError:
        return _NOTHING


def _refund_of(found: StoredInstruction | None) -> str | None:
    return found.subject_id if found is not None and found.subject_id != found.payment_id else None
