"""Decisions on a client's instruction: the first commit.

Each returns a ``Change`` that claims the key and either opens the attempt (the caller then calls the provider) or
records the refusal. Nothing here has side effects, so a decision can run again after a lost race.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from tallystick.decisions.change_builder import Cause, ChangeBuilder
from tallystick.decisions.terms import Terms
from tallystick.domain.api_keys import KeyKind, Limits
from tallystick.domain.change import Change, KeyClaim
from tallystick.domain.errors import Problem, problem
from tallystick.domain.late_money import merchants_money
from tallystick.domain.left_to_refund import left_to_refund
from tallystick.domain.lifecycles.machines import next_state
from tallystick.domain.money import Exponents
from tallystick.domain.provider_keys import provider_key
from tallystick.domain.subjects import Attempt, Dispute, Operation, Payment, Refund
from tallystick.domain.views import encode
from tallystick.kit.ids import sibling_id


class Instruction(Struct, frozen=True, kw_only=True):
    """An authenticated, parsed instruction, with every id it may need minted before the first try. ``api_version``: the
    version that it is answered in, as stored. ``limits`` and ``key_kind``: those of its API key.
    ``traceparent``: of its request, if that had one."""

    merchant_id: str
    idempotency_key: str
    operation: str
    path: str
    fingerprint: bytes
    fingerprint_version: int
    request: bytes
    actor: str
    request_id: str
    instruction_id: str
    change_id: str
    attempt_id: str
    rejection_id: str
    at: datetime
    api_version: str | None = None
    limits: Limits | None = None
    key_kind: KeyKind = "service"
    traceparent: str | None = None

    def claim(self, payment_id: str, subject_id: str, *, opens_it: bool = False) -> KeyClaim:
        """Takes the key for this instruction and its subject. ``opens_it``: the subject is new, and its own id names
        the instruction too."""
        return KeyClaim(
            merchant_id=self.merchant_id,
            idempotency_key=self.idempotency_key,
            instruction_id=sibling_id("ins", subject_id) if opens_it else self.instruction_id,
            operation=self.operation,
            path=self.path,
            fingerprint=self.fingerprint,
            fingerprint_version=self.fingerprint_version,
            request=self.request,
            payment_id=payment_id,
            subject_id=subject_id,
            at=self.at,
            traceparent=self.traceparent,
        )

    def cause(self) -> Cause:
        """The client as the cause of a transition."""
        return Cause(
            change_id=self.change_id,
            at=self.at,
            trigger="instruction",
            actor=self.actor,
            key_kind=self.key_kind,
            traceparent=self.traceparent,
        )

    @property
    def attempts_key_kind(self) -> KeyKind | None:
        """As its attempt has it."""
        return None if self.key_kind == "service" else self.key_kind


def create_payment(
    instruction: Instruction,
    payment_id: str,
    *,
    amount: int,
    currency: str,
    payment_method: str,
    automatic: bool,
    provider: str,
    description: str | None,
    metadata: dict[str, str],
    terms: Terms,
    exponents: Exponents | None = None,
) -> Change:
    """A new payment, being authorized. Always legal. ``exponents``: the currency's, here and at the provider."""
    builder = ChangeBuilder(instruction.merchant_id, payment_id, instruction.cause())
    builder.open(
        Payment(
            merchant_id=instruction.merchant_id,
            payment_id=payment_id,
            version=1,
            state="authorizing",
            amount=amount,
            currency=currency,
            capture_method="automatic" if automatic else "manual",
            payment_method=payment_method,
            provider=provider,
            exponent=None if exponents is None else exponents.ours,
            provider_exponent=None if exponents is None else exponents.theirs,
            description=description,
            metadata=metadata,
            created_at=instruction.at,
            updated_at=instruction.at,
        )
    )
    builder.open(
        Attempt(
            merchant_id=instruction.merchant_id,
            payment_id=payment_id,
            attempt_id=instruction.attempt_id,
            version=1,
            state="submitted",
            operation="authorize",
            purpose="instruction",
            idempotency_key=instruction.idempotency_key,
            amount=amount,
            currency=currency,
            capture=automatic,
            payment_method=payment_method,
            provider=provider,
            account=terms.account,
            provider_key=provider_key(instruction.merchant_id, instruction.idempotency_key, "authorize", 1),
            api_version=instruction.api_version,
            key_kind=instruction.attempts_key_kind,
            traceparent=instruction.traceparent,
            schedule=terms.submitted(),
        )
    )
    return builder.change(instruction.claim(payment_id, payment_id, opens_it=True), must_not_be_shed=False)


def capture_payment(instruction: Instruction, payment: Payment, amount: int | None, terms: Terms) -> Change:
    """Capture all or part of the hold; the rest is released. Refused if the state or the amount forbids it."""
    builder = ChangeBuilder(payment.merchant_id, payment.payment_id, instruction.cause())
    asked = payment.amount_authorized if amount is None else amount
    if next_state("payment", payment.state, "capture") is None:
        return _refuse(
            builder, instruction, payment, "capture", f"a payment that is {payment.state} cannot be captured"
        )
    if asked > payment.amount_authorized:
        reason = f"{asked} is above the authorized {payment.amount_authorized}"
        return _refuse(builder, instruction, payment, "capture", reason)
    builder.move(payment, "capture", failure=None)
    builder.open(_follow_up(instruction, payment, "capture", asked, terms))
    return builder.change(instruction.claim(payment.payment_id, payment.payment_id), must_not_be_shed=False)


def cancel_payment(instruction: Instruction, payment: Payment, terms: Terms) -> Change:
    """Release the hold, or stop waiting for the customer."""
    builder = ChangeBuilder(payment.merchant_id, payment.payment_id, instruction.cause())
    if next_state("payment", payment.state, "cancel") is None:
        return _refuse(builder, instruction, payment, "cancel", f"a payment that is {payment.state} cannot be canceled")
    builder.move(payment, "cancel", failure=None)
    builder.open(_follow_up(instruction, payment, "cancel", payment.amount, terms))
    return builder.change(instruction.claim(payment.payment_id, payment.payment_id), must_not_be_shed=False)


def create_refund(
    instruction: Instruction,
    payment: Payment,
    disputes: Sequence[Dispute],
    refund_id: str,
    *,
    amount: int | None,
    reason: str | None,
    terms: Terms,
) -> Change:
    """Refund part or everything that is left. The payment gets a version too, so that two refunds cannot both pass, nor
    a refund and a dispute: each step of a dispute is a version of its payment."""
    builder = ChangeBuilder(payment.merchant_id, payment.payment_id, instruction.cause())
    left = left_to_refund(payment, disputes)
    asked = left if amount is None else amount
    if next_state("payment", payment.state, "refund_opened") is None or merchants_money(payment) == 0:
        return _refuse(builder, instruction, payment, "refund", f"a payment that is {payment.state} cannot be refunded")
    if asked > left or left == 0:
        return _refuse(builder, instruction, payment, "refund", f"{asked} is above the {left} that is left to refund")
    builder.move(payment, "refund_opened", amount_refund_pending=payment.amount_refund_pending + asked)
    builder.open(
        Refund(
            merchant_id=payment.merchant_id,
            payment_id=payment.payment_id,
            refund_id=refund_id,
            version=1,
            state="submitting",
            amount=asked,
            currency=payment.currency,
            provider=payment.provider,
            reason=reason,
            created_at=instruction.at,
            updated_at=instruction.at,
        )
    )
    builder.open(_follow_up(instruction, payment, "refund", asked, terms, refund_id=refund_id))
    return builder.change(instruction.claim(payment.payment_id, refund_id, opens_it=True), must_not_be_shed=False)


def expire_payment(payment: Payment, attempt_id: str, cause: Cause, terms: Terms) -> Change:
    """A deadline passed: cancel at the provider first, so that no late action or capture can follow."""
    builder = ChangeBuilder(payment.merchant_id, payment.payment_id, cause)
    builder.move(payment, "cancel")
    builder.open(
        Attempt(
            merchant_id=payment.merchant_id,
            payment_id=payment.payment_id,
            attempt_id=attempt_id,
            version=1,
            state="submitted",
            operation="cancel",
            purpose="expiry",
            amount=payment.amount,
            currency=payment.currency,
            payment_method=payment.payment_method,
            provider=payment.provider,
            account=terms.account,
            provider_key=provider_key(payment.merchant_id, payment.payment_id, "expire", payment.version),
            parent_reference=payment.provider_reference,
            schedule=terms.submitted(),
        )
    )
    return builder.change(must_not_be_shed=True)


def _follow_up(
    instruction: Instruction,
    payment: Payment,
    operation: Operation,
    amount: int,
    terms: Terms,
    refund_id: str | None = None,
) -> Attempt:
    return Attempt(
        merchant_id=payment.merchant_id,
        payment_id=payment.payment_id,
        attempt_id=instruction.attempt_id,
        version=1,
        state="submitted",
        operation=operation,
        purpose="instruction",
        refund_id=refund_id,
        idempotency_key=instruction.idempotency_key,
        amount=amount,
        currency=payment.currency,
        payment_method=payment.payment_method,
        provider=payment.provider,
        account=terms.account,
        provider_key=provider_key(payment.merchant_id, instruction.idempotency_key, operation, 1),
        api_version=instruction.api_version,
        key_kind=instruction.attempts_key_kind,
        traceparent=instruction.traceparent,
        parent_reference=payment.provider_reference,
        schedule=terms.submitted(),
    )


def _refuse(builder: ChangeBuilder, instruction: Instruction, payment: Payment, event: str, reason: str) -> Change:
    """A refusal is an outcome: the key is taken, the answer recorded, the rejection kept."""
    builder.reject(
        instruction.rejection_id,
        payment,
        event,
        origin="client",
        reason=reason,
        idempotency_key=instruction.idempotency_key,
    )
    body = problem("transition_rejected", reason, request_id=instruction.request_id, payment_id=payment.payment_id)
    builder.respond(instruction.idempotency_key, body.status, encode(body), Problem, instruction.api_version)
    return builder.change(instruction.claim(payment.payment_id, payment.payment_id), must_not_be_shed=False)
