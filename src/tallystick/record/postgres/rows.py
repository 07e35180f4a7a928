"""Changes as rows: tuples in the column order of ``sql/journal.sql``."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Final

from tallystick.domain.api_keys import LETTERS, KeyKind
from tallystick.domain.change import (
    Acknowledgement,
    Change,
    KeyClaim,
    KnownReference,
    Message,
    RecordedResponse,
    Rejection,
    ToldByFile,
    Transfer,
    Transition,
)
from tallystick.domain.operator_act import OperatorAct
from tallystick.kit.ids import sibling_id
from tallystick.record.postgres.message_bodies import answer_key_of
from tallystick.record.postgres.personal import NewRows, new_rows_of
from tallystick.record.postgres.subject_rows import Row, SubjectRows, json_or_none, json_text

_NONE: Final[list[Row]] = []

#: How an id begins -> the kind that it names in ``history``, where the row names none. Rows rely on it for ever.
_KIND_OF: Final = {"pay_": "payment", "att_": "attempt"}


def instruction_row(claim: KeyClaim) -> Row:
    """Columns of ``insert_instructions``. Null are a path that the operation ends in, a subject that is the payment,
    and an id that is made of the subject's; the view ``answered_instruction`` has them."""
    return (
        claim.merchant_id,
        claim.idempotency_key,
        None if claim.instruction_id == _named_by(claim.subject_id) else claim.instruction_id,
        claim.operation,
        None if claim.operation.endswith(f" {claim.path}") else claim.path,
        claim.fingerprint,
        claim.fingerprint_version,
        claim.request,
        claim.payment_id,
        None if claim.subject_id == claim.payment_id else claim.subject_id,
        claim.at,
        claim.traceparent,
    )


def _letter(kind: KeyKind | None) -> str | None:
    return None if kind is None else LETTERS[kind]


def _named_by(subject_id: str) -> str | None:
    return sibling_id("ins", subject_id) if "_" in subject_id else None


def transition_rows(change: Change, personal: NewRows | None = None) -> list[Row]:
    """Columns of ``insert_transitions``. A step that says of its change what the lead says, which is the first step of
    the stream's own subject, has the lead's version instead. A kind that the subject's id names is null. The view
    ``history`` has every step whole. ``personal``: hides what is personal."""
    lead = next((step for step in change.transitions if step.subject_id == change.stream_id), None)
    said = None if lead is None else _of_change(lead)
    return [
        _transition_row(step, change, personal)
        if lead is None or step is lead or _of_change(step) != said
        else _follower_row(step, lead.version)
        for step in change.transitions
    ]


def _of_change(step: Transition) -> tuple[object, ...]:
    """What all steps of a change usually share."""
    return (step.stream_id, step.cause, step.actor, step.provider_reference, step.at, step.occurred_at)


def _transition_row(step: Transition, change: Change, personal: NewRows | None) -> Row:
    return (
        step.merchant_id,
        step.subject_id,
        step.version,
        change.change_id,
        None if _KIND_OF.get(step.subject_id[:4]) == step.subject else step.subject,
        None if step.stream_id == step.subject_id else step.stream_id,
        step.from_state,
        step.to_state,
        step.event,
        step.cause,
        step.actor,
        step.provider_reference,
        step.at,
        step.occurred_at,
        json_text(step.change if personal is None else personal.change_of(step)),
        json_or_none(step.evidence),
        None,
        _letter(change.key_kind),
    )


def _follower_row(step: Transition, lead_version: int) -> Row:
    return (
        step.merchant_id,
        step.subject_id,
        step.version,
        None,
        None if _KIND_OF.get(step.subject_id[:4]) == step.subject else step.subject,
        None if step.stream_id == step.subject_id else step.stream_id,
        step.from_state,
        step.to_state,
        step.event,
        None,
        None,
        None,
        None,
        None,
        json_text(step.change),
        json_or_none(step.evidence),
        lead_version,
        None,
    )


def transfer_row(transfer: Transfer) -> Row:
    """Columns of ``insert_transfers``."""
    return (
        transfer.merchant_id,
        transfer.stream_id,
        transfer.subject_id,
        transfer.version,
        transfer.leg,
        transfer.kind,
        transfer.debit,
        transfer.credit,
        transfer.amount,
        transfer.currency,
        transfer.at,
    )


def response_row(response: RecordedResponse, personal: NewRows | None = None) -> Row:
    """Columns of ``insert_responses``. Raises NotMasked."""
    return (
        response.merchant_id,
        response.idempotency_key,
        response.status,
        response.body if personal is None else personal.values.masked(response.body),
        response.at,
        response.api_version,
    )


def rejection_row(rejection: Rejection) -> Row:
    """Columns of ``insert_rejections``."""
    return (
        rejection.merchant_id,
        rejection.stream_id,
        rejection.rejection_id,
        rejection.subject_id,
        rejection.subject,
        rejection.state,
        rejection.version,
        rejection.event,
        rejection.cause,
        rejection.actor,
        rejection.origin,
        rejection.reason,
        rejection.alert,
        rejection.idempotency_key,
        rejection.at,
        json_or_none(rejection.evidence),
        rejection.key_kind,
        rejection.category,
    )


def act_row(act: OperatorAct) -> Row:
    """Columns of ``insert_acts``."""
    return (
        act.operator,
        act.idempotency_key,
        act.act_id,
        act.act,
        act.target,
        act.merchant_id,
        act.payment_id,
        json_text(act.arguments),
        act.fingerprint,
        act.reason,
        act.key_kind,
        act.change_id,
        json_text(act.result),
        act.at,
    )


def answer_rows(change: Change) -> tuple[list[Row], list[Row]]:
    """Columns of ``insert_answers`` and of ``insert_answer_keys``."""
    answer = change.answer
    if answer is None:
        return _NONE, _NONE  # what nearly every change has takes no memory
    key = (change.merchant_id, change.stream_id, change.change_id)
    row = (
        *key,
        answer.attempt_id,
        answer.asked,
        answer.status,
        answer.size_bytes,
        answer.at,
        answer.subject_id,
        answer.version,
        answer.rejection_id,
        answer.sealed,
    )
    return [row], [(*key, answer.raw_key)]


def reference_row(known: KnownReference) -> Row:
    """Columns of ``insert_references``."""
    return (known.provider, known.account, known.reference, known.merchant_id, known.payment_id)


def message_row(message: Message, responses: Iterable[RecordedResponse], personal: NewRows | None = None) -> Row:
    """Columns of ``insert_messages``. A message whose data is an answer of the same change has the answer's key
    in place of its body. Raises NotMasked."""
    answer_key = answer_key_of(message, responses)
    body = None if answer_key is not None else message.body
    if body is not None and personal is not None:
        body = personal.values.masked(body)
    return (
        message.merchant_id,
        message.stream_id,
        message.version,
        message.subject_id,
        message.message_id,
        message.type,
        body,
        message.at,
        answer_key,
        message.api_version,
        _letter(message.key_kind),
        message.traceparent,
    )


def processing_row(ack: Acknowledgement) -> Row:
    """Columns of ``insert_processing``."""
    return (
        ack.provider,
        ack.account,
        ack.provider_event_id,
        ack.try_id,
        ack.number,
        ack.started_at,
        ack.ended_at,
        ack.result,
        ack.detail,
        ack.change_id,
        ack.actor,
    )


def acknowledgement_row(ack: Acknowledgement) -> Row:
    """Columns of ``acknowledge``."""
    return (
        ack.provider,
        ack.account,
        ack.provider_event_id,
        ack.state,
        ack.detail,
        ack.number,
        ack.next_try_in_ms,
        ack.merchant_id,
        ack.payment_id,
        ack.lease,
    )


def told_row(told: ToldByFile) -> Row:
    """Columns of ``hold_news``."""
    return (told.provider, told.account, told.provider_event_id)


class ChangeRows:
    """One change as rows by table, built by the caller of ``commit`` so that the batch only concatenates."""

    __slots__ = (
        "acknowledgements",
        "acts",
        "answer_keys",
        "answers",
        "count",
        "deadlines",
        "instructions",
        "messages",
        "processing",
        "references",
        "rejections",
        "responses",
        "size_bytes",
        "subjects",
        "told",
        "transfers",
        "transitions",
    )

    #: Fixed columns, index entries and protocol framing of a row, roughly; JSON and bodies are counted exactly.
    ROW_BYTES: Final = 300

    def __init__(self, change: Change) -> None:
        personal = new_rows_of(change)
        claim = change.claim
        if personal is not None and claim is not None:
            claim = personal.claim_of(claim)
        self.instructions = [instruction_row(claim)] if claim else []
        self.transitions = transition_rows(change, personal)
        self.subjects = SubjectRows(change)
        if personal is not None and personal.key is not None:
            self.subjects.give_key(personal.key)
        for other in change.beside:
            self.transitions += transition_rows(other)
            self.subjects.add(other)
        self.acts = [] if change.act is None else [act_row(change.act)]
        self.told = [told_row(each) for each in change.told_by_files] if change.told_by_files else _NONE
        self.answers, self.answer_keys = answer_rows(change)
        self.transfers = [transfer_row(t) for t in change.transfers]
        self.responses = [response_row(r, personal) for r in change.responses]
        self.rejections = [rejection_row(r) for r in change.rejections]
        self.references = [reference_row(known) for known in change.references]
        self.messages = [message_row(message, change.responses, personal) for message in change.messages]
        self.processing = [processing_row(ack) for ack in change.acknowledgements]
        self.acknowledgements = [acknowledgement_row(ack) for ack in change.acknowledgements]
        due = change.deadline_in_ms
        self.deadlines = [] if due is None else [(change.merchant_id, change.stream_id, due)]
        self.count = (
            len(self.transitions)
            + self.subjects.count
            + len(self.transfers)
            + len(self.responses)
            + len(self.rejections)
            + len(self.instructions)
            + len(self.references)
            + len(self.acts)
            + 2 * len(self.answers)
            + len(self.messages)
            + 2 * len(self.acknowledgements)
        )
        size_bytes = self.count * self.ROW_BYTES
        for row in self.transitions:
            size_bytes += len(row[14]) + len(row[15] or "")
        for row in self.responses:
            size_bytes += len(row[3])
        for row in self.messages:
            size_bytes += len(row[6] or b"")
        for row in self.answers:
            size_bytes += len(row[11])
        if change.claim:
            size_bytes += len(change.claim.request)
        self.size_bytes = size_bytes


def balance_rows(transfers: Iterable[Row]) -> list[Row]:
    """The sums that a batch adds to balances: one row per account and currency, sorted."""
    sums: dict[tuple[str, str, str], list[int]] = {}
    for row in transfers:
        merchant_id, debit, credit, amount, currency = row[0], row[6], row[7], row[8], row[9]
        sums.setdefault((merchant_id, debit, currency), [0, 0])[0] += amount
        sums.setdefault((merchant_id, credit, currency), [0, 0])[1] += amount
    return [(*key, Decimal(debits), Decimal(credits)) for key, (debits, credits) in sorted(sums.items())]
