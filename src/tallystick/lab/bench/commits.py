"""The journal alone: ``Journal.commit`` with many flows at once, and with one on an idle system."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

from msgspec import Struct

from tallystick.domain.change import Change
from tallystick.kit.clock import Clock
from tallystick.lab.bench.ceiling import COMMAND_TIMEOUT_MS, ceiling_per_s, play, record_batch, unseen_by_collector
from tallystick.lab.bench.latency import Latency, latency, median, median_latency
from tallystick.lab.bench.workload import new_payment
from tallystick.record.journal import Fresh, Journal, limits_of
from tallystick.record.postgres.connections import connect_journal
from tallystick.settings.load import Settings

#: Both arms run this much unmeasured first: statement caches, branch predictors, files that grow.
WARM_UP_PAYMENTS: Final = 1_000

Announce = Callable[[str, int, int], None]


class DoorRound(Struct, frozen=True, kw_only=True):
    """One round, all arms. Payments a second are of two commits each; latencies are of one commit."""

    ceiling_per_s: float
    door_per_s: float
    door_latency: Latency
    deciding_per_s: float


class Idle(Struct, frozen=True, kw_only=True):
    """One commit at a time on an otherwise idle system."""

    journal: Latency
    direct: Latency
    adds_ms: float


class JournalFigures(Struct, frozen=True, kw_only=True):
    """Medians over rounds. ``ratio`` and ``deciding_ratio``: the medians of each round's own ratio."""

    rounds: list[DoorRound]
    payments_per_round: int
    flows: int
    ceiling_per_s: float
    door_per_s: float
    door_latency: Latency
    deciding_per_s: float
    ratio: float
    deciding_ratio: float
    idle: Idle


@asynccontextmanager
async def open_journal(settings: Settings, database_url: str) -> AsyncIterator[Journal]:
    """A journal over connections of its own."""
    journal = Journal(
        lambda: connect_journal(database_url, command_timeout_ms=settings.journal_commit_timeout_ms),
        limits_of(settings),
        Clock(),
    )
    await journal.start()
    try:
        yield journal
    finally:
        await journal.stop()


async def measure_journal(
    settings: Settings, database_url: str, *, rounds: int, payments: int, flows: int, idle: int, announce: Announce
) -> JournalFigures:
    """Rounds of ceiling, journal, ceiling, journal …, so that drift over time affects both alike."""
    results: list[DoorRound] = []
    async with open_journal(settings, database_url) as journal:
        await _commit_all(journal, _decided(WARM_UP_PAYMENTS), flows)
        for number in range(rounds):
            ceiling = await ceiling_per_s(database_url, payments)
            door_per_s, waits = await _commit_all(journal, _decided(payments), flows)
            deciding_per_s, _ = await _commit_all(journal, _deciding(payments), flows)
            results.append(
                DoorRound(
                    ceiling_per_s=ceiling,
                    door_per_s=door_per_s,
                    door_latency=latency(waits),
                    deciding_per_s=deciding_per_s,
                )
            )
            announce("journal beside its ceiling", number + 1, rounds)
    # New connections: those of a busy journal know their statements' plans for batches.
    async with open_journal(settings, database_url) as journal:
        alone = await measure_idle(journal, database_url, idle, announce)
    return JournalFigures(
        rounds=results,
        payments_per_round=payments,
        flows=flows,
        ceiling_per_s=median([each.ceiling_per_s for each in results]),
        door_per_s=median([each.door_per_s for each in results]),
        door_latency=median_latency([each.door_latency for each in results]),
        deciding_per_s=median([each.deciding_per_s for each in results]),
        ratio=median([each.door_per_s / each.ceiling_per_s for each in results]),
        deciding_ratio=median([each.deciding_per_s / each.ceiling_per_s for each in results]),
        idle=alone,
    )


async def measure_idle(journal: Journal, database_url: str, payments: int, announce: Announce) -> Idle:
    """One commit at a time, through the journal and directly in turn: the same rows in the same exchanges."""
    through: list[float] = []
    direct: list[float] = []
    connection = await connect_journal(database_url, command_timeout_ms=COMMAND_TIMEOUT_MS)
    try:
        for number in range(payments):
            for change in new_payment():
                through.append(await _timed(journal.commit(change)))
            for change in new_payment():
                exchanges = await record_batch([change])
                direct.append(await _timed(play(connection, exchanges)))
            announce("one commit at a time", number + 1, payments)
    finally:
        await connection.close()
    with_journal, without = latency(through), latency(direct)
    return Idle(journal=with_journal, direct=without, adds_ms=round(with_journal.p50_ms - without.p50_ms, 3))


Payment = Callable[[], tuple[Change, Change]]


def _decided(payments: int) -> list[Payment]:
    """Decided beforehand: only the journal is measured."""
    made = [new_payment() for _ in range(payments)]
    return [partial(_ready, each) for each in made]


def _ready(made: tuple[Change, Change]) -> tuple[Change, Change]:
    return made


def _deciding(payments: int) -> list[Payment]:
    """Decided during the measurement: parsing, fingerprint, ids and both decisions."""
    return [new_payment] * payments


async def _commit_all(journal: Journal, payments: Sequence[Payment], flows: int) -> tuple[float, list[float]]:
    """Payments a second with ``flows`` at once, and how long each commit took in seconds."""
    queue = list(reversed(payments))
    waits: list[float] = []

    async def flow() -> None:
        while queue:
            for change in queue.pop()():
                waits.append(await _timed(_fresh(journal, change)))

    with unseen_by_collector():
        started = time.perf_counter()
        await asyncio.gather(*(flow() for _ in range(flows)))
        elapsed_s = time.perf_counter() - started
    return len(payments) / elapsed_s, waits


async def _fresh(journal: Journal, change: Change) -> None:
    committed = await journal.commit(change)
    assert isinstance(committed, Fresh), f"a change with new ids was answered {committed}"


async def _timed(work: Awaitable[object]) -> float:
    started = time.perf_counter()
    await work
    return time.perf_counter() - started
