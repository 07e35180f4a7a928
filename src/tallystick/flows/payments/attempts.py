"""From a committed intent to a committed outcome: call the provider, decide, commit. Used by every flow."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import Any, Literal, NamedTuple

from tallystick.decisions.change_builder import Cause
from tallystick.decisions.lookups import answer_of_submission
from tallystick.decisions.operator_acts import carrying
from tallystick.decisions.verdicts import apply_verdict
from tallystick.domain.change import Change
from tallystick.domain.measures import PROVIDER_CALLS, SUBMISSIONS
from tallystick.domain.money import Exponents
from tallystick.domain.operator_act import AskedAct
from tallystick.domain.provider_amounts import verdict_about
from tallystick.domain.snapshot import PaymentSnapshot
from tallystick.domain.subjects import Attempt, Payment
from tallystick.domain.verdicts import Approved, Declined, Unknown, Verdict, verdict_name
from tallystick.flows.payments.call_line import CALLED, end_call
from tallystick.flows.payments.instruction_line import trail
from tallystick.flows.payments.kept_answers import AnswerKept
from tallystick.flows.runtime import Runtime
from tallystick.kit import trace_context
from tallystick.kit.clock import monotonic_ms
from tallystick.kit.ids import new_id, sibling_id
from tallystick.kit.logs import get_logger
from tallystick.kit.steps import begin, span_header
from tallystick.providers.heard import Hearing, heard_answers
from tallystick.providers.port import Provider, ProviderCall, send
from tallystick.record.journal import Stale

log = get_logger("tallystick.flows.payments.attempts")

#: How a verdict came: as the answer to a call, because recovery asked, by an event, or from a person.
VerdictFrom = Literal["answer", "recovery", "webhook", "operator"]


class Answered(NamedTuple):
    """What a provider was asked came to, and what was heard of it. ``heard`` is None where it was not asked."""

    verdict: Verdict
    heard: Hearing | None = None


def provider_call(
    attempt: Attempt,
    send_by_ms: int,
    exponents: Exponents | None = None,
    earliest: datetime | None = None,
    latest: datetime | None = None,
) -> ProviderCall:
    """An attempt as a connector needs it. ``exponents``: those that are stored with its payment."""
    return ProviderCall(
        merchant_id=attempt.merchant_id,
        payment_id=attempt.payment_id,
        attempt_id=attempt.attempt_id,
        operation=attempt.operation,
        amount=attempt.amount,
        currency=attempt.currency,
        payment_method=attempt.payment_method,
        capture=attempt.capture,
        key=attempt.provider_key,
        parent_reference=attempt.parent_reference,
        reference=attempt.provider_reference,
        send_by_ms=send_by_ms,
        exponents=exponents,
        earliest=earliest,
        latest=latest,
    )


async def carry_out(
    runtime: Runtime, stored: PaymentSnapshot, attempt_id: str, send_by_ms: int, *, doubted: bool = False
) -> Change | None:
    """Send an attempt whose submission is committed, and commit its outcome. No transaction is open meanwhile.
    ``doubted``: an earlier submission may have had an effect, so ``NotSent`` for this one proves nothing.

    Returns the committed change, or None if the verdict changed nothing.
    """
    attempt = stored.attempt(attempt_id)
    provider = runtime.provider(attempt.provider)
    call = provider_call(attempt, send_by_ms, stored.payment.exponents)
    SUBMISSIONS[provider.name, attempt.operation, "first" if attempt.submissions == 1 else "again"] += 1
    verdict, heard = await _answered(
        runtime, provider, partial(send, provider), call, stored.payment, attempt, attempt.operation
    )
    sendable = _can_have_been_sent(provider, attempt, stored.payment)
    verdict = answer_of_submission(verdict, doubted=doubted, can_have_been_sent=sendable)
    if (told := trail()) is not None:
        told.called(verdict)
    actor = f"provider:{provider.name}"
    await look_behind(runtime, stored, attempt, verdict, cause="answer", actor=actor)
    kept = AnswerKept(runtime, attempt, heard, "call")
    return await settle_verdict(runtime, stored, attempt_id, verdict, cause="answer", actor=actor, kept=kept)


async def look_behind(
    runtime: Runtime, stored: PaymentSnapshot, attempt: Attempt, verdict: Verdict, *, cause: VerdictFrom, actor: str
) -> None:
    """A provider that refuses to close a charge may have been paid: what it says of the charge comes first, so that a
    crash in between has the refusal told again."""
    if attempt.purpose != "close" or not isinstance(verdict, Declined):
        return
    authorize = next(each for each in stored.attempts if each.operation == "authorize")
    newest, heard = await look_up(runtime, stored.payment, authorize)
    if isinstance(newest, Approved):
        kept = AnswerKept(runtime, authorize, heard, "lookup")
        await settle_verdict(runtime, stored, authorize.attempt_id, newest, cause=cause, actor=actor, kept=kept)


def _can_have_been_sent(provider: Provider, attempt: Attempt, payment: Payment) -> bool:
    """Whether an earlier submission can have been written: no connector writes an amount that it cannot express."""
    told = attempt.operation != "cancel"
    return not told or provider.representable(attempt.amount, attempt.currency, payment.exponents)


async def fetch_verdict(runtime: Runtime, payment: Payment, attempt: Attempt) -> Verdict:
    """As ``look_up``, for whoever records nothing of it."""
    return (await look_up(runtime, payment, attempt)).verdict


async def look_up(runtime: Runtime, payment: Payment, attempt: Attempt) -> Answered:
    """Look up an attempt of the payment at the provider. The question is bounded by when the provider can have received
    it: from its opening on the database's clock until the last submission cannot be under way any more. Another account
    than the attempt's is not asked: its "no such charge" would prove nothing."""
    if not runtime.serves(attempt.provider, attempt.account):
        return Answered(Unknown(reason=f"lookup: {attempt.provider}/{attempt.account} is not configured here"))
    provider = runtime.provider(attempt.provider)
    earliest = latest = None
    sent = await runtime.reads.sent_between(attempt)
    if sent is not None:
        asked = runtime.clocks.asked_between(provider, sent.opened_at, sent.deadline)
        earliest, latest = asked.earliest, asked.latest
    call = provider_call(attempt, monotonic_ms(), payment.exponents, earliest, latest)
    return await _answered(runtime, provider, provider.fetch, call, payment, attempt, "fetch")


async def _answered(
    runtime: Runtime,
    provider: Provider,
    ask: Callable[[ProviderCall], Awaitable[Verdict]],
    call: ProviderCall,
    payment: Payment,
    attempt: Attempt,
    call_name: str,
) -> Answered:
    """The verdict in the payment's minor unit. A defect of a connector proves nothing about the money, nor does an
    amount that cannot be expressed here: the outcome is unknown. Where the provider asked to wait, other processes know
    it before the verdict is recorded."""
    started_ms, outcome, heard = monotonic_ms(), "failed", None
    step = begin(CALLED, "client", attempt.traceparent)
    try:
        with trace_context.continued(attempt.traceparent, span_header(step)), heard_answers() as heard:
            verdict = await ask(call)
        outcome = verdict_name(verdict)
        await runtime.pauses.share()
        verdict = verdict_about(payment, verdict)
    except Exception as error:
        failed = type(error).__name__  # its text may repeat what the provider sent
        log.error(
            "connector failed",
            provider=provider.name,
            payment_id=call.payment_id,
            attempt_id=call.attempt_id,
            key_kind=attempt.instructed_by,
            error=failed,
        )
        verdict = Unknown(reason=f"connector failed with {failed}")
    finally:
        PROVIDER_CALLS.observe((provider.name, call_name, outcome), monotonic_ms() - started_ms)
    if step is not None:
        end_call(step, call_name, attempt, verdict)
    return Answered(verdict, heard)


async def settle_verdict(
    runtime: Runtime,
    stored: PaymentSnapshot,
    attempt_id: str,
    verdict: Verdict,
    *,
    cause: VerdictFrom,
    actor: str,
    evidence: dict[str, Any] | None = None,
    asked: AskedAct | None = None,
    kept: AnswerKept | None = None,
) -> Change | None:
    """Commit what ``verdict`` means to the stored attempt; after a lost race, load and decide again. ``stored`` is as
    it was when the verdict was asked for: a negative one is about the submissions until then. What the payer has to do
    next is sealed here, before it becomes part of a change. ``asked``: the operator's act that this carries out.
    ``kept``: the provider's answer, which is committed beside what is no plain success."""
    verdict = runtime.actions.verdict(verdict, stored.payment.merchant_id, stored.payment.payment_id)
    change_id = new_id("chg")
    rejection_id = sibling_id("rej", change_id)
    judged = stored.attempt(attempt_id)
    checks = runtime.checks(judged.provider, learned_late=cause != "answer")
    while True:
        step = Cause(change_id=change_id, at=runtime.clock.now(), trigger=cause, actor=actor, evidence=evidence)
        change = apply_verdict(stored, attempt_id, verdict, step, rejection_id, checks, submissions=judged.submissions)
        if change is None:
            return None
        change = carrying(asked, change, step.at)
        if kept is not None:
            change = await kept.beside(change, verdict, step.at)
        if not isinstance(await runtime.journal.commit(change), Stale):
            if change.rejections:
                report_rejections(change, **_names(stored.attempt(attempt_id), verdict))
            return change
        loaded = await runtime.reads.load(change.merchant_id, change.stream_id)
        if loaded is None:
            raise LookupError(f"payment {change.stream_id} is gone")
        stored = loaded.stored


def _names(attempt: Attempt, verdict: Verdict) -> dict[str, Any]:
    return {
        "attempt_id": attempt.attempt_id,
        "operation": attempt.operation,
        "idempotency_key": attempt.idempotency_key,
        "provider_reference": verdict.reference or attempt.provider_reference,
        "verdict": verdict_name(verdict),
        "key_kind": attempt.instructed_by,
        **({} if attempt.traceparent is None else {"traceparent": attempt.traceparent}),
    }


def report_rejections(change: Change, **known: Any) -> None:
    """Log what the committed ``change`` recorded as rejected, with the kind of the key whose instruction led to it: a
    provider's event has one where it is about such an attempt. What waits for a person says where: late money in its
    list, everything else as a case."""
    late = any(step.event == "late_capture" for step in change.transitions)
    for rejection in change.rejections:
        where = {}
        if rejection.alert:
            case_id = sibling_id("case", rejection.rejection_id)
            look = "tallystick late-money list" if late else f"tallystick rejections show {case_id}"
            where = {"case_id": case_id, "next": look}
        log.error(
            "transition rejected",
            alert=rejection.alert,
            reason=rejection.reason,
            payment_id=rejection.stream_id,
            **where,
            **{"key_kind": rejection.key_kind} | known,
        )


def send_by(runtime: Runtime) -> int:
    """The deadline for writing an attempt decided now to its socket, on the local monotonic clock. Taken before the
    commit, so that it is never later than the deadline on the database's clock."""
    return monotonic_ms() + runtime.settings.send_window_ms
