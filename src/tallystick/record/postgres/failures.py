"""What a database error says: of the server and the way to it, or of what was to be written."""

from __future__ import annotations

from typing import Final

import asyncpg

#: Lost to another transaction: the same connection may try again.
RETRY_SAME_CONNECTION: Final = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError)

#: What asyncpg and the socket raise when the database is away or too slow: nothing that a client sent.
DATABASE_AWAY: Final = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InterfaceError,
    # Of a connection that was cut between two messages of one statement: "another operation is in progress".
    asyncpg.InternalClientError,
)

_NOT_THE_ROWS: Final = (*RETRY_SAME_CONNECTION, *DATABASE_AWAY, asyncpg.ReadOnlySQLTransactionError)


def may_run_again(error: Exception) -> bool:
    """Whether the same rows may be written by a later try."""
    # A DataError is asyncpg's own refusal of an argument: about the rows, though it is an InterfaceError.
    return isinstance(error, _NOT_THE_ROWS) and not isinstance(error, asyncpg.DataError)
