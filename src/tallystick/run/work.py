"""The ``work`` role: recovery, the inbox and the outbox, until told to stop. Any number may run; leases decide."""

from __future__ import annotations

import asyncio
import signal

from tallystick.flows.assembly import open_runtime
from tallystick.flows.recovery.worker import Recovery
from tallystick.flows.webhooks.inbound.worker import Processing
from tallystick.flows.webhooks.outbound.worker import Delivery
from tallystick.kit.logs import get_logger
from tallystick.record.postgres.inbox import Inbox
from tallystick.record.postgres.recovery_schedule import ScheduleBook
from tallystick.record.sealing import sealer_of
from tallystick.settings.load import Settings

log = get_logger("tallystick.run.work")


async def work(settings: Settings, database_url: str, stop: asyncio.Event) -> None:
    """Work until ``stop``; then what is under way ends first. Raises what opening the database raises."""
    async with open_runtime(settings, database_url) as runtime:
        recovery = Recovery(runtime, ScheduleBook(runtime.pool, clock_shift_ms=settings.clock_shift_ms))
        processing = Processing(runtime, Inbox(runtime.pool, clock_shift_ms=settings.clock_shift_ms))
        log.info("worker started")
        delivery = Delivery(runtime, sealer_of(settings))
        await asyncio.gather(recovery.run(stop), processing.run(stop), delivery.run(stop))
    log.info("worker ended")


async def work_until_signalled(settings: Settings, database_url: str) -> None:
    """Work until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await work(settings, database_url, stop)
