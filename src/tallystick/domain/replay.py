"""History folded into state: each transition holds the fields that it set, and together they must give the stored row.

Pure. What is replayed is compared with what is stored (``history_replays_to_state``), with the postings that each step
should have made, and with the answers that were recorded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec import Struct

from tallystick.domain.kinds import KINDS, SubjectKind
from tallystick.domain.subjects import Subject

_CHANGE: Final = msgspec.json.Decoder(dict[str, Any])


class HistoryStep(Struct, frozen=True, kw_only=True):
    """One row of ``transition``. ``change`` and ``evidence`` are JSON texts; evidence is read of late effects alone."""

    merchant_id: str
    subject_id: str
    version: int
    change_id: str
    subject: str
    stream_id: str
    from_state: str
    to_state: str
    event: str
    at: datetime
    change: str
    evidence: str | None = None
    before_streams: bool = False  # written by a release that told of a change's last step alone


class Replay(Struct, frozen=True, kw_only=True):
    """The state after each version, and the first thing that kept history from being replayed."""

    states: Mapping[int, Subject]
    fault: str | None = None

    def last(self) -> Subject | None:
        """The state after the whole history, or None where it cannot be replayed."""
        if self.fault is not None or not self.states:
            return None
        return self.states[max(self.states)]


def replay(steps: Sequence[HistoryStep]) -> Replay:
    """Fold the steps of one subject, which come in the order of their versions."""
    states: dict[int, Subject] = {}
    values: dict[str, Any] = {}
    for step in steps:
        try:
            kind = KINDS[step.subject]
            values |= _set_by(kind, step)
            states[step.version] = _state_after(kind, step, values)
        except (msgspec.MsgspecError, KeyError, ValueError) as error:
            return Replay(states=states, fault=f"version {step.version}: {_reason(error)}")
    return Replay(states=states)


def differing_fields(replayed: Subject, stored: Subject) -> list[str]:
    """The names of the fields that differ, in the order of the row. Values stay out: they may be a customer's words."""
    if type(replayed) is not type(stored):
        return ["subject"]
    names: tuple[str, ...] = type(stored).__struct_fields__  # type: ignore[attr-defined]  # every kind's is a Struct
    return [name for name in names if getattr(replayed, name) != getattr(stored, name)]


def _set_by(kind: SubjectKind, step: HistoryStep) -> dict[str, Any]:
    change = _CHANGE.decode(step.change)
    foreign = change.keys() - set(kind.history_fields)
    if foreign:
        raise ValueError(f"sets what no {kind.name} has: {', '.join(sorted(foreign))}")
    return change


def _state_after(kind: SubjectKind, step: HistoryStep, values: Mapping[str, Any]) -> Subject:
    columns: dict[str, Any] = {
        "merchant_id": step.merchant_id,
        kind.stream_field: step.stream_id,
        "version": step.version,
        "state": step.to_state,
    }
    if kind.has_updated_at:
        columns["updated_at"] = step.at
    subject: Subject = msgspec.convert({**values, **columns}, kind.struct)
    return subject


def _reason(error: Exception) -> str:
    return f"no such subject as {error}" if isinstance(error, KeyError) else str(error)
