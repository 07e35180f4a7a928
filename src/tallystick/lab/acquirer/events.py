"""The book of events: written in the transaction of what happened, with the state of its delivery."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from tallystick.lab.acquirer.scripts import API_VERSION, DEPARTURES
from tallystick.lab.acquirer.storage import Storage, new_reference, now_text

#: What is due: the time, seconds since the epoch, and the event's sequence number.
Due = tuple[float, int]

ORIGINAL: Final = "original"


class SentRequest(NamedTuple):
    """One request sent with an event. ``status`` is None without a response; ``error`` then says why."""

    sequence: int
    kind: str
    sent_at: float
    status: int | None
    latency_ms: float
    error: str | None = None

    @property
    def accepted(self) -> bool:
        """Whether the receiver accepted it: any 2xx."""
        return self.status is not None and 200 <= self.status < 300


class EventBook:
    """The events of one set of books. ``sends``: whether there is somewhere to send them."""

    def __init__(self, storage: Storage, *, sends: bool, late_s: float) -> None:
        self._storage = storage
        self._db = storage.db
        self._sends = sends
        self._late_s = late_s
        self._written: list[Due] = []
        self._heard: Callable[[Sequence[Due]], None] | None = None
        storage.on_end(self._transaction_ended)

    def on_due(self, heard: Callable[[Sequence[Due]], None]) -> None:
        """Call back for every event to send, once its transaction is committed."""
        self._heard = heard

    def write(self, kind: str, charge: sqlite3.Row, data: dict[str, Any], operation: int | None = None) -> None:
        """Write one event into the caller's transaction."""
        names = {"merchant_id": charge["merchant_id"], "payment_id": charge["payment_id"]}
        event_id, now = new_reference("evt_sim"), time.time()
        departure = DEPARTURES.get(charge["payment_method"], "at_once")
        state = "unsent" if not self._sends else "lost" if departure == "lost" else "waiting"
        due_at = now + self._late_s if departure in ("delayed", "reordered") else now
        newest = self._db.execute("SELECT coalesce(max(sequence), 0) FROM event").fetchone()[0]
        sequence = newest + 1
        body = msgspec.json.encode(
            {
                "id": event_id,
                "type": kind,
                "api_version": API_VERSION,
                "created": now_text(),
                "sequence": sequence,
                "data": names | data,
            }
        )
        if departure == "reordered":  # until the charge is quiet, none of them leaves
            self._db.execute(
                "UPDATE event SET due_at = ? WHERE charge_id = ? AND state = 'waiting' AND tries = 0",
                (due_at, charge["id"]),
            )
        self._db.execute(
            "INSERT INTO event (sequence, id, type, charge_id, operation, departure, body, created_at, state, due_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                sequence,
                event_id,
                kind,
                charge["id"],
                operation,
                departure,
                body,
                now,
                state,
                due_at if state == "waiting" else None,
            ),
        )
        if state == "waiting":
            self._written.append((due_at, sequence))

    def waiting(self) -> list[Due]:
        """All that has to be sent yet: what a restart begins with."""
        rows = self._db.execute("SELECT due_at, sequence FROM event WHERE state = 'waiting'")
        return [(row[0], row[1]) for row in rows]

    def event(self, sequence: int) -> sqlite3.Row:
        """One event."""
        row: sqlite3.Row = self._db.execute("SELECT * FROM event WHERE sequence = ?", (sequence,)).fetchone()
        return row

    def is_overtaken(self, event: sqlite3.Row) -> bool:
        """Whether a reordered event has to let a later one of its charge go first."""
        later = "SELECT 1 FROM event WHERE charge_id = ? AND sequence > ? AND state = 'waiting' AND tries = 0"
        return self._db.execute(later, (event["charge_id"], event["sequence"])).fetchone() is not None

    def untried(self, charge_id: str) -> list[int]:
        """The events about a charge that are due at once and were never sent."""
        rows = self._db.execute(
            "SELECT sequence FROM event WHERE charge_id = ? AND state = 'waiting' AND tries = 0 AND due_at <= ?",
            (charge_id, time.time()),
        )
        return [row[0] for row in rows]

    def is_waiting(self, operation: int) -> bool:
        """Whether an event about an operation has to be sent yet."""
        row = self._db.execute("SELECT 1 FROM event WHERE operation = ? AND state = 'waiting'", (operation,))
        return row.fetchone() is not None

    def chosen(self, since: int, ids: Sequence[str] | None) -> list[tuple[int, bytes]]:
        """Events after a sequence number, or those with the given ids, oldest first: number and bytes."""
        if ids is None:
            rows = self._db.execute("SELECT sequence, body FROM event WHERE sequence > ? ORDER BY sequence", (since,))
        else:
            rows = self._db.execute(
                "SELECT sequence, body FROM event JOIN json_each(?) ON event.id = json_each.value ORDER BY sequence",
                (msgspec.json.encode(ids).decode(),),
            )
        return [(row[0], row[1]) for row in rows]

    def page(self, after: int, limit: int, payment_id: str | None) -> tuple[list[dict[str, Any]], int | None]:
        """Events in the order in which they happened, and where the next page starts."""
        rows = self._db.execute(
            "SELECT * FROM event WHERE sequence > ?"
            " AND (? IS NULL OR charge_id IN (SELECT id FROM charge WHERE payment_id = ?)) ORDER BY sequence LIMIT ?",
            (after, payment_id, payment_id, limit + 1),
        ).fetchall()
        names = ("sequence", "id", "type", "departure", "state", "tries", "due_at", "created_at", "delivered_at")
        events = [
            {name: row[name] for name in names} | {"data": msgspec.json.decode(row["body"])["data"]}
            for row in rows[:limit]
        ]
        return events, rows[limit - 1]["sequence"] if len(rows) > limit else None

    def deliveries(self, after: int, limit: int) -> tuple[list[dict[str, Any]], int | None]:
        """Every request that left, in the order in which they were answered, and where the next page starts."""
        rows = self._db.execute(
            "SELECT delivery.number, event.id AS event_id, event.type, event.charge_id, delivery.kind,"
            " delivery.sent_at, delivery.status, delivery.latency_ms, delivery.error FROM delivery"
            " JOIN event USING (sequence) WHERE delivery.number > ? ORDER BY delivery.number LIMIT ?",
            (after, limit + 1),
        ).fetchall()
        return [dict(row) for row in rows[:limit]], rows[limit - 1]["number"] if len(rows) > limit else None

    def record(self, tries: Iterable[SentRequest], retry_s: Sequence[float]) -> None:
        """Log requests, and settle what becomes of their events, in one transaction."""
        with self._storage.transaction():
            for each in tries:
                self._db.execute(
                    "INSERT INTO delivery (sequence, kind, sent_at, status, latency_ms, error)"
                    " VALUES (?, ?, ?, ?, ?, ?)",
                    (each.sequence, each.kind, each.sent_at, each.status, each.latency_ms, each.error),
                )
                if each.kind != ORIGINAL:
                    continue
                if each.accepted:
                    self._db.execute(
                        "UPDATE event SET state = 'delivered', tries = tries + 1, due_at = NULL, delivered_at = ?"
                        " WHERE sequence = ?",
                        (each.sent_at + each.latency_ms / 1000, each.sequence),
                    )
                else:
                    self._retry(each, retry_s)

    def _retry(self, failed: SentRequest, retry_s: Sequence[float]) -> None:
        event = self.event(failed.sequence)
        state, due_at = event["state"], None
        if state == "waiting":
            if event["tries"] < len(retry_s):
                due_at = time.time() + retry_s[event["tries"]]
                self._written.append((due_at, failed.sequence))
            else:
                state = "given_up"
        self._db.execute(
            "UPDATE event SET state = ?, tries = tries + 1, due_at = ? WHERE sequence = ?",
            (state, due_at, failed.sequence),
        )

    def _transaction_ended(self, committed: bool) -> None:
        written, self._written = self._written, []
        if committed and written and self._heard is not None:
            self._heard(written)
