"""``recover``: after an older back-up was restored, what providers know and the record does not. Changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

import msgspec
import typer

from tallystick.cli.context import AsJson, DataDir, console, settings_from
from tallystick.cli.database import existing_database
from tallystick.cli.tables import table_of
from tallystick.flows.assembly import open_runtime
from tallystick.flows.recovery.forgotten import Forgotten, ProviderAsked, forgotten_effects
from tallystick.settings.load import Settings

Since = Annotated[
    datetime, typer.Option(help="The time of the restored back-up, or a little before, such as 2026-11-26T08:00 (UTC).")
]


def recover(since: Since, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """List what providers booked since a time and the record does not have. Changes nothing. Exits 1 where something is
    missing, or a list could not be read to its end."""
    settings = settings_from(data_dir)
    since = since.replace(tzinfo=since.tzinfo or UTC)
    with existing_database(settings) as database:
        asked = asyncio.run(_asked(settings, database.app_url, since))
    if as_json:
        typer.echo(msgspec.json.encode(asked).decode())
    else:
        _print(asked)
    if any(each.forgotten or each.failed for each in asked):
        raise typer.Exit(1)


async def _asked(settings: Settings, database_url: str, since: datetime) -> list[ProviderAsked]:
    async with open_runtime(settings, database_url, registers_keys=False) as runtime:
        return await forgotten_effects(runtime, since)


def _print(asked: Sequence[ProviderAsked]) -> None:
    for each in asked:
        if each.listed is None:
            console.print(f"{each.provider}: it has no list; compare with its own reports.", highlight=False)
            continue
        cut = (
            ""
            if each.failed is None
            else f" Its list could not be read to the end ({each.failed}): more may be missing."
        )
        said = f"{each.provider}: {each.listed} booked, {len(each.forgotten)} not in the record.{cut}"
        console.print(said, highlight=False)
    rows = [row for each in asked for row in map(_row, each.forgotten)]
    if rows:
        ids = "reference, payment"
        console.print(table_of((ids, "what"), rows, whole=[ids], title="Not in the record"))


def _row(one: Forgotten) -> tuple[str, str]:
    effect = one.effect
    known = "the payment is here" if one.payment_known else "no such payment here"
    what = f"{effect.operation} {effect.amount} {effect.currency}: {effect.state} at {one.provider}\n"
    return f"{effect.reference}\n{effect.payment_id}", f"{what}{effect.merchant_id}, {known}"
