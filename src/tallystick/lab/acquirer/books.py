"""The acquirer's books: charges and operations, each operation one transaction with its event in it."""

from __future__ import annotations

import json
import sqlite3
import time
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from tallystick.lab.acquirer.events import EventBook
from tallystick.lab.acquirer.late import Late
from tallystick.lab.acquirer.moves import Moves
from tallystick.lab.acquirer.options import Options
from tallystick.lab.acquirer.overview import Overview
from tallystick.lab.acquirer.rules import KeyReused, NotPossible, refusal_of
from tallystick.lab.acquirer.scripts import KNOWN_BY_WEBHOOK_ONLY, Behaviour, FollowUp
from tallystick.lab.acquirer.settlement_book import SettlementBook
from tallystick.lab.acquirer.storage import Storage, new_reference, now_text
from tallystick.lab.acquirer.views import still_pending, summary

_PREFIXES: Final = {"authorize": "ch", "capture": "cap", "cancel": "void", "refund": "re"}


class Books:
    """What merchants and customers do. ``late`` is what happens without them, ``events`` the events about it,
    ``overview`` all of it for a person, and ``settlements`` what it came to by day."""

    def __init__(self, path: Path, options: Options) -> None:
        self._forgetful = options.forgetful
        self._pending_s = options.pending_ms / 1000
        late_s = options.late_ms / 1000
        self._storage = Storage(path)
        self._db = self._storage.db
        self.events = EventBook(self._storage, sends=options.webhooks is not None, late_s=late_s)
        self._moves = Moves(self._storage, self.events, late_s=late_s, address=options.address)
        self.late = Late(self._storage, self.events, self._moves)
        self.overview = Overview(self._storage)
        self.settlements = SettlementBook(self._storage, options.settlements)

    def close(self) -> None:
        """Close the file."""
        self._storage.close()

    def known(self, key: str, payload: dict[str, Any]) -> dict[str, Any] | None:
        """The operation that a key stands for, or None. Raises KeyReused."""
        if self._forgetful:
            return None
        self.late.catch_up()
        row = self._db.execute("SELECT * FROM operation WHERE key = ?", (key,)).fetchone()
        if row is None:
            return None
        if row["payload"] != _text(payload):
            raise KeyReused
        return self._answer(row)

    def authorize(self, key: str, payload: dict[str, Any], what: Behaviour) -> dict[str, Any]:
        """Book a new charge, as its script says."""
        charge_id = new_reference(_PREFIXES["authorize"])
        holds = payload["amount"] if what.outcome == "approved" else 0
        status = what.outcome if holds == 0 else ("captured" if payload["capture"] else "authorized")
        with self._storage.transaction():
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
            self._moves.tell(number)
        return self._operation(number)

    def follow_up(
        self, operation: FollowUp, key: str, charge_id: str, payload: dict[str, Any], what: Behaviour
    ) -> dict[str, Any]:
        """Capture, cancel or refund, as the script says and the charge allows. Raises Missing."""
        self.late.catch_up()
        charge = self.charge(charge_id)
        amount = payload.get("amount", charge["amount"])
        refusal = refusal_of(operation, charge, amount)
        status, code = (what.outcome, what.decline_code) if refusal is None else ("declined", refusal)
        with self._storage.transaction():
            number = self._insert(key, payload, operation, charge_id, amount, status, code)
            if status == "approved":
                self._moves.apply(operation, charge_id, amount)
            self._moves.tell(number)
        return self._operation(number)

    def charge(self, charge_id: str) -> sqlite3.Row:
        """One charge. Raises Missing."""
        return self._moves.charge(charge_id)

    def return_url(self, charge_id: str) -> str | None:
        """Where its customer came from, and goes back to."""
        made = "SELECT payload FROM operation WHERE charge_id = ? AND operation = 'authorize'"
        payload: dict[str, Any] = json.loads(self._db.execute(made, (charge_id,)).fetchone()[0])
        return payload.get("return_url")

    def lookup(self, attempt_id: str) -> dict[str, Any] | None:
        """What became of an attempt, as of now; None where nothing was ever booked for it."""
        self.late.catch_up()
        row = self._db.execute(
            "SELECT * FROM operation WHERE attempt_id = ? ORDER BY number LIMIT 1", (attempt_id,)
        ).fetchone()
        return None if row is None else self._answer(row)

    def by_key(self, key: str) -> dict[str, Any] | None:
        """The operation that was made under a key, as of now; None where there is none."""
        self.late.catch_up()
        row = self._db.execute("SELECT * FROM operation WHERE key = ?", (key,)).fetchone()
        return None if row is None else self._answer(row)

    def operations(self, after: int, limit: int, since: datetime) -> tuple[list[dict[str, Any]], int | None]:
        """A page of the operations since a time, in their order, and where the next page starts."""
        self.late.catch_up()
        rows = self._db.execute(
            "SELECT o.number, o.reference, o.operation, c.merchant_id, c.payment_id, o.attempt_id, o.amount,"
            " c.currency, o.status AS state, o.occurred_at AS at FROM operation o JOIN charge c ON c.id = o.charge_id"
            " WHERE o.number > ? AND julianday(o.occurred_at) >= julianday(?) ORDER BY o.number LIMIT ?",
            (after, since.isoformat().replace("+00:00", "Z"), limit + 1),
        ).fetchall()
        more = rows[limit - 1]["number"] if len(rows) > limit else None
        return [{name: row[name] for name in row.keys() if name != "number"} for row in rows[:limit]], more  # noqa: SIM118 - a Row iterates over values

    def customer(self, charge_id: str, *, completes: bool) -> dict[str, Any]:
        """The customer acts, or leaves. Raises Missing and NotPossible."""
        charge = self.charge(charge_id)
        if charge["status"] != "requires_action":
            raise NotPossible("not_waiting")
        with self._storage.transaction():
            if completes:
                self._moves.hold(charge)
                self._moves.settle_authorize(charge_id, "approved", None)
            else:
                self._moves.close(charge_id, "declined", "authentication_abandoned")
                self._moves.settle_authorize(charge_id, "declined", "authentication_abandoned")
        return summary(self._db, self.charge(charge_id))

    def charges(self, after: int, limit: int, payment_id: str | None) -> tuple[list[dict[str, Any]], int | None]:
        """A page of the charges that ever held money, in the order of their making, and where the next page starts."""
        self.late.catch_up()
        rows = self._db.execute(
            "SELECT rowid AS place, * FROM charge WHERE rowid > ? AND ever_authorized"
            " AND (? IS NULL OR payment_id = ?) ORDER BY rowid LIMIT ?",
            (after, payment_id, payment_id, limit + 1),
        ).fetchall()
        more = rows[limit - 1]["place"] if len(rows) > limit else None
        return [summary(self._db, row) for row in rows[:limit]], more

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
        reference = charge_id if operation == "authorize" else new_reference(_PREFIXES[operation])
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
            now_text(),
            ready_at,
        )
        cursor = self._db.execute("INSERT INTO operation VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", values)
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def _operation(self, number: int) -> dict[str, Any]:
        return self._answer(self._moves.operation(number))

    def _answer(self, row: sqlite3.Row) -> dict[str, Any]:
        """An operation as the API shows it: an outcome reported only by webhook is pending until that has arrived."""
        charge = self.charge(row["charge_id"])
        view = self._moves.view(row, charge)
        if charge["payment_method"] == KNOWN_BY_WEBHOOK_ONLY and self.events.is_waiting(row["number"]):
            return still_pending(view)
        return view


def _text(payload: dict[str, Any]) -> str:
    return json.dumps(payload, sort_keys=True, separators=(",", ":"))
