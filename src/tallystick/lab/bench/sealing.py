"""What it costs to seal a record that nobody has sealed, and to verify it: changes a second, CPU, log and memory.

Sealer and verifier each run in a process of their own, as a worker and an operator's command do. Between two rounds
everything that was sealed is removed, so that each one begins with nothing.
"""

from __future__ import annotations

import base64
import multiprocessing
import os
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import psycopg
from msgspec import Struct

from tallystick.domain.errors import TallystickError
from tallystick.kit.clock import Clock
from tallystick.kit.logs import configure_logging
from tallystick.lab.bench.cpu import tree_seconds
from tallystick.lab.bench.fill import database_gb
from tallystick.lab.bench.latency import median
from tallystick.lab.bench.reconciling import ProcessFigures, measured
from tallystick.lab.bench.stage import Database
from tallystick.lab.bench.targets import (
    SEALED_PER_S,
    SEALER_CPU_US,
    SEALER_LOG,
    VERIFIED_PER_S,
    VERIFIER_MB,
    Judged,
    judge,
)
from tallystick.oversight.audit.heads import SigningKey
from tallystick.oversight.audit.seal import Sealer
from tallystick.oversight.audit.verify_alone import verify_alone
from tallystick.record.postgres.connections import connect, open_pool
from tallystick.settings.audit import sealing_window_ms
from tallystick.settings.load import Settings

Announce = Callable[[str, int, int], None]

#: Between two looks at how far it is.
_LOOKED_EVERY_S: Final = 0.5

#: What an operator's comparison gives a statement.
_STATEMENT_TIMEOUT_MS: Final = 600_000

#: Everything that a sealer writes.
_SEALED: Final = "audit_leaf, audit_head, audit_checkpoint, audit_sweep, audit_record, audit_anchor, audit_position"

_HEADS: Final = (
    "SELECT coalesce(sum(size), 0)::bigint FROM (SELECT max(size) AS size FROM audit_head GROUP BY leaf_group) h"
)


class NotSealed(TallystickError):
    """Something was not sealed, or differs: there is nothing to report."""


class SealedElsewhere(TallystickError):
    """The record has been sealed by somebody else, and this would remove it."""


class SealingRound(Struct, frozen=True, kw_only=True):
    """``log_bytes`` and ``full_pages``: what the database wrote to its log meanwhile, and how many whole pages are in
    it. ``postgres_cpu_s``: None where it runs elsewhere."""

    sealer: ProcessFigures
    postgres_cpu_s: float | None
    log_bytes: int
    full_pages: int
    verifier: ProcessFigures
    verifier_postgres_cpu_s: float | None


class SealingFigures(Struct, frozen=True, kw_only=True):
    """``changes``: leaves of the record. ``leaf_bytes``, ``index_bytes`` and ``head_bytes``: on disk a payment. The
    other figures are medians over rounds, a payment each where they have no unit of their own."""

    payments: int
    changes: int
    database_gb: float
    rounds: list[SealingRound]
    per_s: float
    sealer_cpu_us: float
    postgres_cpu_us: float | None
    log_bytes: float
    full_pages: float
    sealer_mb: float
    leaf_bytes: float
    index_bytes: float
    head_bytes: float
    verified_per_s: float
    verifier_cpu_us: float
    verifier_postgres_cpu_us: float | None
    verifier_mb: float

    def judged(self) -> list[Judged]:
        return [
            judge(SEALED_PER_S, self.per_s),
            judge(SEALER_CPU_US, self.sealer_cpu_us),
            judge(SEALER_LOG, self.log_bytes),
            judge(VERIFIED_PER_S, self.verified_per_s),
            judge(VERIFIER_MB, self.verifier_mb),
        ]


def measure_sealing(
    settings: Settings,
    database: Database,
    rounds: int,
    announce: Announce,
    process: Callable[[], Executor] | None = None,
) -> SealingFigures:
    """Seal and verify what is in the database, so many times; what is sealed in it is removed. ``process``: in which
    each of both runs; by default a new one. Raises NotSealed, and what sealing, verifying and the database raise."""
    key = base64.b64encode(os.urandom(32)).decode()
    settings = replace(database.settings_for(settings), audit_sealing=True, audit_signing_key=key)
    with psycopg.connect(database.owner_url, autocommit=True) as connection:
        payments, changes = (_one(connection, query) for query in (_PAYMENTS, _CHANGES))
        found = [
            _round(settings, database, connection, changes, f"round {number + 1}: ", announce, process or _own_process)
            for number in range(rounds)
        ]
        sizes = [_one(connection, query) / payments for query in _SIZES]

    def of(figure: Callable[[SealingRound], float | None], scale: float = 1.0) -> Any:
        values = [value for each in found if (value := figure(each)) is not None]
        return round(median(values) * scale, 1) if values else None

    micro = 1e6 / payments
    return SealingFigures(
        payments=payments,
        changes=changes,
        database_gb=database_gb(database.owner_url),
        rounds=found,
        per_s=of(lambda each: changes / each.sealer.elapsed_s),
        sealer_cpu_us=of(lambda each: each.sealer.cpu_s, micro),
        postgres_cpu_us=of(lambda each: each.postgres_cpu_s, micro),
        log_bytes=of(lambda each: each.log_bytes, 1 / payments),
        full_pages=of(lambda each: each.full_pages),
        sealer_mb=of(lambda each: each.sealer.peak_mb),
        leaf_bytes=round(sizes[0], 1),
        index_bytes=round(sizes[1], 1),
        head_bytes=round(sizes[2], 1),
        verified_per_s=of(lambda each: payments / each.verifier.elapsed_s),
        verifier_cpu_us=of(lambda each: each.verifier.cpu_s, micro),
        verifier_postgres_cpu_us=of(lambda each: each.verifier_postgres_cpu_s, micro),
        verifier_mb=of(lambda each: each.verifier.peak_mb),
    )


_FILLED: Final = "SELECT count(*) FROM pg_tables WHERE schemaname = 'bench' AND tablename = 'filled_chunk'"
_PAYMENTS: Final = "SELECT count(*) FROM payment"
_CHANGES: Final = "SELECT count(*) FROM transition WHERE lead_version IS NULL"
_SIZES: Final = (
    "SELECT pg_relation_size('audit_leaf')",
    "SELECT pg_indexes_size('audit_leaf')",
    "SELECT pg_total_relation_size('audit_head')",
)

#: Bytes of the log so far, and whole pages in it.
_LOG: Final = "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint"
_FULL_PAGES: Final = "SELECT wal_fpi FROM pg_stat_wal"


def _one(connection: psycopg.Connection[Any], query: str) -> int:
    row = connection.execute(query.encode()).fetchone()
    return int(row[0]) if row is not None else 0


def require_own_record(owner_url: str) -> None:
    """A record that a benchmark filled may be sealed anew; what somebody else sealed may not be removed. Raises
    SealedElsewhere, and what the database raises."""
    with psycopg.connect(owner_url, autocommit=True) as connection:
        sealed, filled = _one(connection, "SELECT count(*) FROM audit_record"), _one(connection, _FILLED)
    if sealed and not filled:
        raise SealedElsewhere("it is sealed, and no benchmark filled it: to seal it anew would remove its heads")


def unseal(connection: psycopg.Connection[Any]) -> None:
    """Remove everything that a sealer wrote. Raises what the database raises."""
    connection.execute(f"TRUNCATE {_SEALED}".encode())
    connection.execute(b"DELETE FROM watch WHERE name = 'sealing'")


def _round(
    settings: Settings,
    database: Database,
    connection: psycopg.Connection[Any],
    changes: int,
    label: str,
    announce: Announce,
    process: Callable[[], Executor],
) -> SealingRound:
    unseal(connection)
    before, cpu = (_one(connection, _LOG), _one(connection, _FULL_PAGES)), _postgres_cpu(database)
    with process() as running:
        running.submit(_nothing).result()
        sealing = running.submit(_seal, settings, database.app_url)
        _watch(connection, sealing, changes, f"{label}changes sealed", announce)
    sealing_cpu = _between(cpu, _postgres_cpu(database))
    after, cpu = (_one(connection, _LOG), _one(connection, _FULL_PAGES)), _postgres_cpu(database)
    sealed = _one(connection, "SELECT count(*) FROM audit_leaf WHERE kind = 'change'")
    if sealed != changes:
        raise NotSealed(f"{changes:,} changes, and {sealed:,} of them are sealed")
    announce(f"{label}verified", 0, changes)
    with process() as running:
        running.submit(_nothing).result()
        verifier = running.submit(_verify, settings, database.app_url).result()
    announce(f"{label}verified", changes, changes)
    return SealingRound(
        sealer=sealing.result(),
        postgres_cpu_s=sealing_cpu,
        log_bytes=after[0] - before[0],
        full_pages=after[1] - before[1],
        verifier=verifier,
        verifier_postgres_cpu_s=_between(cpu, _postgres_cpu(database)),
    )


def _own_process() -> Executor:
    """Spawned: a forked child would share this process's memory and connections."""
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(1, mp_context=context, initializer=configure_logging, initargs=("error", ()))


def _nothing() -> None:
    """A process that has started."""


def _postgres_cpu(database: Database) -> float | None:
    return None if database.server_pid is None else tree_seconds(database.server_pid)


def _between(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else round(after - before, 2)


def _watch(
    connection: psycopg.Connection[Any], running: Future[Any], changes: int, label: str, announce: Announce
) -> None:
    while not running.done():
        announce(label, min(_one(connection, _HEADS), changes), changes)
        time.sleep(_LOOKED_EVERY_S)
    running.result()
    announce(label, changes, changes)


def _key(settings: Settings) -> SigningKey:
    assert settings.audit_signing_key is not None, "it was made for this run"
    return SigningKey.from_text(settings.audit_signing_key)


def _seal(settings: Settings, app_url: str) -> ProcessFigures:
    async def run() -> None:
        async with await open_pool(app_url, settings) as pool:
            sealer = Sealer(pool, Clock(), settings, _key(settings))
            while await sealer.round():
                pass
            await sealer.leave()

    return measured(run)


def _verify(settings: Settings, app_url: str) -> ProcessFigures:
    async def run() -> None:
        key, window = _key(settings), timedelta(milliseconds=sealing_window_ms(settings))
        connection = await connect(app_url, command_timeout_ms=_STATEMENT_TIMEOUT_MS)
        try:
            report = await verify_alone(connection, {key.key_id: key.public}, Clock(), window)
        finally:
            await connection.close()
        if report.findings:
            raise NotSealed(f"{len(report.findings)} differences, the first is {report.findings[0].about}")

    return measured(run)
