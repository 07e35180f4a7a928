"""The money write path: create, capture, cancel, refund. Each reads top to bottom: decide, commit the intent, call the
provider, commit the outcome, reply."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

from tallystick.decisions import instructions as decide
from tallystick.decisions.instructions import Instruction
from tallystick.domain.api_keys import over_limit
from tallystick.domain.change import Change
from tallystick.domain.errors import Overloaded, Problem, ProblemField, problem
from tallystick.domain.measures import INSTRUCTIONS
from tallystick.domain.requests.commands import CancelPayment, CapturePayment, CreatePayment, CreateRefund
from tallystick.domain.snapshot import PaymentSnapshot, opened_by
from tallystick.domain.subjects import Attempt, Dispute, Payment
from tallystick.flows.payments.attempts import carry_out, send_by
from tallystick.flows.payments.idempotency import (
    RETRY_AFTER_S,
    Reply,
    answer_existing,
    answer_now,
    existing_or,
    first_answer,
)
from tallystick.flows.payments.instruction_line import trail
from tallystick.flows.runtime import Runtime
from tallystick.kit.ids import new_id
from tallystick.record.journal import Existing, Stale

#: After this many lost races in a row the flow gives up with 503; nothing was written.
DECISION_TRIES = 100

#: New payments are shed first; instructions on existing payments are accepted for longer.
NEW_PAYMENTS_SHARE = 0.8
FOLLOW_UPS_SHARE = 1.0

#: What the provider is told an amount of, on a charge that exists.
AMOUNT_IS_TOLD = frozenset({"capture", "refund"})


async def create_payment(runtime: Runtime, instruction: Instruction, command: CreatePayment, provider: str) -> Reply:
    """Charge or hold money. Raises Overloaded (nothing executed) and OutcomeUnknown."""
    runtime.admit(instruction.merchant_id, NEW_PAYMENTS_SHARE)
    payment_id = new_id("pay")

    def first(_: Payment | None, __: Sequence[Dispute]) -> Change:
        return decide.create_payment(
            instruction,
            payment_id,
            amount=command.amount,
            currency=command.currency,
            payment_method=command.payment_method,
            automatic=command.capture_method == "automatic",
            provider=provider,
            description=command.description,
            metadata=command.metadata,
            terms=runtime.terms(provider),
            exponents=runtime.provider(provider).exponents(command.currency),
        )

    return await runtime.flows.run(instruction.merchant_id, _execute(runtime, instruction, None, first))


async def capture_payment(
    runtime: Runtime, instruction: Instruction, payment_id: str, command: CapturePayment
) -> Reply:
    """Take money out of a hold. Raises Overloaded and OutcomeUnknown."""
    runtime.admit(instruction.merchant_id, FOLLOW_UPS_SHARE)

    def again(payment: Payment | None, _: Sequence[Dispute]) -> Change:
        assert payment is not None
        return decide.capture_payment(instruction, payment, command.amount, runtime.terms(payment.provider))

    return await runtime.flows.run(
        instruction.merchant_id, _execute(runtime, instruction, payment_id, again, command.amount)
    )


async def cancel_payment(runtime: Runtime, instruction: Instruction, payment_id: str, _: CancelPayment) -> Reply:
    """Release a hold. Raises Overloaded and OutcomeUnknown."""
    runtime.admit(instruction.merchant_id, FOLLOW_UPS_SHARE)

    def again(payment: Payment | None, _: Sequence[Dispute]) -> Change:
        assert payment is not None
        return decide.cancel_payment(instruction, payment, runtime.terms(payment.provider))

    return await runtime.flows.run(instruction.merchant_id, _execute(runtime, instruction, payment_id, again))


async def create_refund(runtime: Runtime, instruction: Instruction, payment_id: str, command: CreateRefund) -> Reply:
    """Refund all or part of a captured payment. Raises Overloaded and OutcomeUnknown."""
    runtime.admit(instruction.merchant_id, FOLLOW_UPS_SHARE)
    refund_id = new_id("re")

    def again(payment: Payment | None, disputes: Sequence[Dispute]) -> Change:
        assert payment is not None
        return decide.create_refund(
            instruction,
            payment,
            disputes,
            refund_id,
            amount=command.amount,
            reason=command.reason,
            terms=runtime.terms(payment.provider),
        )

    return await runtime.flows.run(
        instruction.merchant_id,
        _execute(runtime, instruction, payment_id, again, command.amount, reads_disputes=True),
    )


async def _execute(
    runtime: Runtime,
    instruction: Instruction,
    payment_id: str | None,
    decision: Callable[[Payment | None, Sequence[Dispute]], Change],
    given: int | None = None,
    *,
    reads_disputes: bool = False,
) -> Reply:
    """Decide and carry out. Where the payment's provider is not configured, nothing is executed and the key stays free.
    ``given``: the amount that a client named of a payment that exists. One that its provider
    cannot express is refused as a malformed field is, before the state is looked at. What "all that is left" comes to
    is known when the state allows it, and is looked at before the key is taken; after a lost race it is decided
    again."""
    for _ in range(DECISION_TRIES):
        payment, disputes = None, list[Dispute]()
        if payment_id is not None:
            found = await runtime.reads.payment_at(instruction.merchant_id, payment_id)
            if found is None:
                refused = problem("not_found", "There is no such payment.", request_id=instruction.request_id)
                return await existing_or(runtime, instruction, refused)
            payment, account = found
            if runtime.lacks(payment.provider, account, payment.payment_id):
                not_ready = _not_configured(runtime, instruction, payment, account)
                return await existing_or(runtime, instruction, not_ready, RETRY_AFTER_S)
        if payment is not None and given is not None and not _expressible(runtime, payment, given):
            return await existing_or(runtime, instruction, _not_representable(instruction))
        if payment is not None and (refused_kind := _refused_for_its_kind(runtime, payment, instruction, given)):
            return await existing_or(runtime, instruction, refused_kind)
        if payment_id is not None and reads_disputes:
            # After the payment: each step of a dispute is a version of its payment, so that one which this read
            # misses is later than the version that the change names, and the guard refuses it.
            disputes = await runtime.reads.disputes(instruction.merchant_id, payment_id)
        deadline_ms = send_by(runtime)
        change = decision(payment, disputes)
        if instruction.limits is not None and (over := _over_limit(instruction, payment, change, given)) is not None:
            return await existing_or(runtime, instruction, over)
        if payment is not None and not _sends_what_is_expressible(runtime, payment, change):
            return await existing_or(runtime, instruction, _not_representable(instruction))
        committed = await runtime.journal.commit(change)
        if isinstance(committed, Existing):
            return await answer_existing(runtime, instruction, committed.stored)
        if not isinstance(committed, Stale):
            INSTRUCTIONS[instruction.operation, "first"] += 1
            if (told := trail()) is not None:
                told.began(payment, change)
            return await _carry_out(runtime, instruction, change, payment, deadline_ms)
    raise Overloaded("too many concurrent changes to the payment")


def _expressible(runtime: Runtime, payment: Payment, amount: int) -> bool:
    return runtime.provider(payment.provider).representable(amount, payment.currency, payment.exponents)


def _refused_for_its_kind(
    runtime: Runtime, payment: Payment, instruction: Instruction, given: int | None
) -> Problem | None:
    """The problem of what the provider cannot do with this kind of payment method, by its connector's declaration."""
    kind = runtime.provider(payment.provider).kind_of_token(payment.payment_method)
    if kind is None:
        return None
    if instruction.operation.endswith("/capture"):
        is_part = given is not None and given < payment.amount_authorized
        if is_part and not kind.partial_capture:
            detail = "must be all of the hold: no part of it can be captured"
            return _wrong(instruction, "amount", "not_partial", detail)
    elif instruction.operation.endswith("/refunds") and kind.refund_window_ms is not None:
        age = instruction.at - payment.created_at
        if age > timedelta(milliseconds=kind.refund_window_ms):
            return _wrong(instruction, "payment", "too_late", "was made too long ago to be refunded at its provider")
    return None


def _over_limit(instruction: Instruction, payment: Payment | None, change: Change, given: int | None) -> Problem | None:
    """The problem of an operation that its API key may not ask for. What "all that is left" comes to is known once it
    is decided. A cancel moves nothing, and is bound to the currencies alone."""
    attempt = change.one(Attempt)
    if attempt is not None:
        currency, amount = attempt.currency, None if attempt.operation == "cancel" else attempt.amount
    else:  # the payment's state does not allow it
        assert payment is not None, "a payment can always be created"
        currency, amount = payment.currency, given
    over = over_limit(instruction.limits, currency, amount)
    if over is None:
        return None
    return problem("limit_exceeded", f"Nothing was executed: {over}.", request_id=instruction.request_id)


def _sends_what_is_expressible(runtime: Runtime, payment: Payment, change: Change) -> bool:
    """A cancel tells the provider no amount."""
    attempt = change.one(Attempt)
    if attempt is None or attempt.operation not in AMOUNT_IS_TOLD:
        return True
    return _expressible(runtime, payment, attempt.amount)


def _not_configured(runtime: Runtime, instruction: Instruction, payment: Payment, account: str) -> Problem:
    """The settings may lack a provider whose payments exist, or have another account of it. Nothing is wrong with the
    request: it can come again."""
    lacking = f"The payment's provider, {payment.provider}, is"
    if payment.provider in runtime.providers:
        lacking = f"The payment was made with the account {account} of {payment.provider}, which is"
    detail = f"{lacking} not configured here; nothing was executed."
    return problem("not_ready", detail, request_id=instruction.request_id, payment_id=payment.payment_id)


def _not_representable(instruction: Instruction) -> Problem:
    detail = "cannot be expressed in the provider's unit of this currency"
    return _wrong(instruction, "amount", "not_representable", detail)


def _wrong(instruction: Instruction, name: str, code: str, why: str) -> Problem:
    field = ProblemField(name, code, why)
    detail = "One or more fields are not valid; nothing was executed."
    return problem("validation_failed", detail, request_id=instruction.request_id, errors=[field])


async def _carry_out(
    runtime: Runtime, instruction: Instruction, change: Change, before: Payment | None, deadline_ms: int
) -> Reply:
    refused = first_answer(change, instruction.idempotency_key)
    if refused is not None:
        return refused
    stored = opened_by(change) if before is None else PaymentSnapshot(payment=before, attempts=()).after(change)
    payment = stored.payment
    # A cancel may close an authorization that waits for its customer, so it needs the other attempts too.
    if instruction.operation.endswith("/cancel") and payment.amount_authorized == 0:
        loaded = await runtime.reads.load(payment.merchant_id, payment.payment_id)
        stored = loaded.stored if loaded else stored
    outcome = await carry_out(runtime, stored, instruction.attempt_id, deadline_ms)
    if (told := trail()) is not None:
        told.ended(outcome)
    answer = first_answer(outcome, instruction.idempotency_key)
    return answer or await answer_now(runtime, instruction.merchant_id, instruction.idempotency_key)
