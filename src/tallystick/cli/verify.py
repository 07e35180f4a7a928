"""``verify``: checks every invariant of the record, and compares the provider's books with it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from typing import Annotated, Final

import aiohttp
import msgspec
import typer
from rich.console import Console
from rich.table import Table

from tallystick.cli.bars import Bars
from tallystick.cli.context import AsJson, DataDir, SomeMerchant, console, settings_from
from tallystick.cli.database import existing_database
from tallystick.cli.tables import literal
from tallystick.domain.errors import TallystickError
from tallystick.flows.provider_words import ProviderWords
from tallystick.kit.card_mask import mask_cards
from tallystick.kit.clock import Clock
from tallystick.oversight.invariants import InvariantReport, Source, tally, verify_in_processes
from tallystick.providers.registry import PROVIDERS
from tallystick.record.postgres.connections import connect
from tallystick.record.postgres.erasures import Erasure, erasures
from tallystick.record.sealing import sealer_of
from tallystick.settings.load import Settings

#: Erasures that are named, the newest. `erase list` has all.
ERASED: Final = 100

#: Violations printed below the table; --json has up to a hundred for each invariant.
SHOWN: Final = 20

#: For one page of payments with their histories; statements have tighter limits of their own.
COMMAND_TIMEOUT_MS: Final = 120_000

#: Two share the work evenly with the database's own processes on two cores, and stay below 300 MB.
DEFAULT_PROCESSES: Final = min(2, os.cpu_count() or 1)

#: Providers whose list of charges can be read.
LISTED: Final = tuple(name for name, setup in PROVIDERS.items() if setup.charges is not None)


class BooksUnread(TallystickError):
    """The provider's list of charges could not be read."""


def _listed(name: str) -> str:
    if name not in LISTED:
        raise typer.BadParameter(f"expected one of {', '.join(LISTED)}")
    return name


def verify(
    provider: Annotated[
        str | None,
        typer.Option(
            help="Also compare this provider's books with the record.", parser=_listed, metavar=f"[{'|'.join(LISTED)}]"
        ),
    ] = None,
    merchant: SomeMerchant = None,
    processes: Annotated[
        int, typer.Option(min=1, help="Processes that examine the record. One is about 90 MB.")
    ] = DEFAULT_PROCESSES,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Check all invariants. Exits 1 on any violation, and 2 where something could not be read."""
    settings = settings_from(data_dir)
    with existing_database(settings) as database, Bars(Console(stderr=True, quiet=as_json)) as bars:
        reports, unread, erased = asyncio.run(_reports(settings, database.app_url, provider, merchant, processes, bars))
    if as_json and unread is None:
        holds = all(report.holds for report in reports)
        bodies = [report.to_builtins() for report in reports]
        tallied = {"tally": bodies[1]} if len(bodies) > 1 else {}
        typer.echo(msgspec.json.encode(bodies[0] | {"holds": holds, "erased": erased} | tallied).decode())
    elif not as_json:
        for title, report in zip(("The record", "The provider's books"), reports, strict=False):
            _print(title, report)
        for each in erased:
            console.print(literal(f"erased: {each.of}, {each.progress}, by {each.request_id}"), soft_wrap=True)
    if unread is not None:
        raise BooksUnread(f"the books of {provider} could not be read, and were not compared: {unread}")
    if not all(report.holds for report in reports):
        raise typer.Exit(1)


async def _reports(
    settings: Settings, database_url: str, provider: str | None, merchant: str | None, processes: int, bars: Bars
) -> tuple[Sequence[InvariantReport], str | None, Sequence[Erasure]]:
    """The record's report and that of the provider's books; or the record's alone, and why the books were not read. And
    what was erased: the newest of it."""
    connection = await connect(database_url, command_timeout_ms=COMMAND_TIMEOUT_MS)
    try:
        reports = [
            await verify_in_processes(
                connection,
                Source(database_url, COMMAND_TIMEOUT_MS),
                settings=settings,
                processes=processes,
                merchant_id=merchant,
                progress=bars.named("payments checked"),
            )
        ]
        erased = [each for each in await erasures(connection, ERASED) if merchant in (None, each.merchant_id)]
        if provider is not None and (charges := PROVIDERS[provider].charges) is not None:
            try:
                compared = await tally(
                    connection,
                    ProviderWords(sealer_of(settings)).screened_charges(charges(settings), provider),
                    provider,
                    merchant_id=merchant,
                    clock=Clock(settings.clock_shift_ms),
                    progress=bars.named("payments compared"),
                )
            except (aiohttp.ClientError, TimeoutError) as error:
                why = mask_cards(str(error)) or type(error).__name__  # it may have a reason of the provider's
                return reports, why, erased
            reports.append(compared)
        return reports, None, erased
    finally:
        await connection.close()


def _print(title: str, report: InvariantReport) -> None:
    counted = ", ".join(f"{count:,} {what.replace('_', ' ')}" for what, count in report.checked.items())
    table = Table("", "invariant", "violations", title=title, caption=f"{counted} in {report.elapsed_ms:,} ms")
    for result in report.results:
        mark = "[bold red]✗[/]" if result.violations else "[green]✓[/]"
        table.add_row(mark, result.says, f"{result.violations:,}" if result.violations else "")
    console.print(table)
    for violation in report.violations[:SHOWN]:
        where = f"{violation.merchant_id} {violation.subject_id}".strip()
        console.print(literal(f"✗ {violation.invariant}: {where}: {violation.detail}"), soft_wrap=True)
    if len(report.violations) > SHOWN:
        console.print(f"… and more; --json shows {len(report.violations)}.")
