"""The rows that a trace is made from, one struct a part of the two statements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct, field

from tallystick.record.postgres.payment_record import PaymentRecord
from tallystick.record.postgres.stream_record import StoredRejection, StoredTransfer


class StepRow(Struct, frozen=True, kw_only=True):
    """A row of ``history``."""

    merchant_id: str
    subject_id: str
    version: int
    change_id: str | None
    subject: str | None
    stream_id: str
    from_state: str
    to_state: str
    event: str
    cause: str | None
    actor: str | None
    provider_reference: str | None
    at: datetime | None
    occurred_at: datetime | None
    change: Any
    evidence: Any
    payment_id: str | None
    key_kind: str | None


class RejectionRow(StoredRejection, frozen=True, kw_only=True):
    """A row of ``rejection``."""

    subject: str
    cause: str
    actor: str
    reason: str
    evidence: Any = None
    key_kind: str | None = None


class TransferRow(StoredTransfer, frozen=True, kw_only=True):
    """A row of ``transfer``."""

    at: datetime


class InstructionRow(Struct, frozen=True, kw_only=True):
    """A row of ``answered_instruction``, without its answer; bytes in hexadecimal digits, as the database has them in
    JSON."""

    idempotency_key: str
    instruction_id: str
    operation: str
    path: str
    payment_id: str
    subject_id: str
    at: datetime
    status: int | None
    request: str = ""
    fingerprint: str = ""


class AnswerRow(Struct, frozen=True, kw_only=True):
    """A row of ``response``; the body in hexadecimal digits, as the database has bytes in JSON."""

    idempotency_key: str
    status: int
    body: str
    at: datetime
    api_version: str | None = None


class ReplayRow(Struct, frozen=True, kw_only=True):
    """How often a request was repeated and got one kind of answer."""

    idempotency_key: str
    kind: str
    n: int
    first_at: datetime
    last_at: datetime


class MessageRow(Struct, frozen=True, kw_only=True):
    """A row of ``outbox``."""

    stream_id: str
    version: int
    subject_id: str
    message_id: str
    type: str
    at: datetime
    body: str | None = None
    answer_key: str | None = None
    dispatched_at: datetime | None = None
    api_version: str | None = None
    key_kind: str | None = None
    traceparent: str | None = None


class DeliveryRow(Struct, frozen=True, kw_only=True):
    """A message on its way to one endpoint."""

    endpoint_id: str
    message_id: str
    type: str
    state: str
    tries: int
    resends: int
    next_try_at: datetime | None
    dispatched_at: datetime
    closed_at: datetime | None


class SendRow(Struct, frozen=True, kw_only=True):
    """One try at one message to one endpoint, or the request of more."""

    endpoint_id: str
    message_id: str
    number: int
    started_at: datetime
    duration_ms: int
    result: str
    status: int | None
    detail: str | None
    actor: str | None


class EventRow(Struct, frozen=True, kw_only=True):
    """A provider's event that was routed to the payment."""

    provider: str
    account: str
    provider_event_id: str
    event_id: str
    type: str
    received_at: datetime
    occurred_at: datetime | None
    charge_reference: str | None
    state: str
    detail: str | None
    tries: int
    replays: int
    next_try_at: datetime | None
    closed_at: datetime | None
    notice: Any = None


class ArrivalRow(Struct, frozen=True, kw_only=True):
    """One arrival of an event."""

    provider_event_id: str
    delivery_id: str
    received_at: datetime
    validated_at: datetime
    recorded_at: datetime
    result: str


class TryRow(Struct, frozen=True, kw_only=True):
    """One try at an event, or an operator's act."""

    provider_event_id: str
    number: int
    started_at: datetime
    ended_at: datetime
    result: str
    detail: str | None
    change_id: str | None
    actor: str | None


class CaseRow(Struct, frozen=True, kw_only=True):
    """A row of ``rejected_case``: a refused transition that somebody has to look at."""

    case_id: str
    rejection_id: str
    subject: str
    subject_id: str
    subject_state: str
    subject_version: int
    event: str
    tried_by: str
    category: str
    reason: str
    event_id: str | None
    created_at: datetime
    state: str
    owner: str | None
    resolution: str | None
    updated_at: datetime


class ActRow(Struct, frozen=True, kw_only=True):
    """A row of ``operator_act``."""

    act_id: str
    operator: str
    key_kind: str | None
    act: str
    target: str
    reason: str
    result: dict[str, Any]
    change_id: str | None
    at: datetime


class EvidenceRow(Struct, frozen=True, kw_only=True):
    """A row of ``settlement_evidence``, without the values compared."""

    file_id: str
    position: int
    version: int
    line: int
    batch: str
    currency: str
    kind: str
    gross: int
    fee: int
    status: str
    reason: str
    stage: str
    subject_id: str | None
    subject_version: int | None
    idempotency_key: str | None
    row_reference: str | None
    actor: str
    compared_at: datetime
    supersedes: int | None


class TraceRows(Struct, frozen=True, kw_only=True):
    """Everything stored about one payment. ``record`` is what ``verify`` looks at; where the row of the payment itself
    is missing, its head is the last state that the history gives. ``stored``: the ids of subjects that have rows.
    ``parked_at``, ``closed_at`` and the like are the database's times; ``now`` too."""

    record: PaymentRecord
    stored: frozenset[str]
    now: datetime
    deadlines: Mapping[str, datetime]
    steps: Sequence[StepRow]
    rejections: Sequence[RejectionRow]
    transfers: Sequence[TransferRow]
    instructions: Mapping[str, InstructionRow]
    answered: Mapping[str, AnswerRow]
    replays: Sequence[ReplayRow]
    messages: Sequence[MessageRow]
    deliveries: Sequence[DeliveryRow]
    sends: Sequence[SendRow]
    queues: frozenset[str] = field(default_factory=frozenset)
    events: Sequence[EventRow] = ()
    arrivals: Mapping[str, Sequence[ArrivalRow]] = field(default_factory=dict)
    tries: Mapping[str, Sequence[TryRow]] = field(default_factory=dict)
    cases: Sequence[CaseRow] = ()
    acts: Sequence[ActRow] = ()
    evidence: Sequence[EvidenceRow] = ()
