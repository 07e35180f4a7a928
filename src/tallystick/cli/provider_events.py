"""``provider-events``: what providers reported, listed, shown, and followed as it comes."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final

import typer
from msgspec.structs import asdict

from tallystick.cli.context import AsJson, DataDir, SomeMerchant, console, print_json, settings_from
from tallystick.cli.reading import (
    Limit,
    NotFound,
    OfPayment,
    OpenRecord,
    Since,
    Until,
    before_option,
    id_of,
    in_utc,
    lines,
    owned,
    print_rows,
    require_sound,
    shown_time,
    with_record,
)
from tallystick.cli.tables import facts_of, literal, way_of_an_event
from tallystick.domain.list_filters import EventFilter
from tallystick.interfaces.api.routes.provider_events import event_line
from tallystick.oversight.tail import LOOK_EVERY_MS, events_as_they_arrive
from tallystick.oversight.trace.event import EventTrace, trace_event
from tallystick.record.postgres.operator_reads import EventRow

app = typer.Typer(help="What providers reported, of one merchant or of all.", no_args_is_help=True)

#: How shells report that Ctrl-C ended a command.
EXIT_INTERRUPTED: Final = 130


@app.command("list")
def list_events(
    merchant: SomeMerchant = None,
    payment: OfPayment = None,
    since: Since = None,
    until: Until = None,
    before: Annotated[str | None, before_option("evt", "an event")] = None,
    limit: Limit = 100,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """List events, newest first; without --merchant and --payment also those whose merchant is not known yet."""
    wanted = EventFilter(payment_id=payment, created_gte=in_utc(since), created_lt=in_utc(until))
    require_sound(wanted)
    rows = with_record(settings_from(data_dir), lambda record: _listed(record, merchant, wanted, before, limit))
    if as_json:
        print_json([_view(row) for row in rows])
        return
    cells = [(f"{row.event_id}\n{row.payment_id or 'payment unknown'}", _about(row)) for row in rows]
    print_rows(cells, ("event, payment", "what it reports"), title="Events", nothing="No such event.")


@app.command("show")
def show_event(
    event: Annotated[
        str, typer.Argument(metavar="EVENT", help="The event's id, evt_….", callback=id_of("evt", "an event"))
    ],
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Print one event with every arrival, checkpoint and try."""

    async def found(record: OpenRecord) -> EventTrace:
        if (trace := await trace_event(record.stores.inbox, record.stores.evidence, event)) is None:
            raise NotFound(f"there is no event {event}")
        return trace

    trace = with_record(settings_from(data_dir), found)
    if as_json:
        print_json(trace)
        return
    facts = (
        ("event", trace.id),
        ("type", trace.type),
        ("provider", f"{trace.provider}/{trace.account}"),
        ("its id there", trace.provider_event_id),
        ("state", trace.state if trace.detail is None else f"{trace.state}: {trace.detail}"),
        ("merchant", trace.merchant_id or "unknown"),
        ("payment", trace.payment_id or "unknown"),
    )
    console.print(facts_of(facts))
    checkpoints = [(each.name, shown_time(each.at), each.result or "", each.detail or "") for each in trace.checkpoints]
    console.print(way_of_an_event(checkpoints))


@app.command("tail")
def tail_events(
    last: Annotated[int, typer.Option(min=0, max=10_000, metavar="N", help="Begin with so many of the latest.")] = 10,
    count: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="End after so many events.", show_default="never")
    ] = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Print events as they arrive, and once more where the state of a recent one changes. --json prints an object a
    line. Ctrl-C ends it."""

    async def followed(record: OpenRecord) -> None:
        printed = 0
        async for row in events_as_they_arrive(record.operator, last, lambda: asyncio.sleep(LOOK_EVERY_MS / 1_000)):
            if as_json:
                print_json(_view(row))
            else:
                console.print(literal(_two_lines(row)), overflow="fold")
            printed += 1
            if printed == count:
                return

    try:
        with_record(settings_from(data_dir), followed)
    except KeyboardInterrupt:
        raise typer.Exit(EXIT_INTERRUPTED) from None


async def _listed(
    record: OpenRecord, merchant: str | None, wanted: EventFilter, before: str | None, limit: int
) -> list[EventRow]:
    last = None if before is None else await record.stores.inbox.event(before)
    if before is not None and last is None:
        raise NotFound(f"there is no event {before}")
    if wanted.payment_id is not None:
        owner = await record.owner_of("payment", wanted.payment_id, merchant)
    elif merchant is not None:
        (owner,) = await record.merchants(merchant)
    else:
        return await record.operator.latest_events(wanted.created_gte, wanted.created_lt, limit, before=before)
    position = None if last is None else (last.received_at, last.event_id)
    rows = await record.stores.lists.events(owner, wanted, before=position, limit=limit)
    return [EventRow(merchant_id=owner, **asdict(row)) for row in rows]


def _view(row: EventRow) -> dict[str, Any]:
    return owned(row.merchant_id, event_line(row))


def _two_lines(row: EventRow) -> str:
    """Both ids and the time do not fit on one line of 80 columns."""
    head = f"{shown_time(row.received_at)} {row.event_id} {row.state}"
    return f"{head}\n    {row.provider} {row.type} {row.payment_id or 'payment unknown'}"


def _about(row: EventRow) -> str:
    at = f"{shown_time(row.received_at)} UTC"
    return lines(f"{row.provider} {row.type}: {row.state}", row.detail, row.merchant_id, at)
