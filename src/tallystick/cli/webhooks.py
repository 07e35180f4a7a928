"""``webhooks``: messages to merchants; and events of providers that are closed, read again with today's code."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from tallystick.cli.acts import ActKey, Asking, Reason, act_in, record_of, require_words, with_runtime
from tallystick.cli.context import AsJson, DataDir, console, settings_from
from tallystick.cli.database import existing_database
from tallystick.cli.tables import table_of
from tallystick.cli.webhook_endpoints import deliveries, endpoints, resend
from tallystick.domain.operator_act import AskedAct, OperatorAct
from tallystick.flows.assembly import open_runtime
from tallystick.flows.runtime import Runtime
from tallystick.flows.webhooks.inbound.reread import FILED_AS, Batch, Became, Reading, Reread
from tallystick.flows.webhooks.inbound.worker import InboxWorker
from tallystick.providers.assembly import receivers
from tallystick.record.postgres.inbox_rows import FiledFilter, ForeignCount
from tallystick.record.sealing import SealingRefused
from tallystick.settings.load import Settings

app = typer.Typer(help="Messages to merchants, and providers' events as they were received.", no_args_is_help=True)
app.command()(endpoints)
app.command()(deliveries)
app.command()(resend)

#: Progress goes here, so that standard output has the results alone.
_progress = Console(stderr=True)

EventType = Annotated[str, typer.Option("--type", help="Events of this type, by the provider's name for it.")]
Provider = Annotated[str | None, typer.Option(help="Only events of this provider.", show_default=False)]
FiledAsOption = Annotated[
    str, typer.Option("--filed-as", help=f"How the events were closed: {', '.join(FILED_AS)}. Never: applied.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Process them. Without it they are only listed.")]


@app.command()
def reread(
    event_type: EventType,
    provider: Provider = None,
    filed_as: FiledAsOption = "unknown_type",
    yes: Yes = False,
    reason: Reason = "",
    key: ActKey = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Read closed events again from their kept bytes with this release, and process those that it reads differently,
    by the same rules. An older release may not have known their type."""
    if filed_as not in FILED_AS:
        raise typer.BadParameter(f"expected one of {', '.join(FILED_AS)}", param_hint="--filed-as")
    if yes:
        require_words(("--reason", reason))
    which = FiledFilter(type=event_type, state=filed_as, provider=provider)
    settings = settings_from(data_dir)
    with existing_database(settings) as database:
        read, became = asyncio.run(_reread(settings, database.app_url, which, reason if yes else None, key))
    if as_json:
        typer.echo(msgspec.json.encode(became if yes else read).decode())
    elif yes:
        _print_became(read, became)
    else:
        _print_readings(read)


@app.command()
def foreign(as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Count the events of other software on the same accounts, by account and type. They are kept, and raise no
    alert."""

    async def counted(runtime: Runtime) -> list[ForeignCount]:
        return await runtime.stores.inbox.foreign_counts()

    found = with_runtime(settings_from(data_dir), counted)
    if as_json:
        typer.echo(msgspec.json.encode(found).decode())
    elif found:
        rows = [
            (f"{each.provider}/{each.account} {each.type}", f"{each.events:,}", f"{each.last_at:%Y-%m-%d %H:%M}")
            for each in found
        ]
        console.print(table_of(("events", "count", "last"), rows, title="Foreign events"))
    else:
        console.print("No event is foreign.")


async def _reread(
    settings: Settings, database_url: str, which: FiledFilter, reason: str | None, key: str | None
) -> tuple[list[Reading], list[Became]]:
    """Without a reason the events are only read."""
    read: list[Reading] = []
    became: list[Became] = []
    yes = reason is not None

    async def go_through(runtime: Runtime, asked: AskedAct | None) -> None:
        rereading = Reread(runtime.stores.inbox, receivers(settings), runtime.sealer, runtime.actions, runtime.words)
        worker = InboxWorker(runtime, runtime.stores.inbox)
        async for batch in rereading.batches(which):
            read.extend(batch.readings)
            if asked is not None:
                who, why = asked.operator, asked.reason
                became.extend(await rereading.put_through(worker, batch, which, actor=who, reason=why))
            _say_progress(batch, len(read), len(became))
        await worker.finish()

    async def put_through(runtime: Runtime, asked: AskedAct) -> OperatorAct:
        """Recorded when all are through: where the process dies before, the same act goes on with what is left."""
        await go_through(runtime, asked)
        states = Counter(each.state for each in became)
        act = asked.done({"read": len(read), "became": dict(states)}, runtime.clock.now())
        await runtime.stores.acts.record(act)
        return act

    # After an upgrade this may be the first to seal anything: as a running process would, it registers its key then.
    async with open_runtime(settings, database_url, registers_keys=yes) as runtime:
        if yes and runtime.sealer.refused is not None:  # what a payer has to do next would be lost
            raise SealingRefused(f"nothing was processed: {runtime.sealer.refused}")
        if reason is None:
            await go_through(runtime, None)
        else:
            arguments = {"type": which.type, "filed_as": which.state, "provider": which.provider}
            asking = Asking(act="event.reread", target="events", reason=reason, key=key, arguments=arguments)
            done = await act_in(runtime, asking, put_through)
            for line in record_of(done):
                _progress.print(line, highlight=False)
    return read, became


def _say_progress(batch: Batch, read: int, processed: int) -> None:
    if batch.scanned and read:
        _progress.print(f"{batch.scanned:,} rows looked at: {read:,} match, {processed:,} processed", highlight=False)


def _print_readings(read: Sequence[Reading]) -> None:
    if not read:
        console.print("No such events.")
        return
    rows = [(each.event_id, _about(each)) for each in read]
    console.print(table_of(("event", "what it reads as now"), rows, whole=["event"], title="Closed events"))
    count = sum(each.reads_as is not None for each in read)
    console.print(f"{count} of {len(read)} would be processed again: --yes does it.", highlight=False)


def _print_became(read: Sequence[Reading], became: Sequence[Became]) -> None:
    if became:
        rows = [(each.event_id, f"{each.type}: {each.state}\n{each.detail or ''}".rstrip()) for each in became]
        console.print(table_of(("event", "what became of it"), rows, whole=["event"], title="Events read again"))
    console.print(f"{len(became)} of {len(read)} were processed again.", highlight=False)


def _about(each: Reading) -> str:
    reads_as = each.reads_as or f"{each.filed_as}: {each.why}"
    return f"{each.provider} {each.type} of {each.payment_id or 'an unknown payment'}\n{reads_as}"
