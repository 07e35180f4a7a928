"""Classes of database errors: about the server and the connection, or about the rows."""

from __future__ import annotations

import random
from typing import Final

import asyncpg

from tallystick.kit.backoff import backoff_ms

#: The system's: a generator of this process would give forked processes the same waits.
_JITTER: Final = random.SystemRandom()

#: Lost to another transaction: the same connection may try again.
RETRY_SAME_CONNECTION: Final = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError)

#: The server is short of disk, memory or connections, or cannot read or write a file (53…, 58…). It has rolled back,
#: and the connection is as good as a new one.
SHORT_OF_RESOURCES: Final = (asyncpg.InsufficientResourcesError, asyncpg.PostgresSystemError)

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
    *SHORT_OF_RESOURCES,
    asyncpg.InterfaceError,
    # A connection cut between two messages of one statement: "another operation is in progress".
    asyncpg.InternalClientError,
    *COMPLETION_UNKNOWN,
    *_SESSION_ENDED,
)

#: After these a connection is kept: a new one would meet the same.
CONNECTION_IS_FINE: Final = (*RETRY_SAME_CONNECTION, *SHORT_OF_RESOURCES)

_NOT_THE_ROWS: Final = (*RETRY_SAME_CONNECTION, *DATABASE_AWAY, asyncpg.ReadOnlySQLTransactionError)

#: Rolled back without a reason of its own; 40002, a subclass, is about the rows.
_ROLLED_BACK: Final = asyncpg.TransactionRollbackError.sqlstate


def pause_ms(failures: int, first_ms: int, cap_ms: int) -> int:
    """How long a writer waits after so many failures in a row, with jitter: the writers of all processes must not come
    back at once."""
    return backoff_ms(failures, first_ms, cap_ms, _JITTER)


def may_run_again(error: Exception) -> bool:
    """Whether a later try may write the same rows."""
    # A DataError is asyncpg's refusal of an argument: it is about the rows, although it is an InterfaceError.
    if isinstance(error, _NOT_THE_ROWS):
        return not isinstance(error, asyncpg.DataError)
    return getattr(error, "sqlstate", None) == _ROLLED_BACK
