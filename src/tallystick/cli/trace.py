"""``trace``: what happened to one payment, what is waiting, who acts next, and what is missing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Annotated, Final, TypeVar

import typer

from tallystick.cli.context import AsJson, DataDir, SomeMerchant, console, print_json, settings_from
from tallystick.cli.database import existing_database
from tallystick.cli.reading import NotFound, shown_time
from tallystick.cli.tables import facts_of
from tallystick.cli.trace_lines import timeline_table
from tallystick.domain.errors import TallystickError
from tallystick.flows.assembly import open_runtime
from tallystick.flows.payments.attempts import fetch_verdict
from tallystick.oversight.trace.first_line import where_money_is
from tallystick.oversight.trace.payment import PaymentTrace, rebuilt_trace, trace_of
from tallystick.oversight.trace.rebuild import ProvidersWord
from tallystick.providers.assembly import receivers
from tallystick.providers.registry import PROVIDERS
from tallystick.record.postgres.connections import connect_journal
from tallystick.record.postgres.pipeline import PipelineConnection
from tallystick.record.postgres.trace_find import FoundPayment, find_payments
from tallystick.record.postgres.trace_parts import TraceRows
from tallystick.record.postgres.trace_rows import piped_trace_rows
from tallystick.settings.load import Settings

Result = TypeVar("Result")

#: The account of a provider whose settings name none.
MAIN: Final = "main"


class AmbiguousName(TallystickError):
    """Several payments have this name."""


def trace(
    name: Annotated[
        str,
        typer.Argument(
            metavar="ID",
            help="The id of a payment, refund, dispute, attempt, event, message, case or act; an idempotency key; a"
            " request's trace id; or a provider's reference of a charge, capture, refund, dispute or event.",
        ),
    ],
    merchant: SomeMerchant = None,
    as_json: AsJson = False,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Fold the history alone, and compare all that is stored with it.")
    ] = False,
    ask_provider: Annotated[
        bool, typer.Option("--ask-provider", help="As --rebuild, and ask the provider what it says now.")
    ] = False,
    data_dir: DataDir = None,
) -> None:
    """Explain one payment, from durable rows alone. Exits 1 if something is missing, or differs from the history."""
    settings = settings_from(data_dir)
    rows = _with_connection(settings, partial(_rows, settings=settings, name=name, merchant=merchant))
    word = _providers_word(settings, rows) if ask_provider else None
    found = rebuilt_trace(rows, settings, word) if rebuild or ask_provider else trace_of(rows, settings)
    if as_json:
        print_json(found)
    else:
        _print(found)
    if found.missing or (found.rebuilt is not None and found.rebuilt.differs):
        raise typer.Exit(1)


async def _rows(connection: PipelineConnection, settings: Settings, name: str, merchant: str | None) -> TraceRows:
    one = _one_of(name, merchant, await find_payments(connection, name, merchant, accounts_of(settings)))
    rows = await piped_trace_rows(connection, one.merchant_id, one.payment_id, settings.clock_shift_ms)
    if rows is None:
        raise NotFound(f"payment {one.payment_id} of merchant {one.merchant_id} has neither a row nor a history")
    return rows


def _one_of(name: str, merchant: str | None, found: list[FoundPayment]) -> FoundPayment:
    if not found:
        whose = "" if merchant is None else f" of merchant {merchant}"
        raise NotFound(f"no payment{whose} has the id, the idempotency key or the provider reference {name}")
    if len(found) > 1:
        each = ", ".join(f"{one.payment_id} of {one.merchant_id} ({one.named})" for one in found)
        raise AmbiguousName(f"{len(found)} payments have {name}: {each}. Name one by its id, and --merchant")
    return found[0]


def accounts_of(settings: Settings) -> list[tuple[str, str]]:
    """(provider, account) pairs whose references may be asked for."""
    return sorted({(provider, MAIN) for provider in PROVIDERS} | receivers(settings).keys())


def _with_connection(settings: Settings, action: Callable[[PipelineConnection], Awaitable[Result]]) -> Result:
    async def run(database_url: str) -> Result:
        connection = await connect_journal(database_url, command_timeout_ms=settings.journal_commit_timeout_ms)
        try:
            return await action(connection)
        finally:
            await connection.close()

    with existing_database(settings) as database:
        return asyncio.run(run(database.app_url))


def _providers_word(settings: Settings, rows: TraceRows) -> list[ProvidersWord]:
    """What the provider says of each attempt now. Nothing is recorded of it."""

    async def ask(database_url: str) -> list[ProvidersWord]:
        payment, attempts = rows.record.payment, [each.attempt for each in rows.record.attempts]
        async with open_runtime(settings, database_url, registers_keys=False) as runtime:
            return [(attempt, await fetch_verdict(runtime, payment, attempt)) for attempt in attempts]

    with existing_database(settings) as database:
        return asyncio.run(ask(database.app_url))


def _print(found: PaymentTrace) -> None:
    console.print(f"{found.says}.", highlight=False, markup=False, style="bold")
    console.print()
    console.print(facts_of(_facts(found)))
    console.print()
    console.print(timeline_table(found.timeline))


def _facts(found: PaymentTrace) -> Iterator[tuple[str, str]]:
    yield "payment", found.payment_id
    yield "merchant", found.merchant_id
    yield "provider", found.provider
    yield "money", where_money_is(found.facts)
    for number, each in enumerate(found.waiting):
        until = "" if each.until is None else f", until {shown_time(each.until)} UTC"
        yield "waiting" if number == 0 else " ", f"{each.actor}: {each.what}{until}"
    if not found.waiting:
        yield "waiting", "nothing"
    for number, absent in enumerate(found.missing):
        at = absent.subject_id if absent.version is None else f"{absent.subject_id} version {absent.version}"
        yield "missing" if number == 0 else " ", f"{absent.checkpoint}: {absent.says} ({at})"
    if not found.missing:
        yield "missing", "nothing"
    yield from _rebuilt(found)


def _rebuilt(found: PaymentTrace) -> Iterator[tuple[str, str]]:
    rebuilt = found.rebuilt
    if rebuilt is None:
        return
    for number, each in enumerate(rebuilt.differs):
        yield "differs" if number == 0 else " ", f"{each.invariant}: {each.says} ({each.subject_id})"
    if not rebuilt.differs:
        asked = ", and its provider says the same now" if rebuilt.provider_asked else ""
        yield "rebuilt", f"{len(rebuilt.subjects)} subjects from their history alone: all agrees{asked}"
