"""A change under construction: every step goes through the lifecycle tables and leaves its history row."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from tallystick.decisions.messages import messages_of
from tallystick.domain.change import Change, Claim, KnownReference, RecordedResponse, Rejection, Transfer, Transition
from tallystick.domain.errors import IllegalTransition
from tallystick.domain.ledger.postings import Posting
from tallystick.domain.lifecycles.machines import next_state
from tallystick.domain.lifecycles.table import NEW
from tallystick.domain.subjects import Attempt, Dispute, Payment, Refund, Schedule
from tallystick.domain.views import encode, payment_view, refund_view

#: Fields that are a row's identity or its bookkeeping: history does not repeat them.
_NOT_HISTORY = frozenset({"merchant_id", "payment_id", "version", "state", "updated_at", "schedule"})

_HISTORY_FIELDS = {
    kind: tuple(name for name in kind.__struct_fields__ if name not in _NOT_HISTORY)
    for kind in (Payment, Attempt, Refund, Dispute)
}


class Cause(Struct, frozen=True, kw_only=True):
    """Who or what moves a subject, and what proves it."""

    change_id: str
    at: datetime
    trigger: str
    actor: str
    occurred_at: datetime | None = None
    provider_reference: str | None = None
    evidence: dict[str, Any] | None = None


class ChangeBuilder:
    """Collects the parts of one ``Change``. Raises IllegalTransition for an edge that is not in the tables."""

    def __init__(self, merchant_id: str, payment_id: str, cause: Cause) -> None:
        self.merchant_id = merchant_id
        self.payment_id = payment_id
        self.cause = cause
        self._transitions: list[Transition] = []
        self._transfers: list[Transfer] = []
        self._responses: list[RecordedResponse] = []
        self._rejections: list[Rejection] = []
        self._attempts: dict[str, Attempt] = {}
        self._payment: Payment | None = None
        self._refund: Refund | None = None
        self._dispute: Dispute | None = None
        self._references: list[KnownReference] = []
        self._told: dict[str, str] = {}
        self._deadline_in_ms: int | None = None

    def open_payment(self, payment: Payment) -> Payment:
        """The first version of a payment."""
        self._append("payment", payment.payment_id, 1, NEW, payment.state, "create", _history(payment))
        self._payment = payment
        return payment

    def move_payment(self, before: Payment, event: str, **fields: Any) -> Payment:
        """The next version of a payment, over one edge."""
        state = self._next("payment", before.state, event)
        after = replace(before, version=before.version + 1, state=state, updated_at=self.cause.at, **fields)
        self._append("payment", before.payment_id, after.version, before.state, state, event, fields)
        self._payment = after
        return after

    def open_attempt(self, attempt: Attempt) -> Attempt:
        """The first version of an attempt."""
        self._append("attempt", attempt.attempt_id, 1, NEW, attempt.state, "submit", _history(attempt))
        self._attempts[attempt.attempt_id] = attempt
        return attempt

    def move_attempt(self, before: Attempt, event: str, schedule: Schedule, **fields: Any) -> Attempt:
        """The next version of an attempt; ``schedule`` says when recovery looks at it again."""
        state = self._next("attempt", before.state, event)
        after = replace(before, version=before.version + 1, state=state, schedule=schedule, **fields)
        self._append("attempt", before.attempt_id, after.version, before.state, state, event, fields)
        self._attempts[before.attempt_id] = after
        return after

    def open_refund(self, refund: Refund) -> Refund:
        """The first version of a refund."""
        self._append("refund", refund.refund_id, 1, NEW, refund.state, "create", _history(refund))
        self._refund = refund
        return refund

    def move_refund(self, before: Refund, event: str, **fields: Any) -> Refund:
        """The next version of a refund, over one edge."""
        state = self._next("refund", before.state, event)
        after = replace(before, version=before.version + 1, state=state, updated_at=self.cause.at, **fields)
        self._append("refund", before.refund_id, after.version, before.state, state, event, fields)
        self._refund = after
        return after

    def open_dispute(self, dispute: Dispute) -> Dispute:
        """The first version of a dispute."""
        self._append("dispute", dispute.dispute_id, 1, NEW, dispute.state, "open", _history(dispute))
        self._dispute = dispute
        return dispute

    def move_dispute(self, before: Dispute, event: str, **fields: Any) -> Dispute:
        """The next version of a dispute, over one edge."""
        state = self._next("dispute", before.state, event)
        after = replace(before, version=before.version + 1, state=state, updated_at=self.cause.at, **fields)
        self._append("dispute", before.dispute_id, after.version, before.state, state, event, fields)
        self._dispute = after
        return after

    def know_reference(self, attempt: Attempt) -> None:
        """Keep what the provider calls the attempt's charge, for events that name it by nothing else."""
        if attempt.provider_reference is not None:
            known = KnownReference(
                provider=attempt.provider,
                account=attempt.account,
                reference=attempt.provider_reference,
                merchant_id=attempt.merchant_id,
                payment_id=attempt.payment_id,
            )
            self._references.append(known)

    def post(self, subject_id: str, version: int, currency: str, postings: Sequence[Posting]) -> None:
        """Ledger rows that belong to one transition of this draft."""
        for leg, (kind, debit, credit, amount) in enumerate(postings):
            self._transfers.append(
                Transfer(
                    merchant_id=self.merchant_id,
                    payment_id=self.payment_id,
                    subject_id=subject_id,
                    version=version,
                    leg=leg,
                    kind=kind,
                    debit=debit,
                    credit=credit,
                    amount=amount,
                    currency=currency,
                    at=self.cause.at,
                )
            )

    def respond_payment(self, idempotency_key: str | None, status: int, payment: Payment) -> None:
        """Record the final answer of a payment's instruction; nothing where the platform acted on its own."""
        if idempotency_key is not None:
            self.respond(idempotency_key, status, encode(payment_view(payment, in_doubt=False)))

    def respond_refund(self, idempotency_key: str | None, status: int, refund: Refund) -> None:
        """Record the final answer of a refund's instruction."""
        if idempotency_key is not None:
            self.respond(idempotency_key, status, encode(refund_view(refund, in_doubt=False)))

    def respond(self, idempotency_key: str, status: int, body: bytes) -> None:
        """Record the final answer of an instruction, byte for byte."""
        self._responses.append(
            RecordedResponse(
                merchant_id=self.merchant_id,
                idempotency_key=idempotency_key,
                status=status,
                body=body,
                at=self.cause.at,
            )
        )

    def reject(
        self,
        rejection_id: str,
        subject: Payment | Attempt | Refund | Dispute,
        event: str,
        *,
        origin: str,
        reason: str,
        idempotency_key: str | None = None,
    ) -> Rejection:
        """Keep a refused transition. Those that a client did not cause raise an alert."""
        kind, subject_id = _identity(subject)
        rejection = Rejection(
            merchant_id=self.merchant_id,
            payment_id=self.payment_id,
            rejection_id=rejection_id,
            subject_id=subject_id,
            subject=kind,
            state=subject.state,
            version=subject.version,
            event=event,
            cause=self.cause.trigger,
            actor=self.cause.actor,
            origin=origin,
            reason=reason,
            alert=origin != "client",
            idempotency_key=idempotency_key,
            at=self.cause.at,
            evidence=self.cause.evidence,
        )
        self._rejections.append(rejection)
        return rejection

    def watch(self, deadline_in_ms: int) -> None:
        """Ask recovery to look at the payment when its authorization is about to lapse."""
        self._deadline_in_ms = deadline_in_ms

    def change(self, claim: Claim | None = None, *, outcome: bool) -> Change:
        """The finished change."""
        return Change(
            change_id=self.cause.change_id,
            merchant_id=self.merchant_id,
            claim=claim,
            transitions=self._proved(),
            payment=self._payment,
            attempts=tuple(self._attempts.values()),
            refund=self._refund,
            transfers=tuple(self._transfers),
            responses=tuple(self._responses),
            rejections=tuple(self._rejections),
            dispute=self._dispute,
            references=tuple(self._references),
            messages=messages_of(
                self._told, self._payment, self._refund, self._dispute, self.cause.change_id, self.cause.at
            ),
            deadline_in_ms=self._deadline_in_ms,
            payment_id=self.payment_id,
            outcome=outcome,
        )

    def _proved(self) -> tuple[Transition, ...]:
        """The steps, with what proves them: on its attempts, or on the first step of a change that moves none."""
        steps, evidence = self._transitions, self.cause.evidence
        if not steps or evidence is None or any(step.evidence is not None for step in steps):
            return tuple(steps)
        return (replace(steps[0], evidence=evidence), *steps[1:])

    def _next(self, machine: str, state: str, event: str) -> str:
        state_after = next_state(machine, state, event)
        if state_after is None:
            raise IllegalTransition(f"{machine}: no edge {event!r} from {state!r}")
        return state_after

    def _append(
        self,
        subject: str,
        subject_id: str,
        version: int,
        from_state: str,
        to_state: str,
        event: str,
        fields: dict[str, Any],
    ) -> None:
        cause = self.cause
        self._told[subject_id] = event
        self._transitions.append(
            Transition(
                merchant_id=self.merchant_id,
                subject_id=subject_id,
                version=version,
                subject=subject,
                payment_id=self.payment_id,
                from_state=from_state,
                to_state=to_state,
                event=event,
                cause=cause.trigger,
                actor=cause.actor,
                provider_reference=cause.provider_reference,
                at=cause.at,
                occurred_at=cause.occurred_at,
                change=fields,
                evidence=cause.evidence if subject == "attempt" else None,
            )
        )


def _history(subject: Payment | Attempt | Refund | Dispute) -> dict[str, Any]:
    return {name: getattr(subject, name) for name in _HISTORY_FIELDS[type(subject)]}


def _identity(subject: Payment | Attempt | Refund | Dispute) -> tuple[str, str]:
    if isinstance(subject, Attempt):
        return "attempt", subject.attempt_id
    if isinstance(subject, Refund):
        return "refund", subject.refund_id
    if isinstance(subject, Dispute):
        return "dispute", subject.dispute_id
    return "payment", subject.payment_id
