"""``contract-drift``: what providers sent that is not read here as it was sent."""

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
from tallystick.record.postgres.contract_drift import KEEP_HOURS, DriftCount, DriftCounts
from tallystick.settings.load import Settings


def contract_drift(
    hours: Annotated[int, typer.Option(min=1, max=KEEP_HOURS, help="How many hours back.")] = 24,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Count fields of providers that were missing or had a value unknown here. Running processes add their counts
    every few seconds; the alert provider_contract_drift in their log shows the newest value."""
    settings = settings_from(data_dir)
    with existing_database(settings) as database:
        counts = asyncio.run(_counts(settings, database.app_url, hours))
    if as_json:
        typer.echo(msgspec.json.encode(counts).decode())
    elif counts:
        columns = ("hour (UTC)", "provider", "field", "kind", "count")
        rows = [
            (f"{each.hour:%Y-%m-%d %H:%M}", each.provider, each.field, each.kind, f"{each.count:,}") for each in counts
        ]
        console.print(table_of(columns, rows, whole=["field", "kind", "count"], title="Contract drift"))
    else:
        console.print(f"Providers sent what is read here in the last {hours} h.", highlight=False)


async def _counts(settings: Settings, database_url: str, hours: int) -> Sequence[DriftCount]:
    pool = await open_pool(database_url, settings)
    try:
        return await DriftCounts(pool, Clock(settings.clock_shift_ms)).of_last(hours)
    finally:
        await pool.close()
