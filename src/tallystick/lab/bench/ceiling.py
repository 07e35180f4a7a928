"""The database ceiling: the statements and rows of the journal, played back without application code.

The journal's own ``run_batch`` is run once against a recorder without a database, so the ceiling consists of exactly
what the journal sends, and cannot drift from it.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import asyncpg
from msgspec import Struct

from tallystick.domain.change import Change
from tallystick.kit.clock import Clock
from tallystick.lab.bench.workload import new_payment
from tallystick.record.postgres.batch import Entry, run_batch
from tallystick.record.postgres.connections import connect_journal
from tallystick.record.postgres.subject_rows import STATEMENTS

#: Changes in one transaction: the gain flattens above.
BATCH_CHANGES: Final = 200

#: One batch is on its way to disk while the next is written; more connections add nothing on two cores.
CONNECTIONS: Final = 2

#: A slower statement means that the machine is not fit for a benchmark.
COMMAND_TIMEOUT_MS: Final = 60_000


class Statement(Struct, frozen=True):
    """One call of the driver."""

    query: str
    arguments: tuple[Any, ...]
    reads: bool

    async def play(self, connection: asyncpg.Connection) -> None:
        """Send it as the journal did."""
        if self.reads:
            await connection.fetch(self.query, *self.arguments)
        else:
            await connection.execute(self.query, *self.arguments)


class Recorder:
    """A connection that records statements and answers like a database without errors."""

    def __init__(self) -> None:
        self.statements: list[Statement] = []

    async def fetch(self, query: str, *args: Any) -> list[Any]:
        """No key is taken, and every row is new."""
        self.statements.append(Statement(query, args, True))
        if query == STATEMENTS["insert_instructions"]:
            return [(instruction_id,) for instruction_id in args[2]]
        if query == STATEMENTS["insert_transitions"]:
            return list(zip(*args[:4], strict=True))
        return []

    async def execute(self, query: str, *args: Any) -> str:
        """Every row was written."""
        self.statements.append(Statement(query, args, False))
        return f"INSERT 0 {len(args[0])}" if args else query

    def is_closed(self) -> bool:
        """Never: there is nothing to close."""
        return False

    def terminate(self) -> None:
        """Nothing to drop."""

    async def close(self) -> None:
        """Nothing to close."""


async def record_batch(changes: Sequence[Change]) -> list[Statement]:
    """What the journal sends for these changes in one transaction, from BEGIN to COMMIT."""
    recorder = Recorder()
    await run_batch(recorder, [Entry(change) for change in changes], Clock(), after_loss=False)
    return recorder.statements


async def record_payments(count: int) -> list[list[Statement]]:
    """``count`` payments in batches of ``BATCH_CHANGES``: for each batch of creates one of outcomes, as transactions in
    the order in which one connection has to play them."""
    transactions = []
    for start in range(0, count, BATCH_CHANGES):
        payments = [new_payment() for _ in range(min(BATCH_CHANGES, count - start))]
        creates = await record_batch([create for create, _ in payments])
        outcomes = await record_batch([outcome for _, outcome in payments])
        transactions.append([*creates, *outcomes])
    return transactions


async def play(connection: asyncpg.Connection, statements: Sequence[Statement]) -> None:
    """One connection's statements, one after another."""
    for statement in statements:
        await statement.play(connection)


@contextmanager
def unseen_by_collector() -> Iterator[None]:
    """What was made beforehand is left out of garbage collections: a server does not hold a round of payments."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


async def ceiling_per_s(database_url: str, payments: int) -> float:
    """Payments per second (two commits each) without application code."""
    transactions = await record_payments(payments)
    connections = [
        await connect_journal(database_url, command_timeout_ms=COMMAND_TIMEOUT_MS) for _ in range(CONNECTIONS)
    ]
    try:
        for connection in connections:
            # Connection and statement caches are warm in the journal as well.
            await play(connection, (await record_payments(1))[0])
        queue = list(reversed(transactions))

        async def play_rest(connection: asyncpg.Connection) -> None:
            while queue:
                await play(connection, queue.pop())

        with unseen_by_collector():
            started = time.perf_counter()
            await asyncio.gather(*(play_rest(connection) for connection in connections))
            elapsed_s = time.perf_counter() - started
        return payments / elapsed_s
    finally:
        for connection in connections:
            await connection.close()
