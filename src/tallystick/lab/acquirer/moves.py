"""The changes of a charge, each written with its event, in the caller's transaction."""

from __future__ import annotations

import sqlite3
import time
from typing import Any, assert_never

from tallystick.lab.acquirer.events import EventBook
from tallystick.lab.acquirer.rules import BY_DASHBOARD, BY_LATE_CAPTURE, Missing, event_type, refusal_of
from tallystick.lab.acquirer.scripts import AFTERWARDS, FollowUp
from tallystick.lab.acquirer.storage import Storage, new_reference, now_text
from tallystick.lab.acquirer.views import operation_view


class Moves:
    """The changes to a charge and its operations. The caller has opened the transaction."""

    def __init__(self, storage: Storage, events: EventBook, *, late_s: float, address: str) -> None:
        self._db = storage.db
        self._events = events
        self._late_s = late_s
        self._address = address

    def charge(self, charge_id: str) -> sqlite3.Row:
        """One charge. Raises Missing."""
        row: sqlite3.Row | None = self._db.execute("SELECT * FROM charge WHERE id = ?", (charge_id,)).fetchone()
        if row is None:
            raise Missing("charge")
        return row

    def operation(self, number: int) -> sqlite3.Row:
        """One operation."""
        row: sqlite3.Row = self._db.execute("SELECT * FROM operation WHERE number = ?", (number,)).fetchone()
        return row

    def view(self, row: sqlite3.Row, charge: sqlite3.Row) -> dict[str, Any]:
        """An operation as its caller, the lookup and events show it."""
        return operation_view(row, charge, self._address)

    def tell(self, number: int) -> None:
        """Write the event of an operation that changed, and schedule the script's next steps."""
        row = self.operation(number)
        charge = self.charge(row["charge_id"])
        view = self.view(row, charge)
        kind = event_type(view["operation"], view["status"], view["effect"])
        if kind is None:
            return
        self._events.write(kind, charge, {"object": "operation"} | view, number)
        afterwards = AFTERWARDS.get(charge["payment_method"])
        became = "declined" if kind == "charge.declined" else view["effect"]
        if afterwards is not None and afterwards.when == became:
            self.later(charge["id"], view["reference"], afterwards.steps)

    def later(self, charge_id: str, reference: str, steps: tuple[str, ...]) -> None:
        """Have the first of the steps happen a moment from now, and the rest after it."""
        self._db.execute(
            "INSERT INTO afterwards (charge_id, reference, steps, due_at) VALUES (?, ?, ?, ?)",
            (charge_id, reference, " ".join(steps), time.time() + self._late_s),
        )

    def hold(self, charge: sqlite3.Row) -> None:
        """The charge is authorized, or captured at once where it was asked to be."""
        status = "captured" if charge["capture"] else "authorized"
        captured = charge["amount"] if charge["capture"] else 0
        self._db.execute(
            "UPDATE charge SET status = ?, authorized = amount, captured = ?, ever_authorized = 1 WHERE id = ?",
            (status, captured, charge["id"]),
        )

    def settle_authorize(self, charge_id: str, status: str, code: str | None) -> None:
        """What became of the call that made the charge."""
        made = "SELECT number FROM operation WHERE charge_id = ? AND operation = 'authorize'"
        self.settle(self._db.execute(made, (charge_id,)).fetchone()[0], status, code)

    def settle(self, number: int, status: str, code: str | None) -> None:
        """What became of a call; its effect is the caller's to apply first."""
        self._db.execute(
            "UPDATE operation SET status = ?, decline_code = ?, occurred_at = ? WHERE number = ?",
            (status, code, now_text(), number),
        )
        self.tell(number)

    def mature(self, row: sqlite3.Row) -> None:
        """A pending operation's time has come: approved, where the charge still allows it."""
        charge = self.charge(row["charge_id"])
        if row["operation"] == "authorize":
            self.hold(charge)
            self.settle_authorize(charge["id"], "approved", None)
            return
        refusal = refusal_of(row["operation"], charge, row["amount"])
        if refusal is None:
            self.apply(row["operation"], charge["id"], row["amount"])
        self.settle(row["number"], "approved" if refusal is None else "declined", refusal)

    def close(self, charge_id: str, status: str, closed_by: str) -> None:
        """Nothing more can become of the charge."""
        self._db.execute("UPDATE charge SET status = ?, closed_by = ? WHERE id = ?", (status, closed_by, charge_id))

    def apply(self, operation: FollowUp, charge_id: str, amount: int) -> None:
        """The effect of an approved capture, cancel or refund."""
        match operation:
            case "capture":
                self._db.execute(
                    "UPDATE charge SET status = 'captured', captured = ? WHERE id = ?", (amount, charge_id)
                )
            case "refund":
                self._db.execute("UPDATE charge SET refunded = refunded + ? WHERE id = ?", (amount, charge_id))
            case "cancel":
                waiting = self.charge(charge_id)["status"] in ("pending", "requires_action")
                self.close(charge_id, "declined" if waiting else "voided", "cancel")
                self._db.execute("UPDATE charge SET authorized = 0 WHERE id = ?", (charge_id,))
                if waiting:
                    self.settle_authorize(charge_id, "declined", "authentication_canceled")
            case _:
                assert_never(operation)

    def fail(self, operation: sqlite3.Row) -> None:
        """A refund comes back, or captured money never comes."""
        charge_id = operation["charge_id"]
        if operation["operation"] == "refund":
            self._db.execute("UPDATE charge SET refunded = refunded - ? WHERE id = ?", (operation["amount"], charge_id))
            self.settle(operation["number"], "failed", "refund_failed")
        else:
            self._db.execute("UPDATE charge SET captured = 0 WHERE id = ?", (charge_id,))
            self.close(charge_id, "failed", "capture_failed")
            self.settle(operation["number"], "failed", "capture_failed")

    def capture_after_decline(self, charge: sqlite3.Row) -> None:
        """A declined charge is captured after all."""
        self._db.execute(
            "UPDATE charge SET authorized = amount, captured = amount, ever_authorized = 1 WHERE id = ?",
            (charge["id"],),
        )
        self.close(charge["id"], "captured", BY_LATE_CAPTURE)
        self.settle_authorize(charge["id"], "approved", None)

    def dashboard_capture(self, charge: sqlite3.Row) -> None:
        """Someone captures in the acquirer's own dashboard."""
        self.apply("capture", charge["id"], charge["amount"])
        self._db.execute("UPDATE charge SET closed_by = ? WHERE id = ?", (BY_DASHBOARD, charge["id"]))
        self._tell_charge("dashboard.captured", charge, "captured")

    def expire(self, charge: sqlite3.Row) -> None:
        """The hold is released because its time is over."""
        self._db.execute("UPDATE charge SET authorized = 0 WHERE id = ?", (charge["id"],))
        self.close(charge["id"], "voided", "expiry")
        self._tell_charge("charge.expired", charge, "voided")

    def dashboard_refund(self, charge: sqlite3.Row, amount: int) -> None:
        """Someone refunds in the acquirer's own dashboard: no operation of anyone's."""
        self.apply("refund", charge["id"], amount)
        refund = {"object": "refund", "status": "approved", "effect": "refunded"}
        where = {"charge_id": charge["id"], "reference": new_reference("re"), "occurred_at": now_text()}
        money = {"amount": amount, "currency": charge["currency"]}
        self._events.write("dashboard.refunded", charge, refund | where | money)

    def _tell_charge(self, kind: str, charge: sqlite3.Row, effect: str) -> None:
        """The event of something that was no operation: it names the charge alone."""
        what = {"object": "charge", "status": "approved", "effect": effect}
        where = {"charge_id": charge["id"], "reference": charge["id"], "occurred_at": now_text()}
        self._events.write(kind, charge, what | where | {"amount": charge["amount"], "currency": charge["currency"]})
