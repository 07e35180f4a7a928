"""What a charge allows, what an operation on it amounts to now, and what an event about it is called. Pure: rows in,
codes out."""

from __future__ import annotations

import sqlite3
from typing import Final, Literal, assert_never

from tallystick.lab.acquirer.scripts import Operation

#: Who captured a charge, where it was no operation: its ``closed_by``.
BY_DASHBOARD: Final = "dashboard"
BY_LATE_CAPTURE: Final = "late_capture"

#: Dispute: status -> the steps that it allows. Money can be taken before the verdict, and go to and fro after it.
DISPUTE_STEPS: Final = {
    "opened": frozenset({"withdraw", "review", "win", "lose"}),
    "under_review": frozenset({"withdraw", "win", "lose"}),
    "won": frozenset({"withdraw", "return"}),
    "lost": frozenset({"withdraw", "return"}),
}


#: Where an operation stands.
OperationStatus = Literal["approved", "declined", "pending", "requires_action", "failed"]


class KeyReused(Exception):
    """The idempotency key was used with another payload."""


class Missing(Exception):
    """There is no such charge, operation or dispute; the message is which."""


class NotPossible(Exception):
    """What was asked for does not fit where the charge or dispute stands; the message is a code."""


def refusal_of(operation: str, charge: sqlite3.Row, amount: int) -> str | None:
    """Why a charge does not allow an operation, as a decline code; None where it does."""
    status = charge["status"]
    if operation == "refund":
        if status != "captured":
            return "charge_not_captured"
        return "amount_too_large" if amount > charge["captured"] - charge["refunded"] else None
    if status in ("captured", "failed"):
        return "charge_already_captured"
    if status == "voided" or charge["closed_by"] == "cancel":
        return "charge_already_canceled"
    if operation == "cancel":
        return "charge_not_authorized" if status == "declined" else None
    if status != "authorized":
        return "charge_not_authorized"
    return "amount_too_large" if amount > charge["authorized"] else None


def effect_of(operation: sqlite3.Row, charge: sqlite3.Row) -> str | None:
    """What an operation has done to the money by now: authorized | captured | voided | refunded, or None.

    A waiting charge that was canceled answers voided beside its decline: nothing can become of it any more.
    """
    if operation["decline_code"] == "authentication_canceled":
        return "voided"
    if operation["status"] != "approved":
        return None
    done: Operation = operation["operation"]
    match done:
        case "capture":
            return "captured"
        case "cancel":
            return "voided"
        case "refund":
            return "refunded"
        case "authorize" if charge["capture"] or charge["closed_by"] in (BY_DASHBOARD, BY_LATE_CAPTURE):
            return "captured"
        case "authorize":
            return "voided" if charge["status"] == "voided" else "authorized"
        case _:
            assert_never(done)


def can_fail(operation: sqlite3.Row, charge: sqlite3.Row) -> bool:
    """Whether an operation moved money that can come back, or never come, late."""
    of_its_own = operation["operation"] != "authorize" or bool(charge["capture"])
    moved = effect_of(operation, charge) in ("captured", "refunded")
    return moved and of_its_own and charge["status"] == "captured"


def steps_of(dispute: sqlite3.Row) -> frozenset[str]:
    """The steps that a dispute allows as it stands."""
    return DISPUTE_STEPS[dispute["status"]] - {"withdraw" if dispute["withdrawn"] else "return"}


def event_type(operation: Operation, status: OperationStatus, effect: str | None) -> str | None:
    """What the event is called that an operation makes when it gets where it is; None for one that still waits."""
    match status:
        case "approved" if effect == "refunded":
            return "refund.succeeded"
        case "approved":
            return f"charge.{effect}"
        case "declined" if operation == "authorize":
            return "charge.declined"
        case "declined":
            return f"{operation}.declined"
        case "failed":
            return "refund.failed" if operation == "refund" else "capture.failed"
        case "requires_action":
            return "charge.action_required"
        case "pending":
            return None
        case _:
            assert_never(status)
