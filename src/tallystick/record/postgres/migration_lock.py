"""One migration of a database at a time: an advisory lock of the session, which ends with the process that holds it.

It is the one statement of the platform that needs PostgreSQL's sessions; migrations alone take it, on a connection of
their own, and only where something is pending.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Final

import psycopg

from tallystick.domain.errors import TallystickError

#: The lock's number: the bytes of "tallysti". Another program that takes advisory locks has another one.
LOCK_KEY: Final = int.from_bytes(b"tallysti", "big")

#: Between two tries. A wait inside the database would hold a transaction open, and end by the role's time-outs.
RETRY_S: Final = 0.1

#: How soon the server notices that the process of a running statement has been killed.
_NOTICE_END: Final = "SET client_connection_check_interval = '1s'"

_HOLDER: Final = """
SELECT pid FROM pg_locks
 WHERE locktype = 'advisory' AND granted AND objsubid = 1
   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
   AND classid::bigint = %s AND objid::bigint = %s
"""


class PooledConnection(TallystickError):
    """A pooler stands between us and the database: a lock of a session would be left on a session of others."""


@contextlib.contextmanager
def migration_lock(connection: psycopg.Connection, announce: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock; ``connection`` commits each statement. While another migration holds it, that is announced once.

    Raises PooledConnection, and what the database raises.
    """
    require_direct(connection)
    with contextlib.suppress(psycopg.Error):  # a server whose system cannot notice it
        connection.execute(_NOTICE_END)
    announced = False
    while not _took(connection):
        if not announced:
            announce(_waiting(connection))
            announced = True
        time.sleep(RETRY_S)
    try:
        yield
    finally:
        if not connection.closed:  # else the lock has ended with its session
            connection.execute("SELECT pg_advisory_unlock(%s)", (LOCK_KEY,))


def require_direct(connection: psycopg.Connection) -> None:
    """A pooler tells its clients another number of the session than the server has. Raises PooledConnection."""
    row = connection.execute("SELECT pg_backend_pid()").fetchone()
    assert row is not None
    if row[0] != connection.info.backend_pid:
        raise PooledConnection(
            "migrations need a direct connection to the database, and this one goes through a pooler; name the"
            " database itself in TALLYSTICK_MIGRATION_DATABASE_URL"
        )


def _took(connection: psycopg.Connection) -> bool:
    row = connection.execute("SELECT pg_try_advisory_lock(%s)", (LOCK_KEY,)).fetchone()
    return row is not None and bool(row[0])


def _waiting(connection: psycopg.Connection) -> str:
    row = connection.execute(_HOLDER, (LOCK_KEY >> 32, LOCK_KEY & 0xFFFF_FFFF)).fetchone()
    holder = f" (session {row[0]} of the database)" if row is not None else ""
    return f"another migration of this database is running{holder}; waiting for its end"
