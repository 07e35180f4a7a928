"""What a call to a provider says: a step."""

from __future__ import annotations

from typing import Final

from tallystick.domain.subjects import Attempt
from tallystick.domain.verdicts import Unknown, Verdict, verdict_name
from tallystick.kit.log_lines import Line
from tallystick.kit.steps import Step

#: One call, or one look-up (``call`` is then ``fetch``), with what came back.
CALLED: Final = Line(
    "provider called",
    "debug",
    "tallystick.flows.payments",
    {
        "call": "own",
        "merchant_id": "word",
        "payment_id": "own",
        "refund_id": "own",
        "idempotency_key": "text",
        "key_kind": "own",
        "attempt_id": "own",
        "submissions": "own",
        "provider": "word",
        "account": "word",
        "provider_key": "own",
        "provider_reference": "text",
        "amount": "own",
        "currency": "own",
        "verdict": "own",
        "reason": "text",
        "traceparent": "own",
        "duration_ms": "own",
    },
)


def end_call(step: Step, call: str, attempt: Attempt, verdict: Verdict) -> None:
    """Say the step: what was asked of the attempt, and what came back."""
    step.end(
        call,
        attempt.merchant_id,
        attempt.payment_id,
        attempt.refund_id,
        attempt.idempotency_key,
        attempt.instructed_by,
        attempt.attempt_id,
        attempt.submissions,
        attempt.provider,
        attempt.account,
        attempt.provider_key,
        verdict.reference or attempt.provider_reference,
        attempt.amount,
        attempt.currency,
        verdict_name(verdict),
        getattr(verdict, "reason", None) or getattr(verdict, "code", None),
        attempt.traceparent,
        step.duration_ms,
        failed=isinstance(verdict, Unknown),
    )
