"""Classes of database errors: about the server and the connection, or about the rows."""

from __future__ import annotations

from typing import Final

import asyncpg

#: Lost to another transaction: the same connection may try again.
RETRY_SAME_CONNECTION: Final = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError)

#: The server says that it does not know whether it has committed (40003, 08007): read back, as after a connection that
#: was lost during COMMIT.
COMPLETION_UNKNOWN: Final = (asyncpg.StatementCompletionUnknownError, asyncpg.TransactionResolutionUnknownError)

#: The server has ended the session (25P03, 25P04). asyncpg files these under the state of the transaction.
_SESSION_ENDED: Final = (asyncpg.IdleInTransactionSessionTimeoutError, asyncpg.TransactionTimeoutError)

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
    *COMPLETION_UNKNOWN,
    *_SESSION_ENDED,
)

_NOT_THE_ROWS: Final = (*RETRY_SAME_CONNECTION, *DATABASE_AWAY, asyncpg.ReadOnlySQLTransactionError)

#: Rolled back without a reason of its own; 40002, a subclass, is about the rows.
_ROLLED_BACK: Final = asyncpg.TransactionRollbackError.sqlstate


def may_run_again(error: Exception) -> bool:
    """Whether a later try may write the same rows."""
    # A DataError is asyncpg's refusal of an argument: it is about the rows, although it is an InterfaceError.
    if isinstance(error, _NOT_THE_ROWS):
        return not isinstance(error, asyncpg.DataError)
    return getattr(error, "sqlstate", None) == _ROLLED_BACK
