"""What happens to a charge without its merchant: late failures, disputes, expiry, the acquirer's own dashboard.

Triggered by scripts (``scripts.AFTERWARDS``), and by people and drills through the control endpoints.
"""

from __future__ import annotations

import sqlite3
import time
from typing import Any, Final, assert_never

from tallystick.lab.acquirer.events import EventBook
from tallystick.lab.acquirer.moves import Moves
from tallystick.lab.acquirer.rules import Missing, NotPossible, can_fail, steps_of
from tallystick.lab.acquirer.scripts import Step
from tallystick.lab.acquirer.storage import Storage, new_reference, now_text
from tallystick.lab.acquirer.views import dispute_view, summary

REASON: Final = "fraudulent"

#: step -> (what the event is called, the dispute's status afterwards; None: as it is).
_STEPS: Final = {
    "withdraw": ("dispute.funds_withdrawn", None),
    "return": ("dispute.funds_returned", None),
    "review": ("dispute.under_review", "under_review"),
    "win": ("dispute.won", "won"),
    "lose": ("dispute.lost", "lost"),
}

#: An outcome that is asked for with a new dispute -> the steps to it, a moment before each.
OUTCOMES: Final = {
    "won": ("dispute_withdraw", "dispute_review", "dispute_win"),
    "lost": ("dispute_withdraw", "dispute_review", "dispute_lose"),
    "second": ("dispute_withdraw", "dispute_review", "dispute_win", "dispute_withdraw"),
}


class Late:
    """Each method is one transaction. They raise Missing and NotPossible."""

    def __init__(self, storage: Storage, events: EventBook, moves: Moves) -> None:
        self._storage = storage
        self._db = storage.db
        self._events = events
        self._moves = moves

    def catch_up(self) -> None:
        """Everything that is due by now happens: pending operations mature, scripts take their next step. Called often:
        both queries read an index from its beginning, and find nothing nearly always."""
        now = time.time()
        pending = self._db.execute(
            "SELECT number FROM operation WHERE status = 'pending' AND ready_at <= ? ORDER BY ready_at", (now,)
        ).fetchall()
        for (number,) in pending:
            row = self._moves.operation(number)
            if row["status"] == "pending":  # a cancel that matured before it may have closed it
                with self._storage.transaction():
                    self._moves.mature(row)
        for row in self._db.execute("SELECT * FROM afterwards WHERE due_at <= ? ORDER BY due_at", (now,)).fetchall():
            with self._storage.transaction():
                self._take(row)

    def fail(self, reference: str) -> dict[str, Any]:
        """An approved refund or capture fails late."""
        with self._storage.transaction():
            row = self._fail(reference)
        return self._moves.view(row, self._moves.charge(row["charge_id"]))

    def dashboard_capture(self, charge_id: str) -> dict[str, Any]:
        """The whole hold is captured in the dashboard."""
        with self._storage.transaction():
            self._moves.dashboard_capture(self._in_status(charge_id, "authorized"))
        return self._summary(charge_id)

    def dashboard_refund(self, charge_id: str, amount: int | None) -> dict[str, Any]:
        """A part, by default half, of what is left is refunded in the dashboard."""
        with self._storage.transaction():
            self._dashboard_refund(charge_id, amount)
        return self._summary(charge_id)

    def expire(self, charge_id: str) -> dict[str, Any]:
        """The hold's time is over."""
        with self._storage.transaction():
            self._moves.expire(self._in_status(charge_id, "authorized"))
        return self._summary(charge_id)

    def late_capture(self, charge_id: str) -> dict[str, Any]:
        """A declined charge is captured after all."""
        with self._storage.transaction():
            self._moves.capture_after_decline(self._in_status(charge_id, "declined"))
        return self._summary(charge_id)

    def dispute(self, charge_id: str, amount: int | None, outcome: str | None) -> dict[str, Any]:
        """The payer disputes a captured charge; with an outcome, its steps follow by themselves."""
        with self._storage.transaction():
            dispute_id = self._open(charge_id, amount)
            if outcome is not None:
                self._moves.later(charge_id, dispute_id, OUTCOMES[outcome])
        return self._view(dispute_id)

    def dispute_step(self, dispute_id: str, step: str) -> dict[str, Any]:
        """A dispute's next step: withdraw | return | review | win | lose."""
        with self._storage.transaction():
            self._step(dispute_id, step)
        return self._view(dispute_id)

    def _take(self, row: sqlite3.Row) -> None:
        """One step of a script; the rest is due a moment later. A step that no longer fits ends the script."""
        step: Step
        step, *rest = row["steps"].split()
        charge_id, reference = row["charge_id"], row["reference"]
        self._db.execute("DELETE FROM afterwards WHERE number = ?", (row["number"],))
        try:
            match step:
                case "fail":
                    self._fail(reference)
                case "expire":
                    self._moves.expire(self._in_status(charge_id, "authorized"))
                case "dashboard_capture":
                    self._moves.dashboard_capture(self._in_status(charge_id, "authorized"))
                case "dashboard_refund":
                    self._dashboard_refund(charge_id, None)
                case "late_capture":
                    self._moves.capture_after_decline(self._in_status(charge_id, "declined"))
                case "dispute_open":
                    reference = self._open(charge_id, None)
                case "dispute_withdraw" | "dispute_return" | "dispute_review" | "dispute_win" | "dispute_lose":
                    self._step(reference, step.removeprefix("dispute_"))
                case _:
                    assert_never(step)
        except NotPossible:
            return
        if rest:
            self._moves.later(charge_id, reference, tuple(rest))

    def _fail(self, reference: str) -> sqlite3.Row:
        row = self._db.execute("SELECT number FROM operation WHERE reference = ?", (reference,)).fetchone()
        if row is None:
            raise Missing("operation")
        operation = self._moves.operation(row[0])
        charge = self._moves.charge(operation["charge_id"])
        if not can_fail(operation, charge):
            raise NotPossible("nothing_to_fail")
        self._moves.fail(operation)
        return self._moves.operation(row[0])

    def _dashboard_refund(self, charge_id: str, amount: int | None) -> None:
        charge = self._in_status(charge_id, "captured")
        left = charge["captured"] - charge["refunded"]
        amount = amount or max(1, left // 2)
        if amount > left:
            raise NotPossible("amount_too_large")
        self._moves.dashboard_refund(charge, amount)

    def _in_status(self, charge_id: str, status: str) -> sqlite3.Row:
        charge = self._moves.charge(charge_id)
        if charge["status"] != status:
            raise NotPossible(f"charge_not_{status}")
        return charge

    def _open(self, charge_id: str, amount: int | None) -> str:
        charge = self._in_status(charge_id, "captured")
        amount = amount or charge["captured"]
        if amount > charge["captured"]:
            raise NotPossible("amount_too_large")
        dispute_id = new_reference("dp")
        self._db.execute(
            "INSERT INTO dispute (id, charge_id, amount, status, reason) VALUES (?, ?, ?, 'opened', ?)",
            (dispute_id, charge_id, amount, REASON),
        )
        self._tell("dispute.opened", dispute_id, None)
        return dispute_id

    def _step(self, dispute_id: str, step: str) -> None:
        dispute = self._dispute(dispute_id)
        if step not in steps_of(dispute):
            raise NotPossible(f"dispute_is_{dispute['status']}")
        kind, status = _STEPS[step]
        funds, withdrawn = None, dispute["withdrawn"]
        if step == "withdraw" or (step == "lose" and not withdrawn):
            funds, withdrawn = "withdrawn", dispute["amount"]
        elif step == "return" or (step == "win" and withdrawn):
            funds, withdrawn = "returned", 0
        self._db.execute(
            "UPDATE dispute SET status = ?, withdrawn = ? WHERE id = ?",
            (status or dispute["status"], withdrawn, dispute_id),
        )
        self._tell(kind, dispute_id, funds)

    def _tell(self, kind: str, dispute_id: str, funds: str | None) -> None:
        dispute = self._dispute(dispute_id)
        charge = self._moves.charge(dispute["charge_id"])
        movement = None if funds is None else new_reference("mv")
        view = {"object": "dispute", "reference": dispute_id, "funds": funds, "movement": movement}
        view["occurred_at"] = now_text()
        self._events.write(kind, charge, view | dispute_view(dispute, charge))

    def _dispute(self, dispute_id: str) -> sqlite3.Row:
        row: sqlite3.Row | None = self._db.execute("SELECT * FROM dispute WHERE id = ?", (dispute_id,)).fetchone()
        if row is None:
            raise Missing("dispute")
        return row

    def _view(self, dispute_id: str) -> dict[str, Any]:
        dispute = self._dispute(dispute_id)
        return dispute_view(dispute, self._moves.charge(dispute["charge_id"]))

    def _summary(self, charge_id: str) -> dict[str, Any]:
        return summary(self._db, self._moves.charge(charge_id))
