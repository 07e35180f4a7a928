"""Checks on messages: every step with a message has it, and it agrees with history."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tallystick.decisions.messages import ShownSubjects, Step, message_of
from tallystick.domain.change import Message
from tallystick.domain.kinds import kind_of
from tallystick.domain.lifecycles.machines import MACHINES
from tallystick.domain.replay import HistoryStep
from tallystick.domain.subjects import Subject
from tallystick.oversight.invariants.finding import Finding
from tallystick.record.postgres.stream_record import StreamRecord


def steps_are_told(record: StreamRecord) -> Iterator[Finding]:
    """For each subject that a change moved, its last step over an edge with a message has that message: at the version
    of the stream's own subject in that change, with the subject as it was after that step."""
    due = {(message.version, message.subject_id): message for message in _due(record)}
    found = {(message.version, message.subject_id): message for message in record.messages}
    for place in sorted(due.keys() - found.keys()):
        yield Finding(place[1], f"{due[place].type} at version {place[0]} of its stream has no message")
    for place in sorted(found.keys() - due.keys()):
        yield Finding(
            place[1], f"{found[place].type} at version {place[0]} of its stream is a message without its step"
        )
    for place in sorted(due.keys() & found.keys()):
        told, meant = found[place], due[place]
        if (told.type, told.message_id) != (meant.type, meant.message_id):
            yield Finding(place[1], f"has message {told.type} at version {place[0]}, must be {meant.type}")
        elif told.body != meant.body:
            yield Finding(place[1], f"{told.type} at version {place[0]} differs from history")


def _due(record: StreamRecord) -> Iterator[Message]:
    steps_of: dict[str, dict[str, list[HistoryStep]]] = {}
    for subject_id, steps in record.histories.items():
        for step in steps:
            steps_of.setdefault(step.change_id, {}).setdefault(subject_id, []).append(step)
    for change_id, by_subject in steps_of.items():
        head = _state(record, by_subject.get(record.stream_id, ())[-1:])
        if head is None:
            continue  # the stream got no version; or history_replays_to_state reports why
        for steps in by_subject.values():
            told = [step for step in _candidates(steps) if _told(step) is not None]
            subject = _state(record, told[-1:])
            kind = _told(told[-1]) if told else None
            if subject is None or kind is None or kind_of(subject).view is None:
                continue
            yield message_of(Step(kind, subject), head, change_id, told[-1].at, ShownSubjects())


def _candidates(steps: Sequence[HistoryStep]) -> Sequence[HistoryStep]:
    """The steps of one subject in one change that may have a message: for rows from before streams only the last
    one."""
    return steps[-1:] if steps[-1].before_streams else steps


def _told(step: HistoryStep) -> str | None:
    machine = MACHINES.get(step.subject)
    edge = None if machine is None else machine.recorded_edge(step.from_state, step.event)
    return None if edge is None else edge.told


def _state(record: StreamRecord, last: Sequence[HistoryStep]) -> Subject | None:
    """The subject after a step, or None without a step or a replay."""
    if not last:
        return None
    replay = record.replays.get(last[0].subject_id)
    return replay.states.get(last[0].version) if replay else None
