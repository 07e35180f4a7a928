"""A connection that sends several statements before it waits: libpq's pipeline mode, on the event loop.

One exchange is one round trip, whatever the number of statements. The server runs them in order, and skips those after
the first one that fails.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import asyncpg
import psycopg
from psycopg.pq import ConnStatus, DiagnosticField, ExecStatus
from psycopg.pq.abc import PGresult

from tallystick.kit.logs import get_logger
from tallystick.record.postgres.parameters import ParameterType, parameter_types
from tallystick.record.postgres.results import Answer, ServerAnswer

log = get_logger("tallystick.record.pipeline")

#: How long a statement that is not waited for any more may be asked to stop: the connection is given up either way.
CANCEL_LIMIT_S: Final = 2.0

_BINARY: Final = 1

_OUT_OF_STEP: Final = "the server's answers do not match the statements"

_FINE: Final = (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK)

#: Fields of an error as the protocol names them, for asyncpg's classes.
_FIELDS: Final = {
    "S": DiagnosticField.SEVERITY,
    "V": DiagnosticField.SEVERITY_NONLOCALIZED,
    "C": DiagnosticField.SQLSTATE,
    "M": DiagnosticField.MESSAGE_PRIMARY,
    "D": DiagnosticField.MESSAGE_DETAIL,
    "H": DiagnosticField.MESSAGE_HINT,
    "s": DiagnosticField.SCHEMA_NAME,
    "t": DiagnosticField.TABLE_NAME,
    "c": DiagnosticField.COLUMN_NAME,
    "n": DiagnosticField.CONSTRAINT_NAME,
    "R": DiagnosticField.SOURCE_FUNCTION,
}


class Call(NamedTuple):
    """One statement with its arguments."""

    query: str
    arguments: Sequence[Any] = ()


class Answers(NamedTuple):
    """What the statements of an exchange answered, up to the first one that the server refused, and its refusal."""

    done: list[Answer]
    refusal: asyncpg.PostgresError | None


class _Statement(NamedTuple):
    name: bytes
    types: list[ParameterType]
    formats: list[int]


class PipelineConnection:
    """One exchange at a time. What is not an answer of the server ends the connection: a time-out, a cancelled caller,
    a lost server."""

    def __init__(self, connection: psycopg.AsyncConnection[Any], timeout_ms: int) -> None:
        self._connection = connection
        self._pgconn = connection.pgconn
        self._timeout_s = timeout_ms / 1000
        self._statements: dict[str, _Statement] = {}
        self._prepared: set[str] = set()
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[None] | None = None
        self._failure: Exception | None = None  # why there is nothing more to wait for
        self._busy = self._closed = False
        self._cancelling: asyncio.Task[None] | None = None
        self._pgconn.nonblocking = 1
        self._pgconn.enter_pipeline_mode()
        self.socket: Final = self._pgconn.socket
        self.server_pid: Final = self._pgconn.backend_pid
        self._loop.add_reader(self.socket, self._readable)

    async def exchange(self, calls: Sequence[Call]) -> Answers:
        """Run statements in one round trip. Raises asyncpg.DataError where an argument cannot be sent (nothing was
        sent), TimeoutError, and asyncpg.InterfaceError or asyncpg.PostgresConnectionError for a connection that is in
        use, closed or lost."""
        if self._closed:
            raise asyncpg.InterfaceError("the connection is closed")
        if self._busy:
            raise asyncpg.InterfaceError("the connection is in use")
        values = [self._encoded(call) for call in calls]
        self._busy = True
        deadline = self._loop.call_later(self._timeout_s, self._out_of_time)
        try:
            preparing = self._send(calls, values)
            await self._flush()
            answers = await self._received(calls, preparing)
        except psycopg.OperationalError as error:
            self.terminate()
            raise asyncpg.ConnectionDoesNotExistError(f"the connection was lost: {error}") from error
        except asyncpg.PostgresError:  # the server's last message
            self.terminate()
            raise
        except BaseException:
            self._abandon()
            raise
        finally:
            deadline.cancel()
            self._busy = False
        if self._pgconn.status != ConnStatus.OK:  # lost after its answers were read
            self.terminate()
        self._failure = None
        return answers

    async def fetch(self, query: str, *args: Any) -> list[tuple[Any, ...]]:
        """Rows of one statement. Raises what the server refuses it with, and as ``exchange``."""
        return (await self._one(query, args)).rows()

    async def execute(self, query: str, *args: Any) -> int:
        """How many rows one statement wrote. Raises as ``fetch``."""
        return (await self._one(query, args)).count

    def is_closed(self) -> bool:
        """Whether the connection is gone."""
        return self._closed

    def terminate(self) -> None:
        """Drop the connection. What the server is doing, it may still do."""
        if self._leave():
            self._pgconn.finish()

    async def close(self) -> None:
        """Close the connection. libpq says goodbye without waiting."""
        self.terminate()

    async def _one(self, query: str, args: Sequence[Any]) -> Answer:
        done, refusal = await self.exchange([Call(query, args)])
        if refusal is not None:
            raise refusal
        return done[0]

    def _encoded(self, call: Call) -> list[bytes | None]:
        statement = self._statements.get(call.query)
        if statement is None:
            types = parameter_types(call.query)
            name = f"s{len(self._statements)}".encode()
            statement = _Statement(name, types, [int(each.binary) for each in types])
            self._statements[call.query] = statement
        values: list[bytes | None] = []
        for number, (kind, argument) in enumerate(zip(statement.types, call.arguments, strict=True), 1):
            try:
                values.append(None if argument is None else kind.encode(argument))
            except Exception as error:
                raise asyncpg.DataError(f"argument ${number} cannot be sent: {error}") from error
        return values

    def _send(self, calls: Sequence[Call], values: Sequence[list[bytes | None]]) -> list[bool]:
        """Returns which of the statements are prepared first."""
        pgconn, known, preparing = self._pgconn, set(self._prepared), []
        for call, encoded in zip(calls, values, strict=True):
            name, types, formats = self._statements[call.query]
            preparing.append(call.query not in known)
            if preparing[-1]:
                known.add(call.query)
                pgconn.send_prepare(name, call.query.encode(), [each.oid for each in types])
            pgconn.send_query_prepared(name, encoded, formats, _BINARY)
        pgconn.pipeline_sync()
        return preparing

    async def _flush(self) -> None:
        """Until all is sent. Answers are read meanwhile: the server may wait for that before it reads on."""
        while self._pgconn.flush():
            self._loop.add_writer(self.socket, self._wake)
            try:
                await self._wait()
            finally:
                if not self._closed:
                    self._loop.remove_writer(self.socket)

    async def _received(self, calls: Sequence[Call], preparing: Sequence[bool]) -> Answers:
        done: list[Answer] = []
        refusal: asyncpg.PostgresError | None = None
        for call, is_new in zip(calls, preparing, strict=True):
            for prepares in (True, False) if is_new else (False,):
                result = await self._result()
                if result.status not in _FINE:
                    refusal = refusal or self._refusal(result)
                elif prepares:
                    self._prepared.add(call.query)
                else:
                    done.append(ServerAnswer(result))
        end = await self._next()
        if end is None or end.status != ExecStatus.PIPELINE_SYNC:
            raise asyncpg.InterfaceError(_OUT_OF_STEP)
        return Answers(done, refusal)

    def _refusal(self, result: PGresult) -> asyncpg.PostgresError:
        """Why the server refused a statement. Raises it where that has ended the connection."""
        fields = {name: value.decode() for name, field in _FIELDS.items() if (value := result.error_field(field))}
        if "C" not in fields:
            raise psycopg.OperationalError(result.error_message.decode(errors="replace").strip())
        refusal = asyncpg.PostgresError.new(fields)
        if fields.get("V") in ("FATAL", "PANIC"):
            raise refusal
        return refusal

    async def _result(self) -> PGresult:
        """The result of one message, after which libpq gives a None."""
        result = await self._next()
        if result is None or await self._next() is not None:
            raise asyncpg.InterfaceError(_OUT_OF_STEP)
        return result

    async def _next(self) -> PGresult | None:
        while self._pgconn.is_busy():
            await self._wait()
        return self._pgconn.get_result()

    async def _wait(self) -> None:
        """Until the socket is ready. What there was to read is then read."""
        if self._failure is not None:
            raise self._failure
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _readable(self) -> None:
        """Also between exchanges: a server that closes the connection is noticed at once."""
        try:
            self._pgconn.consume_input()
        except psycopg.OperationalError as error:
            self._loop.remove_reader(self.socket)
            if not self._busy:
                self.terminate()
            # What the server said before it closed is read first.
            self._failure = error
        self._wake()

    def _out_of_time(self) -> None:
        self._failure = TimeoutError(f"the database did not answer within {self._timeout_s} s")
        self._wake()

    def _leave(self) -> bool:
        """Have nothing more to do with the socket. False: that was so already."""
        if self._closed:
            return False
        self._closed = True
        self._loop.remove_reader(self.socket)
        self._loop.remove_writer(self.socket)
        self._failure = self._failure or asyncpg.ConnectionDoesNotExistError("the connection was closed")
        self._wake()
        return True

    def _abandon(self) -> None:
        """Drop the connection, and ask the server to stop what it is doing: it may hold locks."""
        if not self._leave():
            return
        if self._loop.is_closed():
            self._pgconn.finish()
        else:
            self._cancelling = self._loop.create_task(self._cancel())

    async def _cancel(self) -> None:
        try:
            await self._connection.cancel_safe(timeout=CANCEL_LIMIT_S)
        except (psycopg.Error, OSError):
            log.debug("a statement could not be cancelled")
        finally:
            self._pgconn.finish()
