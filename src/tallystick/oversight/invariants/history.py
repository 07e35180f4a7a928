"""Checks on the history of one stream: versions, edges, and that it replays to the stored state."""

from __future__ import annotations

from collections.abc import Iterator

from tallystick.domain.lifecycles.machines import MACHINES, recorded_edge
from tallystick.domain.lifecycles.table import NEW
from tallystick.domain.replay import HistoryStep, differing_fields
from tallystick.oversight.invariants.finding import Finding
from tallystick.record.postgres.stream_record import StreamRecord


def versions_without_gaps(record: StreamRecord) -> Iterator[Finding]:
    """Versions count 1, 2, 3 … and the stored row has the last one."""
    for subject_id, stored in record.subjects:
        versions = [step.version for step in record.histories.get(subject_id, ())]
        if versions != list(range(1, len(versions) + 1)):
            yield Finding(subject_id, f"versions are {_few(versions)}")
        last = versions[-1] if versions else None
        if stored.version != last:
            yield Finding(subject_id, f"is stored at version {stored.version}, history ends at {last}")


def legal_edges_only(record: StreamRecord) -> Iterator[Finding]:
    """Each step is an edge of the lifecycle tables, and starts where the one before it ended."""
    for subject_id, steps in record.histories.items():
        state = NEW
        for step in steps:
            edge = recorded_edge(step.subject, step.from_state, step.event)
            if edge is None and step.subject not in MACHINES:
                yield Finding(subject_id, f"version {step.version} is of a {step.subject}")
            elif edge is None or edge.to != step.to_state:
                yield Finding(subject_id, f"{_taken(step)} is not in the tables")
            elif step.from_state != state:
                yield Finding(subject_id, f"{_taken(step)} starts elsewhere than {state}")
            state = step.to_state


def history_replays_to_state(record: StreamRecord) -> Iterator[Finding]:
    """Replaying the history gives exactly the stored row, except for recovery's schedule."""
    for subject_id, stored in record.subjects:
        replay = record.replays.get(subject_id)
        if replay is None:
            yield Finding(subject_id, "has no history")
        elif replay.fault is not None:
            yield Finding(subject_id, replay.fault)
        elif (replayed := replay.last()) is not None and replayed != stored:
            fields = ", ".join(differing_fields(replayed, stored))
            yield Finding(subject_id, f"the stored row differs from its history in {fields}")


def rejections_met_history(record: StreamRecord) -> Iterator[Finding]:
    """A refused transition names an existing version, and the state that it had."""
    for rejection in record.rejections:
        step = record.step(rejection.subject_id, rejection.version)
        if step is None:
            yield Finding(rejection.rejection_id, f"met version {rejection.version}, which history does not have")
        elif step.to_state != rejection.state:
            seen = f"met {rejection.state} at version {rejection.version}"
            yield Finding(rejection.rejection_id, f"{seen}, history says {step.to_state}")


def _taken(step: HistoryStep) -> str:
    return f"version {step.version}: {step.from_state} -{step.event}-> {step.to_state}"


def _few(versions: list[int]) -> str:
    shown = ", ".join(map(str, versions[:10]))
    return shown if len(versions) <= 10 else f"{shown}, … ({len(versions)} in all)"
