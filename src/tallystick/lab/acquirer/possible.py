"""Which controls are possible now, each as a call with what it makes. Pure: rows in, calls out. What a control needs is
judged by the rules that the call itself is judged by."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from tallystick.lab.acquirer.control_table import (
    A_WEBHOOK_URL,
    CAPTURE_FAILS,
    ON_CHARGES,
    ON_DISPUTES,
    ON_THE_ACQUIRER,
    REFUND_FAILS,
    Control,
)
from tallystick.lab.acquirer.overview import ChargeFile
from tallystick.lab.acquirer.rules import can_fail, steps_of

#: Status of a charge -> the names of the controls on it.
_ON_STATUS: Final[Mapping[str, Sequence[str]]] = {
    "requires_action": ("complete", "abandon"),
    "authorized": ("expire", "dashboard_capture"),
    "declined": ("late_capture",),
    "captured": ("dashboard_refund", "dispute", "dispute_won", "dispute_lost", "dispute_second"),
}


class Arrival(Struct, frozen=True):
    """One event that a control makes, and how long after the call it is sent; None: never."""

    event: str
    after_ms: int | None


class Possible(Struct, frozen=True, kw_only=True):
    """A call that is possible now. ``about``: the id of its charge, dispute or operation."""

    name: str
    label: str
    does: str
    about: str
    path: str
    body: Mapping[str, Any]
    arrives: tuple[Arrival, ...] = ()

    def curl(self, address: str) -> str:
        """The line that makes the call. Its parts are the acquirer's own, and need no quoting."""
        data = f" -d '{msgspec.json.encode(self.body).decode()}'" if self.body else ""
        return f"curl -X POST {address}{self.path}{data}"


def possible_calls(file: ChargeFile, *, late_ms: int, departure: str) -> list[Possible]:
    """What can be done to a charge, its disputes and its operations now. ``departure``: how its events leave."""
    return [
        Possible(
            name=control.name,
            label=control.label,
            does=control.does,
            about=about,
            path=control.path.format(id=about),
            body=control.body,
            arrives=_arrivals(_events(control, file.charge), late_ms, departure),
        )
        for control, about in _fitting(file)
    ]


def calls_on_the_acquirer(*, sends: bool) -> list[Possible]:
    """What can be done at any time. ``sends``: whether there is a webhook URL."""
    return [
        Possible(name=each.name, label=each.label, does=each.does, about="", path=each.path, body=each.body)
        for each in ON_THE_ACQUIRER
        if sends or each.needs != A_WEBHOOK_URL
    ]


def _fitting(file: ChargeFile) -> Iterator[tuple[Control, str]]:
    """The newest dispute or operation first: a control by name alone means the newest."""
    charge = file.charge
    is_disputed = any(dispute["status"] in ("opened", "under_review") for dispute in file.disputes)
    for dispute in reversed(file.disputes):
        yield from ((control, dispute["id"]) for step, control in ON_DISPUTES.items() if step in steps_of(dispute))
    for control in ON_CHARGES:
        fits = control.name in _ON_STATUS.get(charge["status"], ())
        decides_another = is_disputed and "outcome" in control.body
        refunds_nothing = control.name == "dashboard_refund" and charge["captured"] == charge["refunded"]
        if fits and not decides_another and not refunds_nothing:
            yield control, charge["id"]
    for operation in reversed(file.operations):
        if can_fail(operation, charge):
            fails = REFUND_FAILS if operation["operation"] == "refund" else CAPTURE_FAILS
            yield fails, operation["reference"]


def _events(control: Control, charge: sqlite3.Row) -> tuple[str, ...]:
    held = control.name == "complete" and not charge["capture"]
    return ("charge.authorized",) if held else control.events


def _arrivals(events: Sequence[str], late_ms: int, departure: str) -> tuple[Arrival, ...]:
    own_ms = late_ms if departure in ("delayed", "reordered") else 0
    return tuple(
        Arrival(event, None if departure == "lost" else place * late_ms + own_ms) for place, event in enumerate(events)
    )
