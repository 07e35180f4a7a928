"""Memory over very many payments: API, worker and PostgreSQL after the first tens of thousands, and ten times as many.

The API runs as ``serve`` runs it, with the in-process provider, and a worker as ``work`` runs it: it dispatches the
messages of all payments. Payments come from a closed loop in pieces; between two pieces memory is read at rest.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import uvloop
from msgspec import Struct

from tallystick.access import key_store
from tallystick.lab.bench.generator import Load
from tallystick.lab.bench.memory import private_bytes
from tallystick.lab.bench.over_http import run_load
from tallystick.lab.bench.stage import HOST, Database, free_port, open_server, process_trees, until_ready
from tallystick.lab.bench.workload import MERCHANT
from tallystick.run.supervisor import child_environment
from tallystick.settings.load import Settings

Announce = Callable[[str, int, int], None]

#: Of a piece: as often as this memory is read, and progress is shown.
PIECE_S: Final = 10.0

#: Long enough for answers on a busy machine; the first one, before anything is known of the rate, and the last.
SHORT_PIECE_S: Final = 4.0

#: What was under way has ended, and what it held is free.
REST_S: Final = 2.0

#: Memory may grow by this share between the two reads. Caches that fill once are full by the first.
GROWTH_LIMIT: Final = 0.10


class SoakPlan(Struct, frozen=True, kw_only=True):
    """Memory after ``requests`` payments is compared with that after the first ``warm_up_requests``."""

    warm_up_requests: int
    requests: int
    connections: int


class Sample(Struct, frozen=True, kw_only=True):
    """RssAnon of each process tree after so many payments, in bytes."""

    requests: int
    elapsed_s: float
    bytes: dict[str, int]


class SoakFigures(Struct, frozen=True, kw_only=True):
    """The figures of ``bench soak``. ``growth``: of each process tree, as a share of what it had after the warm-up."""

    plan: SoakPlan
    api_processes: int
    warm: Sample
    samples: list[Sample]
    growth: dict[str, float]
    failures: dict[str, int]

    def holds(self) -> bool:
        """Whether memory stayed within the limit, and every payment was made."""
        return not self.failures and all(growth <= GROWTH_LIMIT for growth in self.growth.values())


def measure_soak(settings: Settings, database: Database, logs: Path, plan: SoakPlan, announce: Announce) -> SoakFigures:
    """Payments until there are enough. Raises StageFailed and NoMemoryFigures."""
    samples: list[Sample] = []
    failures: dict[str, int] = {}
    with (
        open_server("api", settings, database, logs / "api.log") as api,
        _worker(settings, database, logs / "work.log") as worker,
    ):
        trees = process_trees(api, database) | {"worker": worker}
        api_key = uvloop.run(key_store.create_key(database.app_url, MERCHANT))
        done, per_s, started = 0, 0.0, time.monotonic()
        announce("payments", done, plan.requests)
        while done < plan.requests:
            goal = plan.warm_up_requests if done < plan.warm_up_requests else plan.requests
            piece_s = min(PIECE_S, max(SHORT_PIECE_S, (goal - done) / per_s)) if per_s else SHORT_PIECE_S
            load = Load(
                host=HOST,
                port=api.port,
                api_key=api_key,
                connections=plan.connections,
                warm_up_s=0,
                duration_s=piece_s,
            )
            result = run_load(load, trees).result
            for reason, count in result.failures.items():
                failures[reason] = failures.get(reason, 0) + count
            done, per_s = done + result.answered, result.per_s
            time.sleep(REST_S)
            samples.append(
                Sample(
                    requests=done,
                    elapsed_s=round(time.monotonic() - started, 1),
                    bytes={name: private_bytes(pid) for name, pid in trees.items()},
                )
            )
            announce("payments", min(done, plan.requests), plan.requests)
    return soak_figures(plan, settings.api_processes, samples, failures)


def soak_figures(plan: SoakPlan, api_processes: int, samples: list[Sample], failures: dict[str, int]) -> SoakFigures:
    """The last sample beside the first one after the warm-up. Raises ValueError where there is none."""
    warm = next((each for each in samples if each.requests >= plan.warm_up_requests), None)
    if warm is None:
        raise ValueError("the warm-up did not end")
    return SoakFigures(
        plan=plan,
        api_processes=api_processes,
        warm=warm,
        samples=samples,
        growth={name: round(samples[-1].bytes[name] / size - 1, 4) for name, size in warm.bytes.items()},
        failures=failures,
    )


@contextmanager
def _worker(settings: Settings, database: Database, log: Path) -> Iterator[int]:
    """The process id of a worker that is ready. Raises StageFailed."""
    port = free_port()
    settings = replace(database.settings_for(settings), host=HOST, worker_health_port=port)
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "tallystick", "work", "--parent-pid", str(os.getpid())],
            env=child_environment(settings),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    with until_ready(process, port, log):
        yield process.pid
