"""What sealing costs the payments beside it: an open loop over HTTP with a sealer beside it and without one, in turns.

The sealer is a process of its own with a worker's settings. It has sealed what was there when a load begins, and how
much it is behind when the load ends is told: a sealer that does not keep up costs less than it should.
"""

from __future__ import annotations

import asyncio
import base64
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.synchronize import Event
from pathlib import Path
from time import monotonic
from typing import Final

import psycopg
import uvloop
from msgspec import Struct

from tallystick.access import key_store
from tallystick.domain.errors import TallystickError
from tallystick.kit.clock import Clock
from tallystick.kit.logs import configure_logging
from tallystick.lab.bench.generator import Load
from tallystick.lab.bench.latency import Latency, median
from tallystick.lab.bench.over_http import Measured, rate_connections, run_load
from tallystick.lab.bench.sealing import unseal
from tallystick.lab.bench.stage import HOST, Database, Server, open_server, process_trees
from tallystick.lab.bench.targets import SEALED_P99, Judged, judge
from tallystick.lab.bench.workload import MERCHANT
from tallystick.oversight.audit.heads import SigningKey
from tallystick.oversight.audit.seal import Sealer
from tallystick.record.postgres.connections import open_pool
from tallystick.settings.load import Settings

Announce = Callable[[str, int, int], None]

#: How long a sealer may take to seal what another turn left: a minute of payments takes some seconds.
CAUGHT_UP_WITHIN_S: Final = 600

#: How long it may take to end.
ENDS_WITHIN_S: Final = 30

_BEHIND: Final = (
    "SELECT (SELECT count(*) FROM transition WHERE lead_version IS NULL)"
    " - (SELECT count(*) FROM audit_leaf WHERE kind = 'change')"
)


class NotCaughtUp(TallystickError):
    """The sealer ended, or did not seal in time what was there before the load."""


class BesidePlan(Struct, frozen=True, kw_only=True):
    """Each round has one load with a sealer and one without."""

    rounds: int
    rate_per_s: float
    duration_s: float
    warm_up_s: float


class Turn(Struct, frozen=True, kw_only=True):
    """One load. ``behind``: changes that were not sealed when it ended; None without a sealer."""

    latency: Latency
    per_s: float
    carried: bool
    failures: dict[str, int]
    cpu_s: dict[str, float]
    behind: int | None


class BesideFigures(Struct, frozen=True, kw_only=True):
    """``ratio``: of p99 with a sealer to p99 without, the median of each round's own. ``sealer_cpu_us``: its own CPU a
    payment, the median."""

    plan: BesidePlan
    unsealed: list[Turn]
    sealed: list[Turn]
    ratio: float
    ratios: list[float]
    sealer_cpu_us: float

    def judged(self) -> list[Judged]:
        return [judge(SEALED_P99, self.ratio)]

    def failed(self) -> int:
        """Requests that were not answered as they should have been, and loads that were not carried."""
        turns = (*self.sealed, *self.unsealed)
        return sum(sum(each.failures.values()) + (not each.carried) for each in turns)


def measure_beside(
    settings: Settings, database: Database, logs: Path, plan: BesidePlan, announce: Announce
) -> BesideFigures:
    """What is sealed in the database is removed first. Raises StageFailed, NotCaughtUp and what the database raises."""
    key = base64.b64encode(os.urandom(32)).decode()
    sealing = replace(database.settings_for(settings), audit_sealing=True, audit_signing_key=key)
    turns: dict[bool, list[Turn]] = {False: [], True: []}
    with psycopg.connect(database.owner_url, autocommit=True) as connection:
        unseal(connection)
    with open_server("api", settings, database, logs / "api.log") as server:
        api_key = uvloop.run(key_store.create_key(database.app_url, MERCHANT))
        for number in range(2 * plan.rounds):
            # Off, on, on, off: what the machine does meanwhile, and a record that grows, meet both alike.
            sealed = number % 4 in (1, 2)
            announce("payments with sealing and without", number, 2 * plan.rounds)
            turns[sealed].append(_turn(sealing, database, server, api_key, plan, sealed=sealed))
    announce("payments with sealing and without", 2 * plan.rounds, 2 * plan.rounds)
    return figures_of(plan, turns[False], turns[True])


def figures_of(plan: BesidePlan, unsealed: Sequence[Turn], sealed: Sequence[Turn]) -> BesideFigures:
    """Of turns in their order."""
    ratios = [
        round(with_it.latency.p99_ms / without.latency.p99_ms, 3)
        for without, with_it in zip(unsealed, sealed, strict=True)
    ]
    payments = plan.rate_per_s * plan.duration_s
    return BesideFigures(
        plan=plan,
        unsealed=list(unsealed),
        sealed=list(sealed),
        ratio=median(ratios),
        ratios=ratios,
        sealer_cpu_us=round(median([each.cpu_s.get("sealer", 0.0) / payments * 1e6 for each in sealed]), 1),
    )


def _turn(
    settings: Settings, database: Database, server: Server, api_key: str, plan: BesidePlan, *, sealed: bool
) -> Turn:
    load = Load(
        host=HOST,
        port=server.port,
        api_key=api_key,
        connections=rate_connections(plan.rate_per_s),
        warm_up_s=plan.warm_up_s,
        duration_s=plan.duration_s,
        rate_per_s=plan.rate_per_s,
    )
    roots = process_trees(server, database)
    if not sealed:
        return _told(run_load(load, roots), plan, None)
    with _sealer(settings, database) as pid:
        measured = run_load(load, {**roots, "sealer": pid})
        with psycopg.connect(database.owner_url) as connection:
            row = connection.execute(_BEHIND.encode()).fetchone()
    return _told(measured, plan, int(row[0]) if row is not None else None)


def _told(measured: Measured, plan: BesidePlan, behind: int | None) -> Turn:
    result = measured.result
    return Turn(
        latency=result.latency,
        per_s=result.per_s,
        carried=result.carried(plan.rate_per_s),
        failures=result.failures,
        cpu_s=measured.cpu_s,
        behind=behind,
    )


@contextmanager
def _sealer(settings: Settings, database: Database) -> Iterator[int]:
    """The process id of a sealer that has sealed everything that is there. Raises NotCaughtUp."""
    context = multiprocessing.get_context("spawn")  # a forked child would share this process's connections
    caught_up, ending = context.Event(), context.Event()
    process = context.Process(target=_seal, args=(settings, database.app_url, caught_up, ending), daemon=True)
    process.start()
    try:
        until = monotonic() + CAUGHT_UP_WITHIN_S
        while not caught_up.wait(1):
            if not process.is_alive() or monotonic() > until:
                raise NotCaughtUp("the sealer did not seal what was there before the load")
        assert process.pid is not None, "it was started"
        yield process.pid
    finally:
        ending.set()
        process.join(ENDS_WITHIN_S)
        process.kill()


def _seal(settings: Settings, app_url: str, caught_up: Event, ending: Event) -> None:
    """In a process of its own: rounds as a worker has them."""
    configure_logging("error", ())
    os.nice(settings.worker_niceness)

    async def run() -> None:
        assert settings.audit_signing_key is not None, "it was made for this run"
        async with await open_pool(app_url, settings) as pool:
            sealer = Sealer(pool, Clock(), settings, SigningKey.from_text(settings.audit_signing_key))
            while not ending.is_set():
                if not await sealer.round():
                    caught_up.set()
                    await asyncio.to_thread(ending.wait, settings.audit_sealing_interval_ms / 1_000)
            await sealer.leave()

    uvloop.run(run())
