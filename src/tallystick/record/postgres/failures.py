"""Classes of database errors: about the server and the connection, or about the rows."""

from __future__ import annotations

from typing import Final

import asyncpg

#: Lost to another transaction: the same connection may try again.
RETRY_SAME_CONNECTION: Final = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError)

#: Raised when the database is unreachable or too slow; never caused by what a client sent.
DATABASE_AWAY: Final = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InterfaceError,
    # A connection cut between two messages of one statement: "another operation is in progress".
    asyncpg.InternalClientError,
)

_NOT_THE_ROWS: Final = (*RETRY_SAME_CONNECTION, *DATABASE_AWAY, asyncpg.ReadOnlySQLTransactionError)


def may_run_again(error: Exception) -> bool:
    """Whether a later try may write the same rows."""
    # A DataError is asyncpg's refusal of an argument: it is about the rows, although it is an InterfaceError.
    return isinstance(error, _NOT_THE_ROWS) and not isinstance(error, asyncpg.DataError)
