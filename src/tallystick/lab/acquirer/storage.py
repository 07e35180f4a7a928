"""The file of the books: SQLite, and what a transaction is.

WAL with synchronous=NORMAL: what was acknowledged survives the death of this process; only a crash of the operating
system may lose the last moments, which is enough for a test acquirer and keeps it fast.
"""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path


class Storage:
    """One file of books. Not thread-safe: it lives in the server's event loop."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.db = sqlite3.connect(path, isolation_level=None)
        self.db.row_factory = sqlite3.Row
        self.db.execute("PRAGMA journal_mode = WAL")
        self.db.execute("PRAGMA synchronous = NORMAL")
        self.db.executescript(resources.files("tallystick.lab.acquirer").joinpath("schema.sql").read_text("utf-8"))
        self._ended: Callable[[bool], None] | None = None

    def on_end(self, ended: Callable[[bool], None]) -> None:
        """Call back at a transaction's end: True after a commit, False after a rollback."""
        self._ended = ended

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of the block, or nothing of it."""
        self.db.execute("BEGIN IMMEDIATE")
        committed = False
        try:
            yield
            self.db.execute("COMMIT")
            committed = True
        finally:
            if not committed:
                self.db.execute("ROLLBACK")
            if self._ended is not None:
                self._ended(committed)

    def close(self) -> None:
        """Close the file."""
        self.db.close()


def new_reference(prefix: str) -> str:
    """A name of the acquirer's own."""
    return f"{prefix}_{uuid.uuid4().hex}"


def now_text() -> str:
    """The time as its answers show it: RFC 3339, UTC."""
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")
