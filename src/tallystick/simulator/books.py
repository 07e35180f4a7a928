"""The acquirer's books: charges and operations in SQLite, each operation one transaction.

WAL with synchronous=NORMAL: what was acknowledged survives the death of this process; only a crash of the operating
system may lose the last moments, which is enough for a test acquirer and keeps it fast.
"""

from __future__ import annotations

import json
import sqlite3
import time
import uuid
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any, Final

from tallystick.simulator.rules import effect_of, refusal_of
from tallystick.simulator.scripts import DECLINE_MESSAGES, Behaviour

_PREFIXES: Final = {"authorize": "ch", "capture": "cap", "cancel": "void", "refund": "re"}


class KeyReused(Exception):
    """The idempotency key was used with another payload."""


class NoSuchCharge(Exception):
    """There is no such charge."""


class NotWaiting(Exception):
    """The charge does not wait for its customer."""


class Books:
    """One file of books. Not thread-safe: it lives in the server's event loop."""

    def __init__(self, path: Path, *, forgetful: bool, pending_s: float) -> None:
        self._forgetful = forgetful
        self._pending_s = pending_s
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.executescript(resources.files("tallystick.simulator").joinpath("schema.sql").read_text("utf-8"))

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def known(self, key: str, payload: dict[str, Any]) -> dict[str, Any] | None:
        """The operation that a key stands for, or None. Raises KeyReused."""
        if self._forgetful:
            return None
        self._mature()
        row = self._db.execute("SELECT * FROM operation WHERE key = ?", (key,)).fetchone()
        if row is None:
            return None
        if row["payload"] != _text(payload):
            raise KeyReused
        return self._view(row)

    def authorize(self, key: str, payload: dict[str, Any], what: Behaviour) -> dict[str, Any]:
        """Book a new charge, as its script says."""
        charge_id = _reference("authorize")
        holds = payload["amount"] if what.outcome == "approved" else 0
        status = what.outcome if holds == 0 else ("captured" if payload["capture"] else "authorized")
        with self._transaction():
            self._db.execute(
                "INSERT INTO charge VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL, ?, ?, 0, ?)",
                (
                    charge_id,
                    payload["payment_id"],
                    payload["merchant_id"],
                    payload["amount"],
                    payload["currency"],
                    payload["payment_method"],
                    payload["capture"],
                    status,
                    holds,
                    holds if payload["capture"] else 0,
                    holds > 0,
                ),
            )
            code = what.decline_code
            number = self._insert(key, payload, "authorize", charge_id, payload["amount"], what.outcome, code)
        return self._operation(number)

    def follow_up(
        self, operation: str, key: str, charge_id: str, payload: dict[str, Any], what: Behaviour
    ) -> dict[str, Any]:
        """Capture, cancel or refund, as the script says and the charge allows. Raises NoSuchCharge."""
        self._mature()
        charge = self.charge(charge_id)
        amount = payload.get("amount", charge["amount"])
        refusal = refusal_of(operation, charge, amount)
        status, code = (what.outcome, what.decline_code) if refusal is None else ("declined", refusal)
        with self._transaction():
            number = self._insert(key, payload, operation, charge_id, amount, status, code)
            if status == "approved":
                self._apply(operation, charge_id, amount)
        return self._operation(number)

    def charge(self, charge_id: str) -> sqlite3.Row:
        """One charge. Raises NoSuchCharge."""
        row: sqlite3.Row | None = self._db.execute("SELECT * FROM charge WHERE id = ?", (charge_id,)).fetchone()
        if row is None:
            raise NoSuchCharge
        return row

    def lookup(self, attempt_id: str) -> dict[str, Any] | None:
        """What became of an attempt, as of now; None where nothing was ever booked for it."""
        self._mature()
        row = self._db.execute(
            "SELECT * FROM operation WHERE attempt_id = ? ORDER BY number LIMIT 1", (attempt_id,)
        ).fetchone()
        return None if row is None else self._view(row)

    def customer(self, charge_id: str, *, completes: bool) -> dict[str, Any]:
        """The customer acts, or leaves. Raises NoSuchCharge and NotWaiting."""
        charge = self.charge(charge_id)
        if charge["status"] != "requires_action":
            raise NotWaiting
        with self._transaction():
            if completes:
                self._hold(charge)
                self._settle_authorize(charge_id, "approved", None)
            else:
                self._close(charge_id, "declined", "authentication_abandoned")
                self._settle_authorize(charge_id, "declined", "authentication_abandoned")
        return self.summary(self.charge(charge_id))

    def dashboard_capture(self, charge_id: str) -> dict[str, Any]:
        """Someone captures in the acquirer's own dashboard. Raises NoSuchCharge and NotWaiting."""
        self._mature()
        charge = self.charge(charge_id)
        if charge["status"] != "authorized":
            raise NotWaiting
        with self._transaction():
            self._apply("capture", charge_id, charge["amount"])
            self._db.execute("UPDATE charge SET closed_by = 'dashboard' WHERE id = ?", (charge_id,))
        return self.summary(self.charge(charge_id))

    def charges(self, after: int, limit: int, payment_id: str | None) -> tuple[list[dict[str, Any]], int | None]:
        """A page of the charges that ever held money, in the order of their making, and where the next page starts."""
        self._mature()
        rows = self._db.execute(
            "SELECT rowid AS place, * FROM charge WHERE rowid > ? AND ever_authorized"
            " AND (? IS NULL OR payment_id = ?) ORDER BY rowid LIMIT ?",
            (after, payment_id, payment_id, limit + 1),
        ).fetchall()
        more = rows[limit - 1]["place"] if len(rows) > limit else None
        return [self.summary(row) for row in rows[:limit]], more

    def summary(self, charge: sqlite3.Row) -> dict[str, Any]:
        """A charge as the other half of the tally shows it."""
        attempts = self._db.execute(
            "SELECT DISTINCT attempt_id FROM operation WHERE charge_id = ? ORDER BY number", (charge["id"],)
        )
        names = ("id", "payment_id", "merchant_id", "amount", "currency", "authorized", "captured", "refunded")
        return {name: charge[name] for name in names} | {"attempt_ids": [row[0] for row in attempts]}

    def _mature(self) -> None:
        """Pending operations whose time has come are approved."""
        due = self._db.execute(
            "SELECT * FROM operation WHERE status = 'pending' AND ready_at <= ?", (time.time(),)
        ).fetchall()
        for row in due:
            charge = self.charge(row["charge_id"])
            with self._transaction():
                if row["operation"] == "authorize":
                    self._hold(charge)
                    self._settle_authorize(charge["id"], "approved", None)
                    continue
                refusal = refusal_of(row["operation"], charge, row["amount"])
                status = "approved" if refusal is None else "declined"
                self._db.execute(
                    "UPDATE operation SET status = ?, decline_code = ?, occurred_at = ? WHERE number = ?",
                    (status, refusal, _now(), row["number"]),
                )
                if refusal is None:
                    self._apply(row["operation"], charge["id"], row["amount"])

    def _hold(self, charge: sqlite3.Row) -> None:
        status = "captured" if charge["capture"] else "authorized"
        captured = charge["amount"] if charge["capture"] else 0
        self._db.execute(
            "UPDATE charge SET status = ?, authorized = amount, captured = ?, ever_authorized = 1 WHERE id = ?",
            (status, captured, charge["id"]),
        )

    def _settle_authorize(self, charge_id: str, status: str, code: str | None) -> None:
        self._db.execute(
            "UPDATE operation SET status = ?, decline_code = ?, occurred_at = ?"
            " WHERE charge_id = ? AND operation = 'authorize'",
            (status, code, _now(), charge_id),
        )

    def _close(self, charge_id: str, status: str, closed_by: str) -> None:
        self._db.execute("UPDATE charge SET status = ?, closed_by = ? WHERE id = ?", (status, closed_by, charge_id))

    def _apply(self, operation: str, charge_id: str, amount: int) -> None:
        match operation:
            case "capture":
                self._db.execute(
                    "UPDATE charge SET status = 'captured', captured = ? WHERE id = ?", (amount, charge_id)
                )
            case "refund":
                self._db.execute("UPDATE charge SET refunded = refunded + ? WHERE id = ?", (amount, charge_id))
            case "cancel":
                waiting = self.charge(charge_id)["status"] in ("pending", "requires_action")
                self._close(charge_id, "declined" if waiting else "voided", "cancel")
                self._db.execute("UPDATE charge SET authorized = 0 WHERE id = ?", (charge_id,))
                if waiting:
                    self._settle_authorize(charge_id, "declined", "authentication_canceled")

    def _insert(
        self,
        key: str,
        payload: dict[str, Any],
        operation: str,
        charge_id: str,
        amount: int,
        status: str,
        code: str | None,
    ) -> int:
        reference = charge_id if operation == "authorize" else _reference(operation)
        ready_at = time.time() + self._pending_s if status == "pending" else None
        values = (
            reference,
            payload["attempt_id"],
            None if self._forgetful else key,
            _text(payload),
            operation,
            charge_id,
            amount,
            status,
            code,
            _now(),
            ready_at,
        )
        cursor = self._db.execute("INSERT INTO operation VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", values)
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def _operation(self, number: int) -> dict[str, Any]:
        return self._view(self._db.execute("SELECT * FROM operation WHERE number = ?", (number,)).fetchone())

    def _view(self, row: sqlite3.Row) -> dict[str, Any]:
        charge = self.charge(row["charge_id"])
        waits = row["status"] == "requires_action"
        return {
            "attempt_id": row["attempt_id"],
            "operation": row["operation"],
            "status": row["status"],
            "effect": effect_of(row, charge),
            "amount": row["amount"],
            "currency": charge["currency"],
            "charge_id": row["charge_id"],
            "reference": row["reference"],
            "decline_code": row["decline_code"],
            "decline_message": DECLINE_MESSAGES.get(row["decline_code"]) if row["decline_code"] else None,
            "next_action": {"type": "redirect", "url": f"/sim/charges/{row['charge_id']}/complete"} if waits else None,
            "occurred_at": row["occurred_at"],
        }

    def _transaction(self) -> _Transaction:
        return _Transaction(self._db)


class _Transaction:
    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._db.execute("COMMIT" if kind is None else "ROLLBACK")


def _reference(operation: str) -> str:
    return f"{_PREFIXES[operation]}_{uuid.uuid4().hex}"


def _text(payload: dict[str, Any]) -> str:
    return json.dumps(payload, sort_keys=True, separators=(",", ":"))


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")
