"""The one line that a request with an instruction ends in: what was asked, what was done, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

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


_ANSWERED: Final = msgspec.json.Decoder(_Answered)


class Trail(Awaited):
    """What is known of an instruction while it is carried out; each step adds to it. ``before``: its payment as it
    stood. ``stored``: what was found under its key."""

    __slots__ = ("before", "calls", "change", "found", "instruction", "outcome", "replayed", "started_ns", "verdict")

    def __init__(self) -> None:
        super().__init__()
        self.started_ns = monotonic_ns()
        self.instruction: Instruction | None = None
        self.before: Payment | None = None
        self.change: Change | None = None
        self.outcome: Change | None = None
        self.verdict: Verdict | None = None
        self.calls = 0
        self.found: StoredInstruction | None = None
        self.replayed = False

    def began(self, before: Payment | None, change: Change) -> None:
        """Its intent, or its refusal, is committed."""
        self.before, self.change = before, change

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
    attempt, payment, refund = _subjects(of)
    change, answered = of.change, _answered(of, status, body)
    subject = refund or payment
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
        (of.found and of.found.payment_id) or (change and change.stream_id) or (of.before and of.before.payment_id),
        (refund and refund.refund_id) or _refund_of(of.found),
        attempt and attempt.attempt_id,
        of.calls,
        attempt and attempt.provider,
        attempt and attempt.account,
        (of.verdict and of.verdict.reference)
        or (attempt and attempt.provider_reference)
        or (payment and payment.provider_reference),
        of.verdict and verdict_name(of.verdict),
        subject and subject.failure and subject.failure.code,
        None if refund is not None else of.before and of.before.state,
        answered.state or (subject and subject.state),
        answered.version or (subject and subject.version),
        attempt and attempt.amount,
        attempt and attempt.currency,
        _money(of, attempt, status),
        of.instruction and of.instruction.traceparent,
        duration_ms(of.started_ns),
    )
    if step is None:
        INSTRUCTION.say(*values)
    else:
        step.end(*values, failed=status is None or status >= 500)


def _subjects(of: Trail) -> tuple[Attempt | None, Payment | None, Refund | None]:
    """As the instruction's last change left them."""
    if of.change is None:
        return None, None, None
    attempt, refund = of.change.one(Attempt), of.change.one(Refund)
    payment = of.change.one(Payment) or of.before
    if of.outcome is not None:
        of_it = [each for each in of.outcome.every(Attempt) if attempt and each.attempt_id == attempt.attempt_id]
        attempt = of_it[0] if of_it else attempt
        payment, refund = of.outcome.one(Payment) or payment, of.outcome.one(Refund) or refund
    return attempt, payment, refund


def _answered(of: Trail, status: int | None, body: bytes) -> _Answered:
    """What the answer alone says: a problem's code; and where its subject stands, where no change here says it."""
    if status is None or (status < 400 and of.outcome is not None):
        return _Answered()
    try:
        return _ANSWERED.decode(body)
    except msgspec.MsgspecError:
        return _Answered()


def _money(of: Trail, attempt: Attempt | None, status: int | None) -> str | None:
    """None where another process had the outcome first: its own line says what came of the money."""
    if attempt is None or (of.outcome is None and status in (200, 201)):
        return None
    return money_of(attempt)


def _refund_of(found: StoredInstruction | None) -> str | None:
    return found.subject_id if found is not None and found.subject_id != found.payment_id else None
