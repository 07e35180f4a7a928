"""What all scenes share: a process with all providers, trials side by side, and how each ends."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import asyncpg

from tallystick.contract.fault_table import FAULTS, INSTRUCTIONS, PROVIDERS
from tallystick.oversight.invariants import verify
from tallystick.settings.load import Settings
from tests.guarantees.fault_table.process import SETTINGS, ApiProcess, api_process
from tests.guarantees.fault_table.stands import Programs, stands
from tests.guarantees.fault_table.trial import Trial
from tests.support.database import Database

#: A circuit that one call without an answer opens: what a client causes must not count at all.
ANY_FAILURE_OPENS = dataclasses.replace(
    SETTINGS, provider_circuit_calls=1, provider_circuit_failure_percent=1, provider_circuit_probes=1
)

#: Where faults of the providers are the rule, and the circuit is not what the cell is about.
NO_FAILURE_OPENS = dataclasses.replace(SETTINGS, provider_circuit_calls=1_000_000)


def trials_of(fault: str, providers: Iterable[str] = PROVIDERS, **fields: Any) -> list[Trial]:
    """The cells of one column."""
    return [Trial(instruction, name, fault, **fields) for name in providers for instruction in INSTRUCTIONS]


@asynccontextmanager
async def scene(database: Database, programs: Programs, settings: Settings) -> AsyncIterator[ApiProcess]:
    """A process with all three providers."""
    async with stands(programs) as there, api_process(database, there, there.settings(settings)) as process:
        yield process


async def each(trials: Sequence[Trial], do: Callable[[Trial], Any]) -> None:
    """For all of them at once: one cell does not wait for another."""
    await asyncio.gather(*(do(trial) for trial in trials))


async def prepare(process: ApiProcess, trials: Sequence[Trial]) -> None:
    """What the instructions act on."""
    keys = await process.keys_of([trial.merchant_id for trial in trials])
    for trial, key in zip(trials, keys, strict=True):
        trial.api_key = key
    await each(trials, lambda trial: trial.prepare(process))


async def ask_strangers(process: ApiProcess, trials: Sequence[Trial]) -> None:
    """Another merchant pays: at the same provider where a client caused the fault, otherwise at another one."""
    for fault in {trial.fault for trial in trials}:
        for name in {trial.provider for trial in trials if trial.fault == fault}:
            other = PROVIDERS[(PROVIDERS.index(name) + 1) % len(PROVIDERS)]
            where = name if FAULTS[fault].by_client else other
            paid = await process.stranger_pays(where)
            for trial in trials:
                if (trial.fault, trial.provider) == (fault, name):
                    trial.unharmed, trial.circuit = paid, process.runtime.provider(where).circuit


async def follow(process: ApiProcess, trials: Sequence[Trial], *, later: bool = True) -> None:
    """From the answers to the end: recovery, then what may still arrive, requests that were lost among it."""

    await process.recovered(later=later)
    await each(trials, lambda trial: trial.look_before(process))
    for proxy, passage in process.stands.lost():
        await proxy.deliver(passage)
    told = await process.hear({trial.merchant_id: trial.provider for trial in trials})
    await each(trials, lambda trial: trial.look_after(process, told[trial.merchant_id]))
    asked = [(trial.provider, trial.instruction, trial.attempt_id) for trial in trials]
    for trial, effects in zip(trials, await process.stands.effects(asked), strict=True):
        assert effects in (None, 0, 1), f"money moved {effects} times: {trial.cell}"
        assert effects != 0 or trial.after is None or trial.after.key_taken or trial.after.state != "approved"


async def books_hold(process: ApiProcess) -> None:
    """Every invariant of the record."""
    async with process.runtime.pool.acquire() as pooled:
        report = await verify(cast(asyncpg.Connection, pooled), settings=process.runtime.settings)
    assert [one.detail for one in report.violations] == []
