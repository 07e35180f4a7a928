"""Settlement files imported on a real database: the calls, what is stored, and a process that dies at a statement."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import asyncpg
from msgspec.structs import replace

from tallystick.domain.settlement_row import SettlementRow
from tallystick.flows.reconciliation.files import ImportAsked, Imported, Progress, import_file
from tallystick.flows.runtime import Runtime
from tallystick.record.journal import Journal
from tallystick.record.postgres.settlement_files import SettlementFiles

STRIPE_HEADER: Final = (
    "balance_transaction_id,created_utc,currency,gross,fee,net,reporting_category,source_id,automatic_payout_id"
)


def stripe_rows(count: int, payout: str = "po_1", *, start: int = 0, amount: str = "10.00") -> str:
    """A payout's report with so many charges of one amount, without a fee."""
    lines = [
        f"txn_{payout}_{number},2026-03-02 10:00:00,usd,{amount},0.00,{amount},charge,ch_{number},{payout}"
        for number in range(start, start + count)
    ]
    return "\n".join([STRIPE_HEADER, *lines, ""])


def stripe_payout(total: str, payout: str = "po_1") -> str:
    """The report of payouts, with one."""
    return (
        "payout_id,effective_at_utc,currency,gross,fee,net,reporting_category,balance_transaction_id\n"
        f"{payout},2026-03-04 00:00:00,usd,-{total},0.00,-{total},payout,txn_of_{payout}\n"
    )


async def imported(
    runtime: Runtime,
    content: str | bytes,
    where: Path,
    *,
    name: str = "file.csv",
    progress: Progress | None = None,
    **asked: Any,
) -> Imported:
    """Write the file and import it."""
    path = where / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return await import_file(runtime, ImportAsked(path=path, name=name, actor="shell:test@here", **asked), progress)


async def stored_rows(pool: Any, file_id: str) -> list[SettlementRow]:
    return list(await SettlementFiles(pool).rows(file_id, 0, 1_000_000))


async def everything(pool: Any) -> dict[str, list[tuple[Any, ...]]]:
    """All that the record has of settlement files, without ids and times, to compare two records."""
    told = {
        "files": "SELECT provider, account, digest, format, state, rows, known_rows, bad_rows, lines, supplements,"
        " detail FROM settlement_file ORDER BY 1, 2, 3, 5",
        "batches": "SELECT provider, account, batch, currency, part, state, complete, proof, rows, gross, fee, net,"
        " paid_out, stated, difference FROM settlement_batch ORDER BY 1, 2, 3, 4, 5",
        "rows": "SELECT f.digest, r.position, r.line, r.batch, r.row_key, r.occurrence, r.kind, r.net"
        " FROM settlement_row r JOIN settlement_file f USING (file_id) ORDER BY 1, 2",
        "bad": "SELECT f.digest, b.line, b.ordinal, b.reason FROM settlement_bad_row b JOIN settlement_file f"
        " USING (file_id) ORDER BY 1, 2, 3",
        "digests": "SELECT digest, generation FROM settlement_digest ORDER BY 1, 2",
    }
    return {name: [tuple(row) for row in await pool.fetch(query)] for name, query in told.items()}


class Died(ConnectionError):
    """The process is gone."""


class DyingPool:
    """A pool of a process that dies at one point: before or after its n-th statement, of which COMMIT is one. What it
    had not committed is lost, for its connection is gone. ``points``: how many it has reached."""

    def __init__(self, pool: asyncpg.Pool, at: int, *, after: bool) -> None:
        self._pool, self._at, self._after = pool, at, after
        self.points = 0
        self.dead = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)

    def acquire(self) -> Any:
        return _Acquired(self)

    async def release(self, connection: Any) -> None:
        await self._pool.release(getattr(connection, "real", connection))

    async def fetch(self, *args: Any, **how: Any) -> Any:
        async with self.acquire() as connection:
            return await connection.fetch(*args, **how)

    async def execute(self, *args: Any) -> Any:
        async with self.acquire() as connection:
            return await connection.execute(*args)

    async def fetchrow(self, *args: Any) -> Any:
        async with self.acquire() as connection:
            return await connection.fetchrow(*args)

    async def point(self, connection: Any, run: Any) -> Any:
        """One statement."""
        if self.dead:
            raise Died("dead")
        self.points += 1
        if self.points == self._at and not self._after:
            self._die(connection)
        done = await run()
        if self.points == self._at:
            self._die(connection)
        return done

    def _die(self, connection: Any) -> None:
        self.dead = True
        connection.terminate()
        raise Died("dead")


class _Acquired:
    """What ``acquire`` gives: awaited, or entered."""

    def __init__(self, pool: DyingPool) -> None:
        self._pool = pool
        self._connection: _DyingConnection | None = None

    def __await__(self) -> Any:
        return self._open().__await__()

    async def _open(self) -> _DyingConnection:
        if self._pool.dead:
            raise Died("dead")
        return _DyingConnection(self._pool, await self._pool._pool.acquire())

    async def __aenter__(self) -> _DyingConnection:
        self._connection = await self._open()
        return self._connection

    async def __aexit__(self, *_: object) -> None:
        assert self._connection is not None
        await self._pool.release(self._connection)


class _DyingConnection:
    def __init__(self, pool: DyingPool, real: Any) -> None:
        self._pool, self.real = pool, real

    def __getattr__(self, name: str) -> Any:
        if name not in ("execute", "executemany", "fetch", "fetchrow", "fetchval", "copy_records_to_table"):
            return getattr(self.real, name)

        async def run(*args: Any, **named: Any) -> Any:
            return await self._pool.point(self.real, lambda: getattr(self.real, name)(*args, **named))

        return run

    def transaction(self, **how: Any) -> Any:
        return _DyingTransaction(self._pool, self.real, **how)


class _DyingTransaction:
    def __init__(self, pool: DyingPool, connection: Any, **how: Any) -> None:
        self._pool, self._connection = pool, connection
        self._real = connection.transaction(**how)

    async def start(self) -> None:
        await self._pool.point(self._connection, self._real.start)

    async def commit(self) -> None:
        await self._pool.point(self._connection, self._real.commit)

    async def rollback(self) -> None:
        if not self._pool.dead:
            await self._real.rollback()

    async def __aenter__(self) -> _DyingTransaction:
        await self.start()
        return self

    async def __aexit__(self, kind: object, *_: object) -> None:
        await (self.commit() if kind is None else self.rollback())


class _Nothing:
    def terminate(self) -> None:
        """A journal's connections are its own."""


class DyingJournal:
    """A journal of a process that dies before or after one of its commits."""

    def __init__(self, journal: Journal, pool: DyingPool) -> None:
        self._journal, self._pool = journal, pool

    async def commit(self, change: Any) -> Any:
        return await self._pool.point(_Nothing(), lambda: self._journal.commit(change))


@asynccontextmanager
async def dying(runtime: Runtime, at: int, *, after: bool) -> AsyncIterator[tuple[Runtime, DyingPool]]:
    """The same process, which dies at its n-th statement."""
    pool = DyingPool(runtime.pool, at, after=after)
    yield replace(runtime, pool=pool), pool
