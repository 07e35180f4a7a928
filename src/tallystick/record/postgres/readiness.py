"""Whether the database can serve this release: it answers, has room on its disk, and its schema accepts every
statement."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Literal

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from tallystick.kit.clock import monotonic_ms
from tallystick.record.postgres import sql
from tallystick.record.postgres.connections import PROBE_TIMEOUT_S
from tallystick.record.postgres.failures import CONNECTION_IS_FINE, DATABASE_AWAY
from tallystick.record.postgres.outage import Kind, Outage, kind_of
from tallystick.record.postgres.subject_rows import subject_writes
from tallystick.record.sealing import Sealer

#: An answer takes no longer than this: supervisors and load balancers give up after a second.
ANSWER_WITHIN_S: Final = 0.7

#: How often the disk is written to. A full one is known within this and one more question.
WRITE_EVERY_MS: Final = 4_000

#: A writer that failed this long ago, and has not written since, still cannot. Then traffic may try it again.
WRITERS_FAILED_MS: Final = 10_000

#: The parts of a process whose writes show that there is no room, also where temporary files have a disk of their own.
WRITERS: Final = ("journal", "intake")

_ASKED: Final = sql.load("readiness.sql")

#: The name of a worker's sessions.
WORKER_SESSIONS: Final = "tallystick work"

#: What processes run while they serve or work; commands have other statements besides.
_FILES: Final = (
    "reads.sql",
    "lists.sql",
    "journal.sql",
    "inbox.sql",
    "outbound.sql",
    "recovery.sql",
    "keys.sql",
    "refusals.sql",
    "contract_drift.sql",
    "versions.sql",
    "provider_pauses.sql",
    "process_clocks.sql",
    "provider_circuits.sql",
    "open_payments.sql",
    "sealing.sql",
)

#: The statements of a process.
_STATEMENTS: Final = tuple(statement for file in _FILES for statement in sql.load(file).values()) + tuple(
    write.statement for write in subject_writes()
)

Readiness = Literal["ready", "other_schema"] | Kind

#: A sentence for people.
REASONS: Final[Mapping[Readiness, str]] = {
    "other_schema": "The database has another schema; migrate it.",
    "away": "The database does not answer.",
    "disk_full": "The database's disk is full.",
    "io_error": "The database cannot read or write its files.",
    "short": "The database is short of memory or connections.",
    "read_only": "The database is read-only.",
}


async def prepare_every_statement(connection: asyncpg.Connection | PoolConnectionProxy) -> None:
    """Prepare what a process runs, and run none of it. Raises asyncpg.SyntaxOrAccessError where the schema has
    another form than this release needs, and what else asyncpg raises."""
    for statement in _STATEMENTS:
        await connection.prepare(statement, timeout=PROBE_TIMEOUT_S)


class DatabaseReadiness:
    """Asks on a connection of its own, one question at a time: a question that hangs is waited for by everybody, and
    none for longer than ``ANSWER_WITHIN_S``. A fitting schema is checked once: schemas only go forward."""

    def __init__(self, connect: Callable[[], Awaitable[asyncpg.Connection]], outage: Outage, sealer: Sealer) -> None:
        self._connect = connect
        self._outage = outage
        self._sealer = sealer
        self._connection: asyncpg.Connection | None = None
        self._question: asyncio.Task[Readiness] | None = None
        self._schema_fits = False
        self._wrote_at_ms: int | None = None
        #: Whether a worker has a session there; None before it was seen, and where it cannot be.
        self.worker_runs: bool | None = None

    async def first(self) -> None:
        """Wait for the first answer, however long it takes: a start may wait, and later questions need not."""
        await asyncio.wait({self._asked()})

    async def check(self) -> Readiness:
        """Errors of the database are a result, and never raised. The application's role may not read the list of
        revisions, so the statements are prepared instead, and never run."""
        question = self._asked()
        await asyncio.wait({question}, timeout=ANSWER_WITHIN_S)
        found = question.result() if question.done() else "away"
        if found != "ready":
            return found
        return self._outage.writing_fails(WRITERS, WRITERS_FAILED_MS) or found

    async def reason_not_ready(self) -> str | None:
        """A sentence for people; None where the database can serve, and the keys here are those of the record."""
        return REASONS.get(await self.check()) or self._sealer.refused

    async def close(self) -> None:
        """Drop the connection, and the question that is under way."""
        if self._question is not None:
            self._question.cancel()
            await asyncio.wait({self._question})
        self._drop()

    def _asked(self) -> asyncio.Task[Readiness]:
        if self._question is None or self._question.done():
            self._question = asyncio.create_task(self._ask(), name="readiness")
        return self._question

    async def _ask(self) -> Readiness:
        try:
            if self._connection is None or self._connection.is_closed():
                self._connection = await self._connect()
            return await self._ask_on(self._connection)
        except asyncpg.SyntaxOrAccessError:  # a missing table or column
            return "other_schema"
        except (*DATABASE_AWAY, asyncpg.PostgresError) as error:
            if not isinstance(error, CONNECTION_IS_FINE):
                self._drop()
            return kind_of(error)

    async def _ask_on(self, connection: asyncpg.Connection) -> Readiness:
        if await connection.fetchval(_ASKED["is_read_only"]):
            return "read_only"
        if not self._schema_fits:
            await prepare_every_statement(connection)
            self._schema_fits = True
        now_ms = monotonic_ms()
        if self._wrote_at_ms is None or now_ms - self._wrote_at_ms >= WRITE_EVERY_MS:
            self._wrote_at_ms = None  # while it fails, every question writes
            await self._write(connection)
            self._wrote_at_ms = now_ms
            self.worker_runs = await connection.fetchval(_ASKED["worker_runs"], WORKER_SESSIONS)
        return "ready"

    @staticmethod
    async def _write(connection: asyncpg.Connection) -> None:
        try:
            await connection.execute(_ASKED["spill"])
        except asyncpg.ConfigurationLimitExceededError:
            return  # temp_file_limit: what it says is not about the disk

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None
