"""Replay: each transition holds the fields that it set; folded in order they must give the stored row.

Pure. The replayed state is compared with the stored one (``history_replays_to_state``), with the postings that each
step should have made, and with the recorded answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec import NODEFAULT, Struct

from tallystick.domain.api_keys import KeyKind
from tallystick.domain.kinds import KINDS, SubjectKind
from tallystick.domain.subjects import Subject

_CHANGE: Final = msgspec.json.Decoder(dict[str, Any])
_ENCODER: Final = msgspec.json.Encoder()


class HistoryStep(Struct, frozen=True, gc=False):
    """One row of ``history``. ``change`` and ``evidence`` are JSON texts; evidence is read for late effects only.
    ``change_id`` and ``at`` are None where the lead of its change is missing."""

    merchant_id: str
    subject_id: str
    version: int
    change_id: str | None
    subject: str
    stream_id: str
    from_state: str
    to_state: str
    event: str
    at: datetime | None
    change: str
    evidence: str | None = None
    before_streams: bool = False  # written by a release that sent a message of a change's last step only
    key_kind: KeyKind | None = None  # of its change


class Replay(Struct, frozen=True, kw_only=True):
    """The state after each version, and the first fault that stopped the replay."""

    states: Mapping[int, Subject]
    fault: str | None = None

    def last(self) -> Subject | None:
        """The state after the whole history, or None if it cannot be replayed."""
        if self.fault is not None or not self.states:
            return None
        return self.states[max(self.states)]


def with_defaults(merchant_id: str, subject: str, subject_id: str, at: datetime, change: str) -> str:
    """A first step's JSON with the fields that history leaves out: the subject's id, what has its kind's default, the
    time of the step (``at``), and what follows from the others. Raises KeyError for an unknown kind, and
    msgspec.MsgspecError for what is not JSON."""
    kind = KINDS[subject]
    own_id = {} if kind.stands_alone else {kind.id_field: subject_id}
    left_out = {name: default for name, default in kind.opened_with if default is not NODEFAULT}
    fields = own_id | left_out | _made_at(kind, at) | _CHANGE.decode(change)
    return _ENCODER.encode(fields | _derived(kind, {"merchant_id": merchant_id, **fields})).decode()


def replay(steps: Sequence[HistoryStep]) -> Replay:
    """Fold the steps of one subject, given in the order of their versions."""
    states: dict[int, Subject] = {}
    values: dict[str, Any] = {}
    for step in steps:
        try:
            kind = KINDS[step.subject]
            opening = _made_at(kind, step.at) if step.version == 1 else {}
            values |= opening | _set_by(kind, step)
            states[step.version] = _state_after(kind, step, values)
        except (msgspec.MsgspecError, KeyError, ValueError, TypeError) as error:  # derived fields meet any JSON
            return Replay(states=states, fault=f"version {step.version}: {_reason(error)}")
    return Replay(states=states)


def differing_fields(replayed: Subject, stored: Subject) -> list[str]:
    """The names of the fields that differ, in the order of the row. Values are left out: they may be customers'
    data."""
    if type(replayed) is not type(stored):
        return ["subject"]
    names: tuple[str, ...] = type(stored).__struct_fields__  # type: ignore[attr-defined]  # every kind's is a Struct
    return [name for name in names if getattr(replayed, name) != getattr(stored, name)]


def _set_by(kind: SubjectKind, step: HistoryStep) -> dict[str, Any]:
    if step.change_id is None:
        raise ValueError("the lead of its change is missing")
    change = _CHANGE.decode(step.change)
    if not change.keys() <= kind.set_by_history:
        foreign = change.keys() - kind.set_by_history
        raise ValueError(f"sets fields that a {kind.name} does not have: {', '.join(sorted(foreign))}")
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
    # Rows of before repeat the subject's id among what was set.
    fields = {kind.id_field: step.subject_id, **values, **columns}
    subject: Subject = msgspec.convert(_derived(kind, fields) | fields, kind.struct)
    return subject


def _made_at(kind: SubjectKind, at: datetime | None) -> dict[str, Any]:
    return {"created_at": at} if kind.has_created_at else {}


def _derived(kind: SubjectKind, fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: derive(fields) for name, derive in kind.derived.items() if name not in fields}


def _reason(error: Exception) -> str:
    return f"no such subject as {error}" if isinstance(error, KeyError) else str(error)
