"""Assembles one process: connections, journal, reads, providers."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any, Final

import asyncpg

from tallystick.flows.admission import InFlight
from tallystick.flows.clocks import MEASURE_EVERY_MS, Clocks
from tallystick.flows.contract_drift import ContractDrift
from tallystick.flows.pauses import EXCHANGE_EVERY_MS, Pauses
from tallystick.flows.provider_words import ProviderWords
from tallystick.flows.replay_counts import ReplayCounts
from tallystick.flows.runtime import CONFIGURE, Runtime
from tallystick.flows.screened_provider import screened_providers
from tallystick.flows.stores import stores_on
from tallystick.kit.clock import Clock
from tallystick.kit.log_sampling import SampledLines
from tallystick.kit.logs import flush_lines, get_logger
from tallystick.kit.rounds import Rounds, run_rounds
from tallystick.providers.assembly import (
    bounded_providers,
    connected_providers,
    default_provider,
    require_sound_providers,
    switched_off,
)
from tallystick.providers.port import Provider
from tallystick.record.journal import Journal, limits_of
from tallystick.record.next_action_seal import ActionSeal
from tallystick.record.postgres.batch import JournalConnection
from tallystick.record.postgres.connections import connect_journal, connect_probe, open_pool
from tallystick.record.postgres.open_payments import count_open_payments, open_payments_elsewhere
from tallystick.record.postgres.outage import Outage
from tallystick.record.postgres.readiness import DatabaseReadiness
from tallystick.record.postgres.reads import Reads
from tallystick.record.sealing import Sealer, sealer_of
from tallystick.record.sealing_keys import COMPARE_EVERY_MS, SealingKeys
from tallystick.settings.load import Settings

log = get_logger("tallystick.flows.assembly")

#: One alert of a provider that the settings lack in this long: it takes a person to bring it back.
LACKING_EVERY_S: Final = 3_600.0


@asynccontextmanager
async def open_runtime(
    settings: Settings,
    database_url: str,
    *,
    providers: Mapping[str, Provider] | None = None,
    journal_connect: Callable[[], Awaitable[JournalConnection]] | None = None,
    registers_keys: bool = True,
    application_name: str = "tallystick",
) -> AsyncIterator[Runtime]:
    """Opens everything, and closes it in reverse order; flows get ``drain_timeout_ms`` to end. Raises SettingsError for
    malformed sealing keys, and what opening the database raises.

    Raises SettingsError also for providers that no process may start with (``require_sound_providers``).
    ``providers`` and ``journal_connect`` are for tests and benchmarks that bring their own. ``registers_keys``: the
    first process on a record registers its sealing key; an operator's command does not, on whatever machine it runs.
    ``application_name``: how others see its sessions.
    """
    if providers is None:
        require_sound_providers(settings)
    sealer = sealer_of(settings)
    async with AsyncExitStack() as closing:
        closing.callback(flush_lines)
        pool = await open_pool(database_url, settings, application_name)
        closing.push_async_callback(pool.close)
        runtime = _runtime_on(pool, settings, database_url, sealer, providers, journal_connect)
        for provider in runtime.providers.values():
            closing.push_async_callback(provider.close)
        for lines in (runtime.outage, runtime.pauses, runtime.words, runtime.lacking):
            closing.callback(lines.flush)
        closing.push_async_callback(runtime.readiness.close)
        await runtime.journal.start()
        closing.push_async_callback(runtime.journal.stop)
        await runtime.drift.start()
        closing.push_async_callback(runtime.drift.stop)
        await runtime.replays.start()
        closing.push_async_callback(runtime.replays.stop)
        await _report_switched_off(runtime)
        await _report_missing(runtime)
        keys = SealingKeys(pool, settings, sealer, runtime.clock, registers=registers_keys)
        await closing.enter_async_context(_compared(runtime, keys))
        yield runtime
        await runtime.flows.drain(settings.drain_timeout_ms)


def _runtime_on(
    pool: asyncpg.Pool,
    settings: Settings,
    database_url: str,
    sealer: Sealer,
    providers: Mapping[str, Provider] | None,
    journal_connect: Callable[[], Awaitable[JournalConnection]] | None,
) -> Runtime:
    """Every part, made and not started."""
    clock, outage = Clock(settings.clock_shift_ms), Outage()
    words = ProviderWords(sealer)
    connectors = screened_providers(
        bounded_providers(settings, connected_providers(settings)) if providers is None else providers, words
    )
    stores = stores_on(pool, clock, settings, sealer)
    return Runtime(
        settings=settings,
        journal=Journal(
            journal_connect or _journal_connection(settings, database_url), limits_of(settings), clock, outage
        ),
        reads=Reads(pool, clock),
        providers=connectors,
        clock=clock,
        clocks=Clocks(pool, clock, connectors, margin_ms=settings.clock_margin_ms, outage=outage),
        pauses=Pauses(pool, connectors),
        flows=InFlight(settings.in_flight_limit),
        jitter=random.Random(),
        actions=ActionSeal(sealer),
        words=words,
        sealer=sealer,
        stores=stores,
        pool=pool,
        outage=outage,
        readiness=DatabaseReadiness(partial(connect_probe, database_url), outage, sealer),
        default_provider=default_provider(settings),
        switched_off=switched_off(settings),
        drift=ContractDrift(stores.contract_drift, clock, connectors),
        replays=ReplayCounts(stores.replays, clock),
        lacking=SampledLines(LACKING_EVERY_S),
    )


def _journal_connection(settings: Settings, database_url: str) -> Callable[[], Awaitable[Any]]:
    return partial(connect_journal, database_url, command_timeout_ms=settings.journal_commit_timeout_ms)


@asynccontextmanager
async def _compared(runtime: Runtime, keys: SealingKeys) -> AsyncIterator[None]:
    """What a process compares with the record and the world: before anything else, and then until it ends."""
    await runtime.clocks.measure()
    await keys.compare()
    await runtime.pauses.learn()
    rounds = (
        Rounds("clocks", MEASURE_EVERY_MS, runtime.clocks.measure),
        Rounds("sealing keys", COMPARE_EVERY_MS, keys.compare),
        Rounds("provider pauses", EXCHANGE_EVERY_MS, runtime.pauses.exchange),
    )
    stop = asyncio.Event()
    comparing = asyncio.create_task(run_rounds(rounds, stop))
    try:
        yield
    finally:
        stop.set()
        await comparing


async def _report_switched_off(runtime: Runtime) -> None:
    """What a provider still has to do that takes no new payments."""
    for name in sorted(runtime.switched_off & runtime.providers.keys()):
        open_payments = await count_open_payments(runtime.pool, name)
        log.warning("provider is switched off", provider=name, open_payments=open_payments)


async def _report_missing(runtime: Runtime) -> None:
    """Which accounts have work that this process cannot do: it has no connector to them."""
    accounts = {name: connector.account for name, connector in runtime.providers.items()}
    for name, account, open_payments in await open_payments_elsewhere(runtime.pool, accounts):
        log.error(
            "provider with open payments is not configured",
            alert=True,
            provider=name,
            account=account,
            open_payments=open_payments,
            next=CONFIGURE,
        )
