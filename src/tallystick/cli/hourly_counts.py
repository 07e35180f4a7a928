"""What the commands share that print counts by hour."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from tallystick.cli.database import existing_database
from tallystick.kit.clock import Clock
from tallystick.record.postgres.connections import open_pool
from tallystick.record.postgres.hourly_counts import HourBook, Row
from tallystick.settings.load import Settings


def counts_of_last(hours: int, settings: Settings, book: type[HourBook[Row]]) -> Sequence[Row]:
    """The counts of the last hours, newest first. Raises what opening the database raises."""

    async def read(database_url: str) -> Sequence[Row]:
        async with await open_pool(database_url, settings) as pool:
            return await book(pool, Clock(settings.clock_shift_ms)).of_last(hours)

    with existing_database(settings) as database:
        return asyncio.run(read(database.app_url))
