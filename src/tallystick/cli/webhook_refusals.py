"""``webhook-refusals``: how many webhook deliveries were rejected, and why."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated

import msgspec
import typer

from tallystick.cli.context import AsJson, DataDir, console, settings_from
from tallystick.cli.database import existing_database
from tallystick.cli.tables import table_of
from tallystick.kit.clock import Clock
from tallystick.record.postgres.connections import open_pool
from tallystick.record.postgres.refused_webhooks import KEEP_HOURS, RefusedWebhooks, RejectedDeliveryCounts
from tallystick.settings.load import Settings


def webhook_refusals(
    hours: Annotated[int, typer.Option(min=1, max=KEEP_HOURS, help="How many hours back.")] = 24,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Count rejected webhooks by hour and reason. Running processes add their counts every few seconds."""
    settings = settings_from(data_dir)
    with existing_database(settings) as database:
        counts = asyncio.run(_counts(settings, database.app_url, hours))
    if as_json:
        typer.echo(msgspec.json.encode(counts).decode())
    elif counts:
        columns = ("hour (UTC)", "provider", "account", "reason", "count")
        rows = [
            (f"{each.hour:%Y-%m-%d %H:%M}", each.provider, each.account, each.reason, f"{each.count:,}")
            for each in counts
        ]
        console.print(table_of(columns, rows, whole=["reason", "count"], title="Rejected webhooks"))
    else:
        console.print(f"No webhooks were rejected in the last {hours} h.", highlight=False)


async def _counts(settings: Settings, database_url: str, hours: int) -> Sequence[RefusedWebhooks]:
    pool = await open_pool(database_url, settings)
    try:
        return await RejectedDeliveryCounts(pool, Clock(settings.clock_shift_ms)).of_last(hours)
    finally:
        await pool.close()
