"""Builds a change: every step goes over an edge of its lifecycle and adds its history row.

Postings and messages follow from the edge; a decision names subjects, events and fields.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from tallystick.decisions.messages import ShownSubjects, Step, messages_of
from tallystick.domain.api_keys import KeyKind
from tallystick.domain.api_versions import VERSIONS
from tallystick.domain.change import (
    Change,
    KeyClaim,
    KnownReference,
    RecordedResponse,
    Rejection,
    Transfer,
    Transition,
)
from tallystick.domain.errors import IllegalTransition
from tallystick.domain.kinds import SubjectKind, kind_of
from tallystick.domain.lifecycles.table import NEW, Edge
from tallystick.domain.origin import Origin
from tallystick.domain.rejected_case import Category, RejectedCase
from tallystick.domain.subjects import Attempt, Subject
from tallystick.kit.ids import sibling_id

Some = TypeVar("Some", bound=Subject)


class Cause(Struct, frozen=True, kw_only=True):
    """Who or what moves a subject, with the evidence. ``key_kind`` and ``traceparent``: of the instruction that led
    to it."""

    change_id: str
    at: datetime
    trigger: str
    actor: str
    occurred_at: datetime | None = None
    provider_reference: str | None = None
    evidence: dict[str, Any] | None = None
    key_kind: KeyKind | None = None
    traceparent: str | None = None

    def of(self, attempt: Attempt) -> Cause:
        """This cause of a step of an attempt, whose instruction led to it."""
        return replace(self, key_kind=attempt.instructed_by, traceparent=attempt.traceparent)


class ChangeBuilder:
    """Collects the parts of one ``Change`` of one stream. Raises IllegalTransition for an edge that does not exist."""

    def __init__(self, merchant_id: str, stream_id: str, cause: Cause) -> None:
        self.merchant_id = merchant_id
        self.stream_id = stream_id
        self.cause = cause
        self._transitions: list[Transition] = []
        self._transfers: list[Transfer] = []
        self._responses: list[RecordedResponse] = []
        self._rejections: list[Rejection] = []
        self._beside: list[Change] = []
        self._subjects: dict[str, Subject] = {}
        self._references: list[KnownReference] = []
        self._told: dict[str, Step] = {}
        self._shown = ShownSubjects()
        self._deadline_in_ms: int | None = None
        self._is_proved = cause.evidence is None

    def open(self, subject: Some) -> Some:
        """The first version of a subject, over the edge that leads from ``NEW`` to its state."""
        kind = kind_of(subject)
        event = kind.machine.openings.get(subject.state)
        edge = None if event is None else kind.machine.edge(NEW, event)
        if event is None or edge is None:
            raise IllegalTransition(f"{kind.name}: no edge leads from {NEW} to {subject.state!r}")
        fields = {name: value for name, default in kind.opened_with if (value := getattr(subject, name)) != default}
        for name, derive in kind.derived.items():
            if fields[name] == derive({"merchant_id": self.merchant_id, **fields}):
                del fields[name]
        if kind.has_created_at and fields["created_at"] == self.cause.at:
            del fields["created_at"]
        self._step(kind, None, subject, event, edge, fields)
        return subject

    def move(self, before: Some, event: str, **fields: Any) -> Some:
        """The next version of a subject, over one edge, with these fields set."""
        kind = kind_of(before)
        edge = kind.machine.edge(before.state, event)
        if edge is None:
            raise IllegalTransition(f"{kind.name}: no edge {event!r} from {before.state!r}")
        earlier: Any = before
        if kind.has_updated_at:
            fields["updated_at"] = self.cause.at
        after: Some = replace(earlier, version=before.version + 1, state=edge.to, **fields)
        set_now = {
            name: value
            for name, value in fields.items()
            if name not in kind.not_in_steps and getattr(before, name) != value
        }
        self._step(kind, before, after, event, edge, set_now)
        return after

    def _step(
        self,
        kind: SubjectKind,
        before: Subject | None,
        after: Subject,
        event: str,
        edge: Edge,
        fields: dict[str, Any],
    ) -> None:
        """Add one step of history, with the postings and the message of its edge."""
        cause, subject_id = self.cause, kind.id_of(after)
        self._subjects[subject_id] = after
        if edge.told is not None:
            self._told[subject_id] = Step(edge.told, after)
        self._transitions.append(
            Transition(
                merchant_id=self.merchant_id,
                subject_id=subject_id,
                version=after.version,
                subject=kind.name,
                stream_id=self.stream_id,
                from_state=NEW if before is None else before.state,
                to_state=after.state,
                event=event,
                cause=cause.trigger,
                actor=cause.actor,
                provider_reference=cause.provider_reference,
                at=cause.at,
                occurred_at=cause.occurred_at,
                change=fields,
                evidence=cause.evidence if kind.keeps_evidence else None,
            )
        )
        self._is_proved = self._is_proved or kind.keeps_evidence
        if edge.posts is not None:
            self._post(subject_id, after, edge, before)

    def _post(self, subject_id: str, after: Any, edge: Edge, before: Subject | None) -> None:
        assert edge.posts is not None
        for leg, posting in enumerate(edge.posts(before, after)):
            self._transfers.append(
                Transfer(
                    merchant_id=self.merchant_id,
                    stream_id=self.stream_id,
                    subject_id=subject_id,
                    version=after.version,
                    leg=leg,
                    kind=posting.kind,
                    debit=posting.debit,
                    credit=posting.credit,
                    amount=posting.amount,
                    currency=after.currency,
                    at=self.cause.at,
                )
            )

    def know_reference(self, attempt: Attempt) -> None:
        """Keep the provider's reference of the attempt's charge, for events that identify it by nothing else."""
        if attempt.provider_reference is not None:
            known = KnownReference(
                provider=attempt.provider,
                account=attempt.account,
                reference=attempt.provider_reference,
                merchant_id=attempt.merchant_id,
                payment_id=attempt.payment_id,
            )
            self._references.append(known)

    def respond_with(self, attempt: Attempt, status: int, subject: Subject) -> None:
        """Record the subject as the final answer of the attempt's instruction; nothing if the platform acted on its
        own."""
        kind = kind_of(subject)
        if attempt.idempotency_key is not None and kind.view is not None:
            body = self._shown.encoded(subject)
            self.respond(attempt.idempotency_key, status, body, kind.shown_as, attempt.api_version)

    def respond(
        self, idempotency_key: str, status: int, body: bytes, kind: type[Any] | None, stored: str | None
    ) -> None:
        """Record the final answer of an instruction, byte for byte, in this version. ``kind``: the body's
        type. A version that this release does not serve is answered in the newest one."""
        version = VERSIONS.of_stored(stored) or VERSIONS.newest
        self._responses.append(
            RecordedResponse(
                merchant_id=self.merchant_id,
                idempotency_key=idempotency_key,
                status=status,
                body=body if kind is None else VERSIONS.rendered(kind, body, version),
                at=self.cause.at,
                api_version=VERSIONS.stored(version),
            )
        )

    def reject(
        self,
        rejection_id: str,
        subject: Subject,
        event: str,
        *,
        origin: Origin,
        reason: str,
        category: Category | None = None,
        idempotency_key: str | None = None,
    ) -> Rejection:
        """Keep a refused transition. Unless a client caused it, it raises an alert, and opens a case in the same
        change; then it has a ``category``."""
        kind = kind_of(subject)
        rejection = Rejection(
            merchant_id=self.merchant_id,
            stream_id=self.stream_id,
            rejection_id=rejection_id,
            subject_id=kind.id_of(subject),
            subject=kind.name,
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
            key_kind=self.cause.key_kind,
            category=category,
        )
        self._rejections.append(rejection)
        if rejection.alert:
            self._beside.append(opened_case(rejection, self.cause.change_id, getattr(subject, "provider", None)))
        return rejection

    def watch(self, deadline_in_ms: int) -> None:
        """Ask recovery to look at the payment when its authorization is about to lapse."""
        self._deadline_in_ms = deadline_in_ms

    @property
    def transfers(self) -> tuple[Transfer, ...]:
        """The ledger rows so far."""
        return tuple(self._transfers)

    def change(self, claim: KeyClaim | None = None, *, must_not_be_shed: bool) -> Change:
        """The finished change."""
        return Change(
            change_id=self.cause.change_id,
            merchant_id=self.merchant_id,
            stream_id=self.stream_id,
            claim=claim,
            transitions=self._proved(),
            subjects=tuple(self._subjects.values()),
            transfers=tuple(self._transfers),
            responses=tuple(self._responses),
            rejections=tuple(self._rejections),
            references=tuple(self._references),
            messages=messages_of(
                list(self._told.values()),
                self._subjects.get(self.stream_id),
                self.cause.change_id,
                self.cause.at,
                self._shown,
                self.cause.key_kind,
                self.cause.traceparent,
            ),
            deadline_in_ms=self._deadline_in_ms,
            must_not_be_shed=must_not_be_shed,
            key_kind=self.cause.key_kind,
            beside=tuple(self._beside),
        )

    def _proved(self) -> tuple[Transition, ...]:
        """The steps with their evidence: on attempts, or on the first step of a change that moves no attempt."""
        steps = self._transitions
        if self._is_proved or not steps:
            return tuple(steps)
        return (replace(steps[0], evidence=self.cause.evidence), *steps[1:])


def opened_case(rejection: Rejection, change_id: str, provider: str | None) -> Change:
    """The case of a rejection that alerts, as a change of its own stream. A rejection always opens the same case:
    whoever is second finds its first version taken."""
    case_id = sibling_id("case", rejection.rejection_id)
    cause = Cause(change_id=change_id, at=rejection.at, trigger=rejection.cause, actor=rejection.actor)
    builder = ChangeBuilder(rejection.merchant_id, case_id, cause)
    event_id = (rejection.evidence or {}).get("event_id")
    builder.open(
        RejectedCase(
            merchant_id=rejection.merchant_id,
            case_id=case_id,
            rejection_id=rejection.rejection_id,
            from_stream_id=rejection.stream_id,
            subject=rejection.subject,
            subject_id=rejection.subject_id,
            subject_state=rejection.state,
            subject_version=rejection.version,
            event=rejection.event,
            tried_by=rejection.cause,
            origin=rejection.origin,
            category=rejection.category or "conflicting",
            reason=rejection.reason,
            provider=provider,
            event_id=event_id if isinstance(event_id, str) else None,
            created_at=rejection.at,
            version=1,
            state="open",
            updated_at=rejection.at,
        )
    )
    return builder.change(must_not_be_shed=False)
