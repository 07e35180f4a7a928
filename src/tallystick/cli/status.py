"""``status``: whether each part of the platform is well, and what waits."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, Final

import msgspec
import typer

from tallystick import __version__
from tallystick.cli.command import in_words
from tallystick.cli.context import AsJson, DataDir, console, print_json, settings_from
from tallystick.cli.database import existing_database
from tallystick.cli.tables import duration, table_of
from tallystick.record.postgres.operator_reads import EndpointCounts
from tallystick.run.status import Part, Status, Waiting, read_status

#: What waits, in words, with the command that shows it.
WAITING: Final = {
    "attempts_to_settle": "attempts to resolve",
    "overdue_deadlines": "authorizations past their deadline",
    "attempts_in_doubt": "attempts in doubt (in-doubt list)",
    "late_money": "payments with late money to decide on (late-money list)",
    "unknown_dispute_amounts": "disputes with an unknown amount (disputes unknown-amounts)",
    "events_to_process": "provider events to process",
    "dead_letters": "dead letters (dead-letters list)",
    "messages_to_dispatch": "messages to dispatch",
    "queues_to_send": "payments with messages to send",
}

RESULTS: Final = {True: "well", False: "not well", None: "not asked"}


def status(as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Say whether database, schema, API, workers, payments, webhooks and providers are well, and what waits.
    Changes nothing. Exits 1 where something is not well. The API is asked at the address of the settings; workers are
    seen by their sessions in the database."""
    settings = settings_from(data_dir)
    with existing_database(settings) as database:
        found = asyncio.run(read_status(settings, database, in_words))
    if as_json:
        print_json(_document(found))
    else:
        cells = [(part.name, RESULTS[part.well], "\n".join(_says(found, part))) for part in found.parts]
        console.print(table_of(("part", "result", "what was found"), cells, whole=["part", "result"]))
        if found.warnings:
            warnings = "1 warning" if len(found.warnings) == 1 else f"{len(found.warnings)} warnings"
            console.print(f"{warnings}: `tallystick doctor` prints them.", highlight=False)
    if not found.well:
        raise typer.Exit(1)


def _document(found: Status) -> dict[str, Any]:
    return {"version": __version__, "well": found.well, **msgspec.to_builtins(found)}


def _says(found: Status, part: Part) -> Iterator[str]:
    yield from part.says
    if part.name == "webhooks" and found.endpoints is not None:
        yield from _endpoints(found.endpoints)
    waits = [_waits(each) for each in found.waiting if each.part == part.name and each.waiting]
    yield from waits or (["nothing waits"] if part.name in {each.part for each in found.waiting} else [])


def _endpoints(counted: EndpointCounts) -> Iterator[str]:
    if counted.enabled:
        failing = f", {counted.failing:,} of them failing" if counted.failing else ""
        yield f"{_number_of(counted.enabled)}{failing} (webhooks endpoints)"
    if counted.given_up:
        yield f"{_number_of(counted.given_up)} disabled by failures (webhooks endpoints)"


def _number_of(endpoints: int) -> str:
    return "1 endpoint" if endpoints == 1 else f"{endpoints:,} endpoints"


def _waits(each: Waiting) -> str:
    said = f"{each.waiting:,} {WAITING[each.what]}"
    return f"{said}: {duration(each.longest_ms)}, overdue" if each.overdue and each.longest_ms is not None else said
