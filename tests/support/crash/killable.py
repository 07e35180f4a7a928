"""Connections of a process that dies: each statement is a point where it may, before and after, and during a COMMIT."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, Protocol, cast

from tallystick.record.postgres import sql
from tallystick.record.postgres.pipeline import Answers, Call
from tallystick.record.postgres.results import Answer
from tests.support.polling import one_turn

#: Statements by their text, so that points have names that a reader finds in the .sql files.
NAMES: Final = {
    text: name
    for file_name in (
        "journal.sql",
        "reads.sql",
        "recovery.sql",
        "inbox.sql",
        "outbound.sql",
        "acts.sql",
        "cases.sql",
        "provider_pauses.sql",
    )
    for name, text in sql.load(file_name).items()
}


class Mortal(Protocol):
    """Whoever dies at one of these points."""

    dead: bool
    #: Whether each statement is a point, also of those that are sent together: the server had run some of them. Else
    #: exchanges are as they are.
    at_statements: bool

    async def reach(self, point: str) -> None:
        """A point where the process may die; one that is dead stays there."""


class MortalConnection:
    """A database connection of a process: dies with it, before or after each statement, or during a COMMIT."""

    def __init__(self, connection: Any, process: Mortal) -> None:
        self._connection = connection
        self._process = process

    async def fetch(self, query: str, *args: Any) -> Sequence[Any]:
        """As asyncpg's."""
        return cast("Sequence[Any]", await self._run(query, self._connection.fetch(query, *args)))

    async def fetchrow(self, query: str, *args: Any) -> Any:
        """As asyncpg's."""
        return await self._run(query, self._connection.fetchrow(query, *args))

    async def fetchval(self, query: str, *args: Any) -> Any:
        """As asyncpg's."""
        return await self._run(query, self._connection.fetchval(query, *args))

    async def fetchmany(self, query: str, args: Sequence[Any]) -> Sequence[Any]:
        """As asyncpg's: one round trip, and so one point."""
        return cast("Sequence[Any]", await self._run(query, self._connection.fetchmany(query, args)))

    async def execute(self, query: str, *args: Any) -> str:
        """As asyncpg's."""
        return cast(str, await self._run(query, self._connection.execute(query, *args)))

    def is_closed(self) -> bool:
        """As asyncpg's."""
        return self._process.dead or bool(self._connection.is_closed())

    def terminate(self) -> None:
        """As asyncpg's."""
        self._connection.terminate()

    async def close(self) -> None:
        """As asyncpg's."""
        await self._connection.close()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """As asyncpg's."""
        await self.execute("BEGIN")
        try:
            yield
        except BaseException:
            await self.execute("ROLLBACK")
            raise
        await self.execute("COMMIT")

    async def _run(self, query: str, statement: Awaitable[Any]) -> Any:
        name = NAMES.get(query, query)
        try:
            await self._process.reach(f"before {name}")
        except BaseException:
            cast("Coroutine[Any, Any, Any]", statement).close()
            raise
        if query == "COMMIT":
            # On its way: written to the socket, and nobody there to read the answer.
            sending = asyncio.ensure_future(statement)
            await one_turn()
            await self._process.reach(f"during {name}")
            statement = sending
        result = await statement
        await self._process.reach(f"after {name}")
        return result


class MortalJournalConnection(MortalConnection):
    """The connection of a journal."""

    async def exchange(self, calls: Sequence[Call]) -> Answers:
        """As PipelineConnection's."""
        if not self._process.at_statements:
            return cast(Answers, await self._connection.exchange(calls))
        done: list[Answer] = []
        for call in calls:
            answers = cast(Answers, await self._run(call.query, self._connection.exchange([call])))
            done += answers.done
            if answers.refusal is not None:
                return Answers(done, answers.refusal)
        return Answers(done, None)


class MortalPool(MortalConnection):
    """The pool of reads, whose statements are points too."""

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[MortalConnection]:
        """As asyncpg's."""
        async with self._connection.acquire() as connection:
            yield MortalConnection(connection, self._process)
