"""How long it takes to import, match, post and evidence a provider's files beside a filled record.

One process imports file after file, and another one compares and posts what is there, as operators' commands and the
worker do. The ceiling is what PostgreSQL takes to read the same files with COPY, and to join them once with the record.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread
from typing import Any, Final

import psycopg
import uvloop
from msgspec import Struct

from tallystick.domain.errors import TallystickError
from tallystick.flows.assembly import open_runtime
from tallystick.flows.reconciliation.files import ImportAsked, import_file
from tallystick.flows.reconciliation.worker import ReconciliationWorker
from tallystick.kit.logs import configure_logging
from tallystick.lab.bench.cpu import tree_seconds
from tallystick.lab.bench.fill import database_gb
from tallystick.lab.bench.memory import private_bytes
from tallystick.lab.bench.provider import BenchProvider
from tallystick.lab.bench.provider_latency import DEFAULT
from tallystick.lab.bench.settlement_ceiling import ceiling
from tallystick.lab.bench.settlement_rows import Announce, letters_of, write_files
from tallystick.lab.bench.stage import Database
from tallystick.lab.bench.targets import IMPORTER_MB, RECONCILED_PER_S, Judged, judge
from tallystick.lab.bench.workload import PROVIDER
from tallystick.settings.load import Settings

#: Who imports and compares, in the record.
ACTOR: Final = "service:bench"

#: Between two looks at how much memory there is, and at how many rows are evidenced.
SAMPLED_EVERY_S: Final = 0.5

#: A file that nobody compares for so long is a fault of the benchmark's.
_NOTHING_FOR_S: Final = 600.0


class RowsDiffer(TallystickError):
    """What came out is not what went in: there is nothing to report."""


class ProcessFigures(Struct, frozen=True, kw_only=True):
    """One process: from its first file to its last one, its own CPU time, and the most memory that it had."""

    elapsed_s: float
    cpu_s: float
    peak_mb: float


class ReconciliationFigures(Struct, frozen=True, kw_only=True):
    """``rows``: of the files, and so many have evidence. ``exceptions``: those among them that do not agree, or are of
    no payment. ``payments``: of the record. ``postgres_mb``: private memory of all of its processes at most, beside its
    ``shared_buffers``; None where it runs elsewhere."""

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
    copy_s: float
    join_s: float

    @property
    def ceiling_per_s(self) -> float:
        """Rows a second of COPY and one join."""
        return self.rows / (self.copy_s + self.join_s)

    def judged(self) -> list[Judged]:
        return [judge(RECONCILED_PER_S, self.per_s), judge(IMPORTER_MB, self.importer.peak_mb)]


def measure_reconciliation(
    settings: Settings,
    database: Database,
    work: Path,
    rows: int,
    announce: Announce,
    processes: Callable[[], Executor] | None = None,
) -> ReconciliationFigures:
    """Make the files, and measure them. ``processes``: in which importer and worker run; by default each in one of its
    own. Raises RowsDiffer, and what importing, comparing and the database raise."""
    run = letters_of(f"{datetime.now(UTC):%y%m%d%H%M%S}")
    files = uvloop.run(write_files(database.app_url, work, rows, run, announce))
    settings = database.settings_for(settings)
    before = _facts(database.owner_url)
    with _sampled(database.server_pid) as peaks, (processes or _own_processes)() as running:
        for each in (running.submit(_nothing), running.submit(_nothing)):
            each.result()  # both have started
        started, cpu = time.monotonic(), _postgres_cpu(database)
        importer = running.submit(_import, settings, database.app_url, files.paths)
        worker = running.submit(_reconcile, settings, database.app_url, len(files.paths))
        _watch(database.owner_url, (importer, worker), before["evidence"], files.rows, announce)
        elapsed_s = time.monotonic() - started
        postgres_cpu_s = None if cpu is None else round((_postgres_cpu(database) or 0.0) - cpu, 2)
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
    copy_s, join_s = ceiling(database.owner_url, files.paths)
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


def _import(settings: Settings, app_url: str, paths: Sequence[str]) -> ProcessFigures:
    async def run() -> None:
        async with open_runtime(settings, app_url, providers=_providers()) as runtime:
            for path in paths:
                asked = ImportAsked(
                    path=Path(path), name=Path(path).name, actor=ACTOR, format="stripe", provider=PROVIDER
                )
                await import_file(runtime, asked)

    return _measured(run)


def _reconcile(settings: Settings, app_url: str, files: int) -> ProcessFigures:
    async def run() -> None:
        async with open_runtime(settings, app_url, providers=_providers()) as runtime:
            worker, give_up = ReconciliationWorker(runtime, ACTOR), time.monotonic() + _NOTHING_FOR_S
            while len(worker.compared) < files or await worker.round():
                if await worker.round():
                    give_up = time.monotonic() + _NOTHING_FOR_S
                elif time.monotonic() > give_up:
                    raise RowsDiffer(f"only {len(worker.compared)} of {files} files were compared")
                else:
                    await asyncio.sleep(SAMPLED_EVERY_S)

    return _measured(run)


def _providers() -> dict[str, Any]:
    return {PROVIDER: BenchProvider(DEFAULT)}


def _measured(run: Any) -> ProcessFigures:
    started, cpu = time.monotonic(), time.process_time()
    uvloop.run(run())
    return ProcessFigures(
        elapsed_s=round(time.monotonic() - started, 2),
        cpu_s=round(time.process_time() - cpu, 2),
        peak_mb=round(_peak_kb() / 1_000, 1),
    )


def _peak_kb() -> int:
    """The most memory that this process had, in kB, shared pages included; since it was started, and not what its
    parent had. Raises OSError and LookupError where the system is not Linux."""
    for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    raise LookupError("/proc/self/status has no VmHWM")


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
            found = connection.execute("SELECT coalesce(sum(rows), 0)::bigint FROM settlement_evidence_set").fetchone()
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
            "rows": one("SELECT count(*) FROM settlement_row"),
            "evidence": one("SELECT count(*) FROM settlement_evidence"),
            "payments": one("SELECT count(*) FROM payment"),
            "merchants": one("SELECT count(DISTINCT merchant_id) FROM settlement"),
            "shared_buffers": one("SHOW shared_buffers"),
            "reasons": {(status, reason): n for status, reason, n in reasons},
        }
