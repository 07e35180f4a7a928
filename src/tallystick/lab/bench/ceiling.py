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

from tallystick.domain.change import Change
from tallystick.kit.clock import Clock
from tallystick.lab.bench.workload import new_payment
from tallystick.record.postgres.batch import Entry, run_batch
from tallystick.record.postgres.connections import connect_journal
from tallystick.record.postgres.inbox import STATEMENTS as INBOX_STATEMENTS
from tallystick.record.postgres.pipeline import Answers, Call, PipelineConnection
from tallystick.record.postgres.subject_rows import STATEMENTS

#: Changes in one transaction: the gain flattens above.
BATCH_CHANGES: Final = 200

#: One batch is on its way to disk while the next is written; more connections add nothing on two cores.
CONNECTIONS: Final = 2

#: A slower statement means that the machine is not fit for a benchmark.
COMMAND_TIMEOUT_MS: Final = 60_000


#: The statements of one round trip.
Exchange = tuple[Call, ...]


class Expected:
    """An answer in which every row is new."""

    def __init__(self, count: int) -> None:
        self.count = count

    def rows(self) -> list[tuple[Any, ...]]:
        """Of the statements that are read, none finds anything."""
        return []


class Recorder:
    """A connection that records exchanges and answers like a database without errors."""

    def __init__(self) -> None:
        self.exchanges: list[Exchange] = []

    async def exchange(self, calls: Sequence[Call]) -> Answers:
        """No key is taken, no event waits, and every row was written."""
        self.exchanges.append(tuple(calls))
        return Answers([Expected(_rows_of(call)) for call in calls], None)

    async def fetch(self, query: str, *args: Any) -> list[tuple[Any, ...]]:
        """Nothing is found."""
        self.exchanges.append((Call(query, args),))
        return []

    async def execute(self, query: str, *args: Any) -> int:
        """As for an exchange."""
        call = Call(query, args)
        self.exchanges.append((call,))
        return _rows_of(call)

    def is_closed(self) -> bool:
        """Never: there is nothing to close."""
        return False

    def terminate(self) -> None:
        """Nothing to drop."""

    async def close(self) -> None:
        """Nothing to close."""


def _rows_of(call: Call) -> int:
    finds_nothing = call.query in (STATEMENTS["claimed"], INBOX_STATEMENTS["unrouted"])
    return 0 if finds_nothing or not call.arguments else len(call.arguments[0])


async def record_batch(changes: Sequence[Change]) -> list[Exchange]:
    """What the journal sends for these changes in one transaction, from BEGIN to COMMIT."""
    recorder = Recorder()
    await run_batch(recorder, [Entry(change) for change in changes], Clock(), after_loss=False)
    return recorder.exchanges


async def record_payments(count: int) -> list[list[Exchange]]:
    """``count`` payments in batches of ``BATCH_CHANGES``: for each batch of creates one of outcomes, as transactions in
    the order in which one connection has to play them."""
    transactions = []
    for start in range(0, count, BATCH_CHANGES):
        payments = [new_payment() for _ in range(min(BATCH_CHANGES, count - start))]
        creates = await record_batch([create for create, _ in payments])
        outcomes = await record_batch([outcome for _, outcome in payments])
        transactions.append([*creates, *outcomes])
    return transactions


async def play(connection: PipelineConnection, exchanges: Sequence[Exchange]) -> None:
    """One connection's exchanges, one after another. Raises what the database raises."""
    for exchange in exchanges:
        _, refusal = await connection.exchange(exchange)
        if refusal is not None:
            raise refusal


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

        async def play_rest(connection: PipelineConnection) -> None:
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
