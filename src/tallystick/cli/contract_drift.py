"""``contract-drift``: what providers sent that is not read here as it was sent."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from tallystick.cli.context import AsJson, DataDir, console, settings_from
from tallystick.cli.hourly_counts import counts_of_last
from tallystick.cli.tables import table_of
from tallystick.record.postgres.contract_drift import DriftCounts
from tallystick.record.postgres.hourly_counts import KEEP_HOURS


def contract_drift(
    hours: Annotated[int, typer.Option(min=1, max=KEEP_HOURS, help="How many hours back.")] = 24,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Count fields of providers that were missing or had a value unknown here. Running processes add their counts
    every few seconds; the alert provider_contract_drift in their log shows the newest value."""
    counts = counts_of_last(hours, settings_from(data_dir), DriftCounts)
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
