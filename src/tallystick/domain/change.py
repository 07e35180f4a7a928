"""The values that the journal commits: history, ledger, messages, and the ``Change`` that holds them together.

Plain data without I/O. A ``Change`` is the only thing ``Journal.commit`` accepts, and it is committed whole or not
at all.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, TypeVar

from msgspec import Struct

from tallystick.domain.api_keys import KeyKind
from tallystick.domain.operator_act import OperatorAct
from tallystick.domain.origin import Origin
from tallystick.domain.provider_answer import ProviderAnswer
from tallystick.domain.rejected_case import Category
from tallystick.domain.subjects import Subject

Some = TypeVar("Some")

#: What one try at a provider's event came to.
TryResult = Literal[
    "applied", "duplicate_effect", "stale", "conflict", "unknown_type", "unreadable", "foreign", "unroutable", "failed"
]

#: The state of a provider's event after a try.
EventState = Literal[TryResult, "dead"]


class Transition(Struct, frozen=True, kw_only=True):
    """One step of history, the guard of every change: (merchant_id, subject_id, version) exists at most once."""

    merchant_id: str
    subject_id: str
    version: int
    subject: str  # its kind
    stream_id: str
    from_state: str
    to_state: str
    event: str
    cause: str
    actor: str
    provider_reference: str | None = None
    at: datetime  # when we recorded it
    occurred_at: datetime | None = None  # when it happened, by the provider's clock
    change: dict[str, Any]  # the fields that this version set: history replays to the stored state
    evidence: dict[str, Any] | None = None  # the provider's raw answer, or an operator's evidence


class Transfer(Struct, frozen=True, kw_only=True):
    """One ledger row, keyed by its transition: a replayed event cannot post twice."""

    merchant_id: str
    stream_id: str
    subject_id: str
    version: int
    leg: int
    kind: str
    debit: str
    credit: str
    amount: int
    currency: str
    at: datetime


class Rejection(Struct, frozen=True, kw_only=True):
    """A transition that was refused, kept with the edge it tried, who tried it and the state it met."""

    merchant_id: str
    stream_id: str
    rejection_id: str
    subject_id: str
    subject: str
    state: str
    version: int
    event: str
    cause: str
    actor: str
    origin: Origin
    reason: str
    alert: bool
    idempotency_key: str | None = None
    at: datetime
    evidence: dict[str, Any] | None = None
    key_kind: KeyKind | None = None  # of the API key that tried it, or whose instruction its attempt carries out
    category: Category | None = None  # None where a client was refused


class KeyClaim(Struct, frozen=True, kw_only=True):
    """Takes an idempotency key for one instruction. ``instruction_id`` is minted before the first try."""

    merchant_id: str
    idempotency_key: str
    instruction_id: str
    operation: str  # "POST /v1/payments", ...
    path: str
    fingerprint: bytes
    fingerprint_version: int
    request: bytes  # the canonical body as sent
    payment_id: str
    subject_id: str
    at: datetime
    traceparent: str | None = None  # of the request, if it had one


class RecordedResponse(Struct, frozen=True, kw_only=True):
    """The final answer of an instruction, byte for byte. ``api_version``: the version that it is in, as stored."""

    merchant_id: str
    idempotency_key: str
    status: int
    body: bytes
    at: datetime
    api_version: str | None = None


class KnownReference(Struct, frozen=True, kw_only=True):
    """A provider's reference of a charge, for events that identify it by nothing else."""

    provider: str
    account: str
    reference: str
    merchant_id: str
    payment_id: str


class Message(Struct, frozen=True, kw_only=True):
    """A message to a merchant about one version: written with the change, delivered later. ``version`` is the version
    of the stream's own subject (its payment), so the messages of a stream have one order. ``api_version``: the
    version of the API that its body is in, as stored: the newest one of the release that wrote it. ``key_kind``: the
    change's. ``traceparent``: of the request that led to it, if that had one."""

    merchant_id: str
    stream_id: str
    version: int
    message_id: str
    type: str  # payment.captured, refund.succeeded, ...
    subject_id: str
    body: bytes  # the subject as of this version, as JSON
    at: datetime
    api_version: str | None = None
    key_kind: KeyKind | None = None
    traceparent: str | None = None


class Acknowledgement(Struct, frozen=True, kw_only=True):
    """One try at a provider's event and its result, committed together with the effect.

    ``state`` is the event's state after it. With ``next_try_in_ms`` the event is tried again, else it is closed.
    """

    provider: str
    account: str
    provider_event_id: str
    try_id: str
    number: int
    started_at: datetime
    ended_at: datetime
    result: TryResult
    state: EventState
    detail: str | None = None  # why: an error's type and place, or a rejection's reason; never what a provider sent
    next_try_in_ms: int | None = None
    change_id: str | None = None
    actor: str | None = None
    merchant_id: str | None = None  # where it was routed to
    payment_id: str | None = None
    lease: str | None = None  # of a try without a decision: it counts only while no other worker holds the event


class ToldByFile(Struct, frozen=True, kw_only=True):
    """An event of the inbox that settlement files told of. A change that is decided by it counts only while one of
    these files is not withdrawn."""

    provider: str
    account: str
    provider_event_id: str


class Change(Struct, frozen=True, kw_only=True):
    """Everything that one decision writes, in one transaction, in one stream.

    ``subjects`` holds each subject that it opens or moves, as the change leaves it. ``must_not_be_shed``: it reports
    the outcome of a call that was made, so a full queue must still accept it. ``key_kind``: of the API key whose
    instruction led to it, in whatever process it ends; None where none did, as with a provider's own event. ``beside``:
    changes of other streams of the merchant that are committed with it, or not at all; they have its ``change_id``.
    ``act``: the operator's act that it carries out. ``answer``: what the provider answered, where that was no plain
    success. ``told_by_files``: what of the inbox it is decided by, where files told of that: it is stale once all of
    these are withdrawn.
    """

    change_id: str
    merchant_id: str
    stream_id: str
    claim: KeyClaim | None = None
    transitions: tuple[Transition, ...] = ()
    subjects: tuple[Subject, ...] = ()
    transfers: tuple[Transfer, ...] = ()
    responses: tuple[RecordedResponse, ...] = ()
    rejections: tuple[Rejection, ...] = ()
    references: tuple[KnownReference, ...] = ()
    messages: tuple[Message, ...] = ()
    acknowledgements: tuple[Acknowledgement, ...] = ()
    deadline_in_ms: int | None = None  # when recovery looks at an authorization that nobody captured
    must_not_be_shed: bool = False
    key_kind: KeyKind | None = None
    beside: tuple[Change, ...] = ()
    act: OperatorAct | None = None
    answer: ProviderAnswer | None = None
    told_by_files: tuple[ToldByFile, ...] = ()

    def every(self, struct: type[Some]) -> tuple[Some, ...]:
        """Its subjects of one kind."""
        return tuple([subject for subject in self.subjects if isinstance(subject, struct)])

    def one(self, struct: type[Some]) -> Some | None:
        """Its subject of one kind, or None where it has none."""
        for subject in self.subjects:
            if isinstance(subject, struct):
                return subject
        return None
