"""``dead-letters``: the list of events that bounded retries could not process, for operators."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from typing import Annotated, Final, TypeVar

import msgspec
import typer
from rich.table import Table
from rich.text import Text

from tallystick.cli.acts import ActKey, Asking, Done, Reason, act_in, act_on, record_of, require_words, with_runtime
from tallystick.cli.context import AsJson, DataDir, console, print_json, settings_from
from tallystick.cli.database import existing_database
from tallystick.cli.owners import owner_commands
from tallystick.cli.reading import with_record
from tallystick.cli.tables import literal, table_of, way_of_an_event
from tallystick.domain.operator_act import ActName, AskedAct, OperatorAct
from tallystick.flows.operations.acts import recorded
from tallystick.flows.runtime import Runtime
from tallystick.flows.webhooks.inbound.dead_letters import (
    ALL_DEAD_LETTERS,
    MANY,
    DeadLetter,
    DeadLetters,
    NotReplayable,
)
from tallystick.kit.clock import Clock
from tallystick.oversight.trace.event import EventTrace, trace_event
from tallystick.record.postgres.connections import open_pool
from tallystick.record.postgres.inbox import Inbox
from tallystick.record.postgres.inbox_rows import DeadLetterFilter
from tallystick.settings.load import Settings

Result = TypeVar("Result")

#: Below the list: what a person does next.
NEXT: Final = (
    "No effect of these events is in the record. `tallystick dead-letters show EVENT` says why. Then:"
    " `tallystick dead-letters replay EVENT --reason REASON` where the cause is gone, or"
    " `tallystick dead-letters discard EVENT --reason REASON`."
)

app = typer.Typer(help="Events that bounded retries could not process.", no_args_is_help=True)

EventIds = Annotated[list[str] | None, typer.Argument(metavar="EVENT…", help="Event ids, evt_….", show_default=False)]
Provider = Annotated[str | None, typer.Option(help="Only events of this provider.", show_default=False)]
EventType = Annotated[str | None, typer.Option("--type", help="Only events of this type.", show_default=False)]
MerchantId = Annotated[str | None, typer.Option("--merchant", help="Only events of this merchant.", show_default=False)]
DeadBefore = Annotated[
    datetime | None, typer.Option(help="Only events that died before this time (UTC).", show_default=False)
]
All = Annotated[bool, typer.Option("--all", help="All dead letters that match the filters.")]


@app.command("list")
def list_letters(
    provider: Provider = None,
    event_type: EventType = None,
    merchant: MerchantId = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most, oldest first.")] = 100,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """List dead letters, oldest first. Exits 1 if any is overdue."""
    which = DeadLetterFilter(provider=provider, type=event_type, merchant_id=merchant)
    settings = settings_from(data_dir)
    letters = _with_inbox(settings, lambda _, letters: letters.page(which, None, limit))
    if as_json:
        print_json(letters)
    elif letters:
        console.print(_table(list(letters)))
    else:
        console.print(f"No dead letters. (Owner: {settings.webhook_owner}.)")
    if any(letter.overdue for letter in letters):
        raise typer.Exit(1)


@app.command()
def show(
    event: Annotated[str, typer.Argument(metavar="EVENT", help="The event's id, evt_….")],
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Print one event with every arrival, checkpoint and try."""
    trace = with_record(
        settings_from(data_dir),
        lambda record: trace_event(record.stores.inbox, record.stores.evidence, event),
    )
    if trace is None:
        raise NotReplayable(f"there is no event {event}")
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(trace)).decode())
        return
    _print_trace(trace)


OnOne = Callable[..., Awaitable[None]]
OnMany = Callable[..., Awaitable[int]]


def _command(name: str, act_name: ActName, help_text: str, done: str, on_one: OnOne, on_many: OnMany) -> None:
    """One command that acts on the named events, or on all that the filter selects."""

    @app.command(name, help=help_text)
    def act(
        reason: Reason,
        events: EventIds = None,
        every: All = False,
        provider: Provider = None,
        event_type: EventType = None,
        merchant: MerchantId = None,
        dead_before: DeadBefore = None,
        key: ActKey = None,
        as_json: AsJson = False,
        data_dir: DataDir = None,
    ) -> None:
        which = _which(events, every, provider, event_type, merchant, dead_before)
        require_words(("--reason", reason))
        settings = settings_from(data_dir)
        if events:
            acts = _act_on_each(settings, act_name, dict.fromkeys(events), on_one, reason, key)
            count = len(acts)
        else:
            acts = [_act_on_all(settings, act_name, which, on_many, reason, key)]
            count = int(acts[0].act.result["count"])
        if as_json:
            print_json({"count": count, "acts": [each.document()["act"] for each in acts]})
        else:
            recorded_as = [line for each in acts for line in record_of(each)]
            console.print("\n".join([f"{count} {done}.", *recorded_as]), highlight=False)


_command(
    "replay",
    "dead_letter.replay",
    "Process events again, by the same rules: what was applied already ends as duplicate_effect.",
    "to be processed again",
    DeadLetters.replay,
    DeadLetters.replay_all,
)
_command(
    "discard",
    "dead_letter.discard",
    "Close dead letters for good. The event and the reason are kept.",
    "discarded",
    DeadLetters.discard,
    DeadLetters.discard_all,
)

owner_commands(app, "dead_letters", "evt", "a dead letter", "dead_letters:write")


def _act_on_each(
    settings: Settings, name: ActName, events: Iterable[str], on_one: OnOne, reason: str, key: str | None
) -> list[Done]:
    """Act on the named events, each an act of its own. A failure on one event does not stop the
    others. Raises NotReplayable."""
    named = list(events)

    async def act(runtime: Runtime) -> list[Done]:
        refused: list[str] = []
        acts: list[Done] = []
        for event in named:
            own_key = key if key is None or len(named) == 1 else f"{key}:{event}"
            asking = Asking(act=name, target=event, reason=reason, key=own_key, scope="dead_letters:write")
            try:
                acts.append(await act_in(runtime, asking, one))
            except NotReplayable as error:
                refused.append(str(error))
        if refused:
            raise NotReplayable("; ".join([*refused, f"{len(acts)} others done"]))
        return acts

    async def one(runtime: Runtime, asked: AskedAct) -> OperatorAct:
        letters = runtime.stores.dead_letters
        await on_one(letters, asked.target, asked, actor=asked.operator, reason=asked.reason)
        return await recorded(runtime.stores.acts, asked)

    return with_runtime(settings, act)


def _act_on_all(
    settings: Settings, name: ActName, which: DeadLetterFilter, on_many: OnMany, reason: str, key: str | None
) -> Done:
    """Act on all that the filter selects, as one act."""

    async def all_of_them(runtime: Runtime, asked: AskedAct) -> OperatorAct:
        letters = runtime.stores.dead_letters
        await on_many(letters, which, asked, actor=asked.operator, reason=asked.reason)
        return await recorded(runtime.stores.acts, asked)

    return act_on(
        settings,
        Asking(
            act=MANY[name],
            target=ALL_DEAD_LETTERS,
            reason=reason,
            key=key,
            scope="dead_letters:write",
            arguments=which.arguments(),
        ),
        all_of_them,
    )


def _which(
    events: list[str] | None,
    every: bool,
    provider: str | None,
    event_type: str | None,
    merchant: str | None,
    dead_before: datetime | None,
) -> DeadLetterFilter:
    which = DeadLetterFilter(
        provider=provider,
        type=event_type,
        merchant_id=merchant,
        dead_before=dead_before.replace(tzinfo=UTC) if dead_before else None,
    )
    if bool(events) == (every or which != DeadLetterFilter()):
        raise typer.BadParameter("name events, or give --all or a filter", param_hint="EVENT…")
    return which


def _with_inbox(settings: Settings, action: Callable[[Inbox, DeadLetters], Awaitable[Result]]) -> Result:
    async def run(database_url: str) -> Result:
        pool = await open_pool(database_url, settings)
        try:
            inbox = Inbox(pool, Clock(settings.clock_shift_ms))
            return await action(inbox, DeadLetters(inbox, settings))
        finally:
            await pool.close()

    with existing_database(settings) as database:
        return asyncio.run(run(database.app_url))


def _table(letters: list[DeadLetter]) -> Table:
    ids = "event, payment"
    rows = [(f"{letter.event_id}\n{letter.payment_id or 'payment unknown'}", _about(letter)) for letter in letters]
    return table_of((ids, "type, last error, since"), rows, whole=[ids], title="Dead letters", caption=NEXT)


def _about(letter: DeadLetter) -> Text:
    about = literal(f"{letter.provider} {letter.type}: {letter.last_error or 'unknown'}")
    whose = f"{letter.merchant_id}; " if letter.merchant_id else ""
    about.append(f"\n{whose}{letter.taken_by or letter.owner}, {letter.tries} tries\n")
    since = f"dead since {letter.dead_since.isoformat(timespec='minutes')}"
    about.append(f"overdue, {since}" if letter.overdue else since, style="bold red" if letter.overdue else "")
    return about


def _print_trace(trace: EventTrace) -> None:
    for line in (
        f"{trace.id}: {trace.type} of {trace.provider}/{trace.account}, {trace.state}",
        f"provider's id {trace.provider_event_id}",
        f"payment {trace.payment_id or 'unknown'}",
    ):
        console.print(literal(line), soft_wrap=True)
    checkpoints = [
        (
            each.name,
            each.at.isoformat(timespec="milliseconds") if each.at else "",
            each.result or "",
            each.detail or "",
        )
        for each in trace.checkpoints
    ]
    console.print(way_of_an_event(checkpoints))
