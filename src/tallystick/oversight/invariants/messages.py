"""Checks on messages: every step with a message has it, and it agrees with history."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from tallystick.decisions.messages import ShownSubjects, Step, id_of_message, message_of, shown_by
from tallystick.domain.api_keys import LETTERS, KeyKind
from tallystick.domain.api_versions import VERSIONS
from tallystick.domain.change import Message
from tallystick.domain.kinds import kind_of
from tallystick.domain.lifecycles.machines import recorded_edge
from tallystick.domain.replay import HistoryStep
from tallystick.domain.subjects import Subject
from tallystick.oversight.invariants.finding import Finding
from tallystick.oversight.stored_json import object_in
from tallystick.record.postgres.stream_record import StoredMessage, StreamRecord


class DueMessage(NamedTuple):
    """A message that history asks for: what it is made of."""

    type: str
    subject: Subject
    head: Subject
    change_id: str
    at: datetime
    key_kind: KeyKind | None

    def message(self, traceparent: str | None) -> Message:
        """The message. Its trace is no part of history, and is taken as it is told."""
        step = Step(self.type, self.subject)
        return message_of(step, self.head, self.change_id, self.at, ShownSubjects(), self.key_kind, traceparent)


def steps_are_told(record: StreamRecord) -> Iterator[Finding]:
    """For each subject that a change moved, its last step over an edge with a message has that message: at the version
    of the stream's own subject in that change, with the subject as it was after that step."""
    due = due_messages(record)
    found = {(message.version, message.subject_id): message for message in record.messages}
    if due.keys() == found.keys() and all(_says(found[place], place[1], meant) for place, meant in due.items()):
        return
    for place in sorted(due.keys() - found.keys()):
        yield Finding(place[1], f"{due[place].type} at version {place[0]} of its stream has no message")
    for place in sorted(found.keys() - due.keys()):
        yield Finding(
            place[1], f"{found[place].type} at version {place[0]} of its stream is a message without its step"
        )
    for place in sorted(due.keys() & found.keys()):
        told = found[place]
        meant = due[place].message(told.traceparent)
        if (told.type, told.message_id) != (meant.type, meant.message_id):
            yield Finding(place[1], f"has message {told.type} at version {place[0]}, must be {meant.type}")
        elif not _shows(told, meant):
            yield Finding(place[1], f"{told.type} at version {place[0]} differs from history")


def _says(told: StoredMessage, subject_id: str, due: DueMessage) -> bool:
    if told.body is not None or told.answer is None or told.api_version != VERSIONS.newest_stored:
        meant = due.message(told.traceparent)
        return (told.type, told.message_id) == (meant.type, meant.message_id) and _shows(told, meant)
    # One function makes both bodies of these: they are equal where these are.
    head = due.head
    made_of = (told.type, told.message_id, told.at, told.stream_id, told.version, told.key_kind, told.answer)
    id_ = id_of_message(due.change_id, subject_id)
    letter = None if due.key_kind is None else LETTERS[due.key_kind]
    body = ShownSubjects().encoded(due.subject)
    return made_of == (due.type, id_, due.at, kind_of(head).id_of(head), head.version, letter, body)


def _shows(told: StoredMessage, meant: Message) -> bool:
    """The same bytes; the same JSON of a message that was written in an older version, as that version has it."""
    version = VERSIONS.of_stored(told.api_version)
    if version is None or version is VERSIONS.newest:
        return told.sent == meant.body
    expected, _ = VERSIONS.message(meant.body, shown_by(meant.type), version, VERSIONS.newest)
    sent = object_in(told.sent)
    return sent is not None and sent == object_in(expected)


def due_messages(record: StreamRecord) -> dict[tuple[int, str], DueMessage]:
    """By its place in the stream, each message that history asks for."""
    due: dict[tuple[int, str], DueMessage] = {}
    # The last step of each change: the stream's own one, which has the place of the change's messages.
    heads = {step.change_id: step for step in record.histories.get(record.stream_id, ())}
    for steps in record.histories.values():
        for change_id, (type_, step) in _last_told(steps).items():
            subject, head = _state(record, step), _state(record, heads.get(change_id))
            # Without a head the stream got no version; history_replays_to_state reports a state that is missing.
            if subject is None or head is None or step.at is None or (kind := kind_of(subject)).view is None:
                continue
            place = head.version, kind.id_of(subject)
            due[place] = DueMessage(type_, subject, head, change_id, step.at, step.key_kind)
    return due


def _last_told(steps: Sequence[HistoryStep]) -> dict[str, tuple[str, HistoryStep]]:
    """By change, the last step of a subject over an edge with a message, and the message's type. In rows from before
    streams the change's last step is the only one that may have a message."""
    last: dict[str, tuple[str, HistoryStep]] = {}
    for step in steps:
        if step.change_id is None:
            continue  # history_replays_to_state reports why
        edge = recorded_edge(step.subject, step.from_state, step.event)
        if edge is not None and edge.told is not None:
            last[step.change_id] = edge.told, step
        elif step.before_streams:
            last.pop(step.change_id, None)
    return last


def _state(record: StreamRecord, step: HistoryStep | None) -> Subject | None:
    """The subject after a step, or None without a step or a replay."""
    replay = None if step is None else record.replays.get(step.subject_id)
    return None if step is None or replay is None else replay.states.get(step.version)
