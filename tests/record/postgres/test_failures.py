"""Which database errors speak of the way to the database, and which of what was to be written."""

from __future__ import annotations

import asyncpg
import pytest

from tallystick.record.postgres.failures import may_run_again


@pytest.mark.parametrize(
    "error",
    [
        ConnectionResetError(),
        TimeoutError(),
        asyncpg.ConnectionDoesNotExistError(),
        asyncpg.AdminShutdownError(),
        asyncpg.TooManyConnectionsError(),
        asyncpg.SerializationError(),
        asyncpg.ReadOnlySQLTransactionError(),
        asyncpg.InterfaceError("connection is closed"),
        asyncpg.InternalClientError("cannot switch to state 11; another operation (2) is in progress"),
        asyncpg.ProtocolError(),
        asyncpg.StatementCompletionUnknownError(),  # 40003: the commit may have happened
        asyncpg.TransactionResolutionUnknownError(),
        asyncpg.IdleInTransactionSessionTimeoutError(),  # the server has ended the session
        asyncpg.TransactionTimeoutError(),
        asyncpg.TransactionRollbackError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_the_database_is_away(error: Exception) -> None:
    assert may_run_again(error)


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.CheckViolationError(),
        asyncpg.DataError("a number too large"),
        asyncpg.UniqueViolationError(),
        KeyError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_the_rows_cannot_be_written(error: Exception) -> None:
    assert not may_run_again(error)
