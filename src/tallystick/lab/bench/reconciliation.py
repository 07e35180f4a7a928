"""How long it takes to import, match, post and evidence a provider's files beside a filled record.

One process imports file after file, and another one compares and posts what is there, as operators' commands and the
worker do. The ceiling is what PostgreSQL takes to read the same files with COPY, and to join them once with the record.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread
from typing import Any

import psycopg
import uvloop
from msgspec import Struct

from tallystick.kit.logs import configure_logging
from tallystick.lab.bench.cpu import tree_seconds
from tallystick.lab.bench.fill import database_gb
from tallystick.lab.bench.memory import private_bytes
from tallystick.lab.bench.reconciling import (
    EVIDENCED,
    FILES_EVIDENCED,
    SAMPLED_EVERY_S,
    ProcessFigures,
    RowsDiffer,
    import_files,
    reconcile,
    tell,
)
from tallystick.lab.bench.settlement_ceiling import ceiling
from tallystick.lab.bench.settlement_rows import Announce, SettlementFiles, letters_of, write_files
from tallystick.lab.bench.stage import Database
from tallystick.lab.bench.statement_entries import write_statement
from tallystick.lab.bench.targets import ENTRIES_PER_S, IMPORTER_MB, NEWS_PER_S, RECONCILED_PER_S, Judged, judge
from tallystick.settings.load import Settings


class Load(Struct, frozen=True, kw_only=True):
    """What is imported: ``rows`` of payments in three files, one of ``exception_every`` an exception (None: of a
    thousand); or, where there are any, so many ``entries`` of a bank statement. ``tells``: merchants are told of it."""

    rows: int = 1_000_000
    exception_every: int | None = None
    entries: int = 0
    tells: bool = False


class ReconciliationFigures(Struct, frozen=True, kw_only=True):
    """``rows``: of the files, and so many have evidence. ``exceptions``: those among them that do not agree, or are of
    no payment. ``payments``: of the record. ``postgres_mb``: private memory of all of its processes at most, beside its
    ``shared_buffers``; None where it runs elsewhere. ``told``: steps of payments that tell merchants of their rows,
    after the rest. ``copy_s`` and ``join_s``: the ceiling, of rows of payments."""

    files: int
    rows: int
    file_mb: float
    exceptions: int
    payments: int
    merchants: int
    database_gb: float
    elapsed_s: float
    per_s: float
    importer: ProcessFigures
    worker: ProcessFigures
    postgres_mb: float | None
    postgres_cpu_s: float | None
    shared_buffers: str
    load: Load
    copy_s: float = 0.0
    join_s: float = 0.0
    told: int = 0
    told_s: float = 0.0

    @property
    def ceiling_per_s(self) -> float:
        """Rows a second of COPY and one join; 0 where that is no ceiling."""
        return self.rows / (self.copy_s + self.join_s) if self.copy_s else 0.0

    @property
    def told_per_s(self) -> float:
        """Steps a second."""
        return self.told / self.told_s if self.told else 0.0

    def judged(self) -> list[Judged]:
        few = self.load.exception_every is None
        target = ENTRIES_PER_S if self.load.entries else RECONCILED_PER_S if few else NEWS_PER_S
        told = [judge(NEWS_PER_S, self.told_per_s)] if self.told else []
        return [judge(target, self.per_s), *told, judge(IMPORTER_MB, self.importer.peak_mb)]


def measure_reconciliation(
    settings: Settings,
    database: Database,
    work: Path,
    load: Load,
    announce: Announce,
    processes: Callable[[], Executor] | None = None,
) -> ReconciliationFigures:
    """Make the files, and measure them. ``processes``: in which importer and worker run; by default each in one of its
    own. Raises RowsDiffer, and what importing, comparing and the database raise."""
    run = letters_of(f"{datetime.now(UTC):%y%m%d%H%M%S}")
    files = _files(database, work, load, run, announce)
    settings = database.settings_for(settings)
    before = _facts(database.owner_url)
    with _sampled(database.server_pid) as peaks, (processes or _own_processes)() as running:
        for each in (running.submit(_nothing), running.submit(_nothing)):
            each.result()  # both have started
        started, cpu = time.monotonic(), _postgres_cpu(database)
        importer = running.submit(import_files, settings, database.app_url, files)
        worker = running.submit(reconcile, settings, database.app_url, before["files"] + len(files.paths))
        _watch(database.owner_url, (importer, worker), before["sets"], files.rows, announce)
        elapsed_s = time.monotonic() - started
        postgres_cpu_s = None if cpu is None else round((_postgres_cpu(database) or 0.0) - cpu, 2)
        told, told_s = running.submit(tell, settings, database.app_url).result() if load.tells else (0, 0.0)
    after = _facts(database.owner_url)
    evidenced = after["evidence"] - before["evidence"]
    stored = after["rows"] - before["rows"]
    exceptions = {name: n - before["reasons"].get(name, 0) for name, n in after["reasons"].items()}
    found = {name: exceptions.get(name, 0) for name in files.exceptions}
    if not files.rows == stored == evidenced or found != files.exceptions:
        raise RowsDiffer(
            f"{files.rows:,} rows in, {stored:,} stored, {evidenced:,} with evidence;"
            f" exceptions were {files.exceptions}, and found are {found}"
        )
    copy_s, join_s = (0.0, 0.0) if load.entries else ceiling(database.owner_url, files.paths)
    return ReconciliationFigures(
        files=len(files.paths),
        rows=files.rows,
        file_mb=round(files.bytes / 1e6, 1),
        exceptions=sum(found.values()),
        payments=after["payments"],
        merchants=after["merchants"],
        database_gb=database_gb(database.owner_url),
        elapsed_s=round(elapsed_s, 2),
        per_s=round(files.rows / elapsed_s, 1),
        importer=importer.result(),
        worker=worker.result(),
        postgres_mb=max(peaks, default=None),
        postgres_cpu_s=postgres_cpu_s,
        shared_buffers=after["shared_buffers"],
        load=load,
        told=told,
        told_s=round(told_s, 2),
        copy_s=round(copy_s, 2),
        join_s=round(join_s, 2),
    )


def _own_processes() -> Executor:
    """Spawned: a forked child would share this process's memory and connections."""
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(2, mp_context=context, initializer=configure_logging, initargs=("error", ()))


def _postgres_cpu(database: Database) -> float | None:
    return None if database.server_pid is None else tree_seconds(database.server_pid)


def _nothing() -> None:
    """A process that has started."""


def _files(database: Database, work: Path, load: Load, run: str, announce: Announce) -> SettlementFiles:
    if load.entries:
        return write_statement(work, load.entries, run, announce)
    return uvloop.run(write_files(database.app_url, work, load.rows, run, announce, load.exception_every))


@contextmanager
def _sampled(server_pid: int | None) -> Iterator[list[float]]:
    """The most private memory of PostgreSQL so far, in MB; nothing where it runs elsewhere."""
    peaks: list[float] = []
    ended = Event()

    def sample() -> None:
        assert server_pid is not None
        while not ended.wait(SAMPLED_EVERY_S):
            peaks[:] = [max([*peaks, round(private_bytes(server_pid) / 1e6, 1)])]

    thread = Thread(target=sample, daemon=True) if server_pid is not None else None
    if thread is not None:
        thread.start()
    try:
        yield peaks
    finally:
        ended.set()
        if thread is not None:
            thread.join()


def _watch(owner_url: str, running: Sequence[Future[Any]], before: int, rows: int, announce: Announce) -> None:
    """Until both processes have ended. Raises what they raise."""
    with psycopg.connect(owner_url, autocommit=True) as connection:
        while not all(each.done() for each in running):
            for each in running:
                if each.done():
                    each.result()
            found = connection.execute(EVIDENCED).fetchone()
            announce("rows with evidence", min(int(found[0]) - before, rows) if found else 0, rows)
            time.sleep(SAMPLED_EVERY_S)
    announce("rows with evidence", rows, rows)


def _facts(owner_url: str) -> dict[str, Any]:
    with psycopg.connect(owner_url, autocommit=True) as connection:

        def one(query: str) -> Any:
            found = connection.execute(query.encode()).fetchone()
            return found[0] if found else None

        reasons = connection.execute(
            "SELECT status, reason, count(*) FROM settlement_evidence GROUP BY 1, 2"
        ).fetchall()
        return {
            "files": one(FILES_EVIDENCED),
            "sets": one(EVIDENCED),
            "rows": one("SELECT count(*) FROM settlement_row"),
            "evidence": one("SELECT count(*) FROM settlement_evidence"),
            "payments": one("SELECT count(*) FROM payment"),
            "merchants": one("SELECT count(DISTINCT merchant_id) FROM settlement"),
            "shared_buffers": one("SHOW shared_buffers"),
            "reasons": {(status, reason): n for status, reason, n in reasons},
        }
