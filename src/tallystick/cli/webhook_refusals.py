"""``webhook-refusals``: how many webhook deliveries were rejected, and why; and kinds of them that wait."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec
import typer

from tallystick.cli.acts import ActKey, Asking, Reason, act_on, print_done, require_words, with_runtime
from tallystick.cli.context import AsJson, DataDir, console, settings_from
from tallystick.cli.hourly_counts import counts_of_last
from tallystick.cli.owners import owner_commands
from tallystick.cli.reading import id_of, lines, print_rows, shown_time
from tallystick.cli.tables import table_of
from tallystick.domain.operator_views import RefusedKindView
from tallystick.flows.operations import refusals
from tallystick.flows.runtime import Runtime
from tallystick.record.postgres.hourly_counts import KEEP_HOURS
from tallystick.record.postgres.refused_webhooks import RejectedDeliveryCounts

app = typer.Typer(help="Webhooks that were rejected: counted, and kinds of them that wait.")

KindId = Annotated[
    str, typer.Argument(metavar="KIND", help="The kind's id, wrf_….", callback=id_of("wrf", "a kind of refusals"))
]


@app.callback(invoke_without_command=True)
def webhook_refusals(
    context: typer.Context,
    hours: Annotated[int, typer.Option(min=1, max=KEEP_HOURS, help="How many hours back.")] = 24,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Count rejected webhooks by hour and reason. Running processes add their counts every few seconds."""
    if context.invoked_subcommand is not None:
        return
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


@app.command("list")
def list_kinds(as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """List kinds of rejected webhooks that wait for somebody, oldest first: an account's, for one reason."""

    async def found(runtime: Runtime) -> Sequence[RefusedKindView]:
        return await refusals.waiting(runtime)

    kinds = with_runtime(settings_from(data_dir), found)
    if as_json:
        typer.echo(msgspec.json.encode(kinds).decode())
        return
    rows = [
        (
            each.id,
            lines(
                f"{each.provider} {each.account}: {each.reason}",
                f"{each.count:,} since {shown_time(each.since)}",
                f"{each.owner or 'nobody'} has it",
            ),
        )
        for each in kinds
    ]
    print_rows(rows, ("kind", "what, how many, whose"), title="Rejected webhooks that wait", nothing="None waits.")


@app.command()
def close(kind: KindId, reason: Reason, key: ActKey = None, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Close a kind: its cause is known. What is rejected after that waits anew."""
    require_words(("--reason", reason))
    asking = Asking(act="webhook_refusal.close", target=kind, reason=reason, key=key, scope="webhook_refusals:write")
    done = act_on(settings_from(data_dir), asking, refusals.close)
    print_done(done, as_json, "Nothing of it waits any more.")


owner_commands(app, "refused_webhooks", "wrf", "a kind of refusals", "webhook_refusals:write")
