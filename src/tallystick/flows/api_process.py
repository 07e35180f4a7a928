"""Assembles one process of the API: a runtime, and what takes providers' deliveries."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, nullcontext
from functools import partial

from msgspec import Struct

from tallystick.flows.assembly import open_runtime
from tallystick.flows.circuits import LOOK_EVERY_MS, Circuits
from tallystick.flows.deployments import note_configuration
from tallystick.flows.process_clocks import LOOK_EVERY_MS as LOOK_AT_CLOCKS_EVERY_MS
from tallystick.flows.process_clocks import ProcessClocks
from tallystick.flows.process_numbers import counted_process
from tallystick.flows.runtime import Runtime
from tallystick.flows.version_use import VersionUse
from tallystick.flows.webhooks.inbound.intake import Intake
from tallystick.flows.webhooks.inbound.rejected import RejectedDeliveries
from tallystick.kit.clock import Clock
from tallystick.kit.rounds import Rounds, run_rounds
from tallystick.providers.port import Provider
from tallystick.record.postgres.connections import connect_journal
from tallystick.record.postgres.embedded.server import DatabaseUrls, resolve_database
from tallystick.record.postgres.outage import Outage
from tallystick.settings.load import Settings


class ApiProcess(Struct, frozen=True, kw_only=True):
    """What one process of the API has open."""

    runtime: Runtime
    intake: Intake
    rejected: RejectedDeliveries
    version_use: VersionUse


@asynccontextmanager
async def open_api_process(
    settings: Settings, database_url: str | None = None, *, providers: Mapping[str, Provider] | None = None
) -> AsyncIterator[ApiProcess]:
    """Everything that the API needs, open. Without ``database_url`` the settings name the database. Leaving drains the
    flows before the connections close. Raises what opening the database raises."""
    with (
        resolve_database(settings) if database_url is None else nullcontext(DatabaseUrls(database_url, database_url))
    ) as urls:
        async with (
            open_runtime(settings, urls.app_url, providers=providers) as runtime,
            open_intake(settings, urls.app_url, runtime.outage) as intake,
            open_rejected_deliveries(runtime) as rejected,
            open_version_use(runtime) as version_use,
            telling_of_itself(runtime),
            counted_process(runtime, "serve", settings.metrics_directory),
        ):
            if database_url is None:  # a process of its own: it listens once it knows whether it is ready
                await runtime.readiness.first()
                await note_configuration(runtime, "serve")
            yield ApiProcess(runtime=runtime, intake=intake, rejected=rejected, version_use=version_use)


@asynccontextmanager
async def open_intake(settings: Settings, database_url: str, outage: Outage) -> AsyncIterator[Intake]:
    """Opens the intake of the inbox; leaving writes what is queued."""
    intake = Intake(
        partial(connect_journal, database_url, command_timeout_ms=settings.webhook_commit_timeout_ms),
        Clock(settings.clock_shift_ms),
        queue_limit=settings.webhook_queue_limit,
        commit_timeout_ms=settings.webhook_commit_timeout_ms,
        outage=outage,
    )
    await intake.start()
    try:
        yield intake
    finally:
        await intake.stop()


@asynccontextmanager
async def open_rejected_deliveries(runtime: Runtime) -> AsyncIterator[RejectedDeliveries]:
    """Opens the counts of rejected deliveries; leaving writes what is left."""
    rejected = RejectedDeliveries(runtime.stores.refused_webhooks, runtime.clock)
    await rejected.start()
    try:
        yield rejected
    finally:
        await rejected.stop()


@asynccontextmanager
async def open_version_use(runtime: Runtime) -> AsyncIterator[VersionUse]:
    """Opens the counts of requests in older versions; leaving writes what is left."""
    use = VersionUse(runtime.stores.version_use, runtime.clock)
    await use.start()
    try:
        yield use
    finally:
        await use.stop()


@asynccontextmanager
async def telling_of_itself(runtime: Runtime) -> AsyncIterator[None]:
    """Tells of this process's circuits and clocks until it ends."""
    circuits, clocks = Circuits(runtime.pool, runtime.providers), ProcessClocks(runtime.pool, runtime.clocks)
    stop = asyncio.Event()
    rounds = [
        Rounds("circuits", LOOK_EVERY_MS, circuits.round, finish=circuits.leave),
        Rounds("clocks", LOOK_AT_CLOCKS_EVERY_MS, clocks.round, finish=clocks.leave),
    ]
    telling = asyncio.create_task(run_rounds(rounds, stop), name="telling")
    try:
        yield
    finally:
        stop.set()
        await telling
