"""``webhook-refusals``: how many webhook deliveries were rejected, and why."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from tallystick.cli.context import AsJson, DataDir, console, settings_from
from tallystick.cli.hourly_counts import counts_of_last
from tallystick.cli.tables import table_of
from tallystick.record.postgres.hourly_counts import KEEP_HOURS
from tallystick.record.postgres.refused_webhooks import RejectedDeliveryCounts


def webhook_refusals(
    hours: Annotated[int, typer.Option(min=1, max=KEEP_HOURS, help="How many hours back.")] = 24,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Count rejected webhooks by hour and reason. Running processes add their counts every few seconds."""
    counts = counts_of_last(hours, settings_from(data_dir), RejectedDeliveryCounts)
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
