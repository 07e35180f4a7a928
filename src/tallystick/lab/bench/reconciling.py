"""The processes of ``bench reconciliation``: one imports, one compares and posts, one tells merchants."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final

import uvloop
from msgspec import Struct

from tallystick.domain.errors import TallystickError
from tallystick.flows.assembly import open_runtime
from tallystick.flows.reconciliation.files import ImportAsked, import_file
from tallystick.flows.reconciliation.telling import SettlementTeller
from tallystick.flows.reconciliation.worker import ReconciliationWorker
from tallystick.lab.bench.provider import BenchProvider
from tallystick.lab.bench.provider_latency import DEFAULT
from tallystick.lab.bench.settlement_rows import SettlementFiles
from tallystick.lab.bench.workload import PROVIDER
from tallystick.settings.load import Settings

#: Who imports and compares, in the record.
ACTOR: Final = "service:bench"

#: Between two looks at how much memory there is, and at how many rows are evidenced.
SAMPLED_EVERY_S: Final = 0.5

#: A file that nobody compares for so long is a fault of the benchmark's.
_NOTHING_FOR_S: Final = 600.0

#: Files whose evidence is complete, and rows.
FILES_EVIDENCED: Final = "SELECT count(DISTINCT file_id) FROM settlement_evidence_set"
EVIDENCED: Final = "SELECT coalesce(sum(rows), 0)::bigint FROM settlement_evidence_set"


class RowsDiffer(TallystickError):
    """What came out is not what went in: there is nothing to report."""


class ProcessFigures(Struct, frozen=True, kw_only=True):
    """One process: from its first file to its last one, its own CPU time, and the most memory that it had."""

    elapsed_s: float
    cpu_s: float
    peak_mb: float


# A record in use has its sealing key. Without one each process looks for sealed values in all payments, every time.


def import_files(settings: Settings, app_url: str, files: SettlementFiles) -> ProcessFigures:
    async def run() -> None:
        async with open_runtime(settings, app_url, providers=_providers()) as runtime:
            for path in files.paths:
                asked = ImportAsked(
                    path=Path(path),
                    name=Path(path).name,
                    actor=ACTOR,
                    format=files.format,
                    provider=files.provider,
                    account=files.account,
                )
                await import_file(runtime, asked)

    return measured(run)


def reconcile(settings: Settings, app_url: str, files: int) -> ProcessFigures:
    """Until so many files have evidence, and all of it is posted."""

    async def run() -> None:
        async with open_runtime(settings, app_url, providers=_providers()) as runtime:
            worker, give_up = ReconciliationWorker(runtime, ACTOR), time.monotonic() + _NOTHING_FOR_S
            while True:
                done = await worker.round()
                found = await runtime.pool.fetchval(FILES_EVIDENCED)
                if not done and found >= files:
                    return
                if done:
                    give_up = time.monotonic() + _NOTHING_FOR_S
                elif time.monotonic() > give_up:
                    raise RowsDiffer(f"only {found} of {files} files were compared")
                else:
                    await asyncio.sleep(SAMPLED_EVERY_S)

    return measured(run)


def tell(settings: Settings, app_url: str) -> tuple[int, float]:
    """Tell merchants everything that they were not told. Returns steps, and seconds."""

    async def run() -> tuple[int, float]:
        async with open_runtime(settings, app_url, providers=_providers()) as runtime:
            teller, told, started = SettlementTeller(runtime, ACTOR), 0, time.monotonic()
            while steps := await teller.round():
                told += steps
            return told, time.monotonic() - started

    return uvloop.run(run())


def _providers() -> dict[str, Any]:
    return {PROVIDER: BenchProvider(DEFAULT)}


def measured(run: Callable[[], Coroutine[Any, Any, None]]) -> ProcessFigures:
    """Run it in this process, and say what that took. Raises what it raises."""
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
