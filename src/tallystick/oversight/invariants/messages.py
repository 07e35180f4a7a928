"""Checks on what merchants are told: every step worth telling has its message, which says what history says."""

from __future__ import annotations

from collections.abc import Iterator

from tallystick.decisions.messages import TYPES, message_of
from tallystick.domain.change import Message
from tallystick.domain.replay import Step, Subject
from tallystick.domain.subjects import Attempt, Payment
from tallystick.oversight.invariants.finding import Finding
from tallystick.record.postgres.payment_record import PaymentRecord


def steps_are_told(record: PaymentRecord) -> Iterator[Finding]:
    """Of each subject that a change moved, its last step is told where it is one that merchants are told of: by one
    message, at the payment's version of that change, with the subject as it was then."""
    due = {(message.version, message.subject_id): message for message in _due(record)}
    found = {(message.version, message.subject_id): message for message in record.messages}
    for place in sorted(due.keys() - found.keys()):
        yield Finding(place[1], f"{due[place].type} at version {place[0]} of its payment was told nobody")
    for place in sorted(found.keys() - due.keys()):
        yield Finding(
            place[1], f"{found[place].type} at version {place[0]} of its payment was told, and did not happen"
        )
    for place in sorted(due.keys() & found.keys()):
        said, meant = found[place], due[place]
        if (said.type, said.message_id) != (meant.type, meant.message_id):
            yield Finding(place[1], f"was told as {said.type} at version {place[0]}, must be {meant.type}")
        elif said.body != meant.body:
            yield Finding(place[1], f"{said.type} at version {place[0]} says something else than history")


def _due(record: PaymentRecord) -> Iterator[Message]:
    last: dict[str, dict[str, Step]] = {}
    for subject_id, steps in record.histories.items():
        for step in steps:
            last.setdefault(step.change_id, {})[subject_id] = step
    payment_id = record.payment.payment_id
    for change_id, steps_of in last.items():
        if payment_id not in steps_of:
            continue
        payment = _state(record, steps_of[payment_id])
        if not isinstance(payment, Payment):
            continue  # history_replays_to_state has said why
        for step in steps_of.values():
            subject = _state(record, step)
            if (step.subject, step.event) not in TYPES or subject is None or isinstance(subject, Attempt):
                continue
            message = message_of(step.event, subject, payment, change_id, step.at)
            if message is not None:
                yield message


def _state(record: PaymentRecord, step: Step) -> Subject | None:
    replay = record.replays.get(step.subject_id)
    return replay.states.get(step.version) if replay else None
