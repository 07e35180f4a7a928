"""``doctor``: what a start would look at, and all that it would say."""

from __future__ import annotations

import asyncio
from typing import Annotated

import msgspec
import typer

from tallystick.cli.command import in_words
from tallystick.cli.context import AsJson, DataDir, console, settings_from
from tallystick.cli.database import existing_database
from tallystick.cli.tables import table_of
from tallystick.contract.doctor import render_checks
from tallystick.run.doctor.examine import by_check, examine
from tallystick.run.doctor.table import CHECKS


def doctor(
    as_json: AsJson = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="The table of checks, as markdown.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Check what processes need. Exits 1 where one would not start or not serve; warnings alone exit 0."""
    if as_markdown:
        typer.echo(render_checks(), nl=False)
        return
    settings = settings_from(data_dir)
    with existing_database(settings) as database:
        examination = asyncio.run(examine(settings, database, in_words))
    findings = examination.findings()
    if as_json:
        checks = [
            {"name": check.name, "level": check.level, "asked": check.name in examination.asked} for check in CHECKS
        ]
        typer.echo(msgspec.json.encode({"checks": checks, "findings": findings}).decode())
    else:
        cells: list[tuple[str, str, str]] = []
        for name, found in by_check(examination).items():
            cells.extend([(name, each.level, each.says) for each in found] or [(name, "ok", "")])
        cells.extend((check.name, "not asked", "") for check in CHECKS if check.name not in examination.asked)
        console.print(table_of(("check", "result", "what was found"), cells, whole=["check", "result"]))
    if any(finding.level != "warn" for finding in findings):
        raise typer.Exit(1)
