"""The books by charge, newest first: what a person looks at, and what controls choose from."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from tallystick.lab.acquirer.storage import Storage

#: Events shown of one charge, newest last: a life with a dispute has about eight.
SHOWN_EVENTS: Final = 12


class ChargeFile(NamedTuple):
    """Everything about one charge, each list oldest first. ``place`` is its position among all charges; ``steps``: what
    will happen by itself; ``events``: the newest ones."""

    place: int
    charge: sqlite3.Row
    operations: Sequence[sqlite3.Row]
    disputes: Sequence[sqlite3.Row]
    steps: Sequence[sqlite3.Row]
    events: Sequence[sqlite3.Row]


class Overview:
    """Reads the books. The caller has let happen what is due (``Late.catch_up``)."""

    def __init__(self, storage: Storage) -> None:
        self._db = storage.db

    def newest(
        self, limit: int, *, before: int | None = None, payment_id: str | None = None, charge_id: str | None = None
    ) -> Iterator[ChargeFile]:
        """At most ``limit`` charges, newest first: older than the place ``before``, of one payment, or one charge. A
        file is read when it is asked for."""
        rows = self._db.execute(
            "SELECT rowid AS place, * FROM charge WHERE (?1 IS NULL OR rowid < ?1) AND (?2 IS NULL OR payment_id = ?2)"
            " AND (?3 IS NULL OR id = ?3) ORDER BY rowid DESC LIMIT ?4",
            (before, payment_id, charge_id, limit),
        ).fetchall()
        yield from map(self._file, rows)

    def _file(self, charge: sqlite3.Row) -> ChargeFile:
        newest = self._about(charge, f"event WHERE charge_id = ? ORDER BY sequence DESC LIMIT {SHOWN_EVENTS}")
        return ChargeFile(
            charge["place"],
            charge,
            self._about(charge, "operation WHERE charge_id = ? ORDER BY number"),
            self._about(charge, "dispute WHERE charge_id = ? ORDER BY rowid"),
            self._about(charge, "afterwards WHERE charge_id = ? ORDER BY due_at"),
            newest[::-1],
        )

    def _about(self, charge: sqlite3.Row, which: str) -> list[sqlite3.Row]:
        return self._db.execute(f"SELECT * FROM {which}", (charge["id"],)).fetchall()
