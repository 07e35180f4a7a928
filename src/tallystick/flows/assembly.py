"""Assembles one process: connections, journal, reads, providers."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

from tallystick.flows.admission import InFlight
from tallystick.flows.clocks import MEASURE_EVERY_MS, Clocks
from tallystick.flows.contract_drift import ContractDrift
from tallystick.flows.pauses import EXCHANGE_EVERY_MS, Pauses
from tallystick.flows.provider_words import ProviderWords
from tallystick.flows.runtime import CONFIGURE, Runtime
from tallystick.flows.screened_provider import screened_providers
from tallystick.flows.stores import stores_on
from tallystick.kit.clock import Clock
from tallystick.kit.log_sampling import SampledLines
from tallystick.kit.logs import get_logger
from tallystick.kit.rounds import Rounds, run_rounds
from tallystick.providers.assembly import (
    bounded_providers,
    connected_providers,
    default_provider,
    require_sound_providers,
    switched_off,
)
from tallystick.providers.port import Provider
from tallystick.record.journal import Journal, JournalLimits
from tallystick.record.next_action_seal import ActionSeal
from tallystick.record.postgres.batch import WriteConnection
from tallystick.record.postgres.connections import connect, connect_probe, open_pool
from tallystick.record.postgres.open_payments import count_open_payments, open_payments_elsewhere
from tallystick.record.postgres.outage import Outage
from tallystick.record.postgres.readiness import DatabaseReadiness
from tallystick.record.postgres.reads import Reads
from tallystick.record.sealing import sealer_of
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
    journal_connect: Callable[[], Awaitable[WriteConnection]] | None = None,
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
    limits = JournalLimits(
        connections=settings.journal_connections,
        second_batch_changes=settings.journal_second_batch_changes,
        batch_changes=settings.journal_batch_changes,
        batch_rows=settings.journal_batch_rows,
        batch_bytes=settings.journal_batch_bytes,
        queue_limit=settings.journal_queue_limit,
        commit_timeout_ms=settings.journal_commit_timeout_ms,
    )

    async def own_connection() -> Any:
        return await connect(database_url, command_timeout_ms=settings.journal_commit_timeout_ms)

    if providers is None:
        require_sound_providers(settings)
    clock, outage = Clock(settings.clock_shift_ms), Outage()
    sealer = sealer_of(settings)
    pool = await open_pool(database_url, settings, application_name)
    journal = Journal(journal_connect or own_connection, limits, clock, outage)
    words = ProviderWords(sealer)
    connectors = screened_providers(
        bounded_providers(settings, connected_providers(settings)) if providers is None else providers, words
    )
    clocks = Clocks(pool, clock, connectors, margin_ms=settings.clock_margin_ms, outage=outage)
    pauses = Pauses(pool, connectors)
    readiness = DatabaseReadiness(partial(connect_probe, database_url), outage, sealer)
    keys = SealingKeys(pool, settings, sealer, clock, registers=registers_keys)
    stores = stores_on(pool, clock, settings, sealer)
    drift = ContractDrift(stores.contract_drift, clock, connectors)
    runtime = Runtime(
        settings=settings,
        journal=journal,
        reads=Reads(pool, clock),
        providers=connectors,
        clock=clock,
        clocks=clocks,
        pauses=pauses,
        flows=InFlight(settings.in_flight_limit),
        jitter=random.Random(),
        actions=ActionSeal(sealer),
        words=words,
        sealer=sealer,
        stores=stores,
        pool=pool,
        outage=outage,
        readiness=readiness,
        default_provider=default_provider(settings),
        switched_off=switched_off(settings),
        drift=drift,
        lacking=SampledLines(LACKING_EVERY_S),
    )
    stop = asyncio.Event()
    try:
        await journal.start()
        await drift.start()
        await _report_switched_off(runtime)
        await _report_missing(runtime)
        await clocks.measure()
        await keys.compare()
        await pauses.learn()
        rounds = (
            Rounds("clocks", MEASURE_EVERY_MS, clocks.measure),
            Rounds("sealing keys", COMPARE_EVERY_MS, keys.compare),
            Rounds("provider pauses", EXCHANGE_EVERY_MS, pauses.exchange),
        )
        comparing = asyncio.create_task(run_rounds(rounds, stop))
        try:
            yield runtime
            await runtime.flows.drain(settings.drain_timeout_ms)
        finally:
            stop.set()
            await comparing
    finally:
        await drift.stop()
        runtime.lacking.flush()
        words.flush()
        pauses.flush()
        await journal.stop()
        await readiness.close()
        outage.flush()
        for provider in connectors.values():
            await provider.close()
        await pool.close()


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
