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

from tallystick.domain.subjects import Attempt, Dispute, Payment, Refund

Subject = Payment | Refund | Attempt | Dispute

TYPES: Final[Mapping[str, type[Subject]]] = {
    "payment": Payment,
    "refund": Refund,
    "attempt": Attempt,
    "dispute": Dispute,
}

#: What a step carries in its own columns, or what is no history at all (recovery's schedule).
_IN_COLUMNS: Final = frozenset({"merchant_id", "payment_id", "version", "state", "updated_at", "schedule"})

_SETTABLE: Final = {subject: frozenset(struct.__struct_fields__) - _IN_COLUMNS for subject, struct in TYPES.items()}

_CHANGE: Final = msgspec.json.Decoder(dict[str, Any])


class Step(Struct, frozen=True, kw_only=True):
    """One row of ``transition``. ``change`` and ``evidence`` are JSON texts; evidence is read of late effects alone."""

    merchant_id: str
    subject_id: str
    version: int
    change_id: str
    subject: str
    payment_id: str
    from_state: str
    to_state: str
    event: str
    at: datetime
    change: str
    evidence: str | None = None


class Replay(Struct, frozen=True, kw_only=True):
    """The state after each version, and the first thing that kept history from being replayed."""

    states: Mapping[int, Subject]
    fault: str | None = None

    def last(self) -> Subject | None:
        """The state after the whole history, or None where it cannot be replayed."""
        if self.fault is not None or not self.states:
            return None
        return self.states[max(self.states)]


def replay(steps: Sequence[Step]) -> Replay:
    """Fold the steps of one subject, which come in the order of their versions."""
    states: dict[int, Subject] = {}
    values: dict[str, Any] = {}
    for step in steps:
        try:
            values |= _set_by(step)
            states[step.version] = _state_after(step, values)
        except (msgspec.MsgspecError, KeyError, ValueError) as error:
            return Replay(states=states, fault=f"version {step.version}: {_said(error)}")
    return Replay(states=states)


def differing_fields(replayed: Subject, stored: Subject) -> list[str]:
    """The names of the fields that differ, in the order of the row. Values stay out: they may be a customer's words."""
    if type(replayed) is not type(stored):
        return ["subject"]
    return [name for name in stored.__struct_fields__ if getattr(replayed, name) != getattr(stored, name)]


def _set_by(step: Step) -> dict[str, Any]:
    change = _CHANGE.decode(step.change)
    foreign = change.keys() - _SETTABLE[step.subject]
    if foreign:
        raise ValueError(f"sets what no {step.subject} has: {', '.join(sorted(foreign))}")
    return change


def _state_after(step: Step, values: Mapping[str, Any]) -> Subject:
    columns: dict[str, Any] = {
        "merchant_id": step.merchant_id,
        "payment_id": step.payment_id,
        "version": step.version,
        "state": step.to_state,
    }
    if step.subject != "attempt":
        columns["updated_at"] = step.at
    return msgspec.convert({**values, **columns}, TYPES[step.subject])


def _said(error: Exception) -> str:
    return f"no such subject as {error}" if isinstance(error, KeyError) else str(error)
