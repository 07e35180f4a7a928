"""``migrate``: brings the schema up to date."""

from __future__ import annotations

import asyncio

import typer

from tallystick.cli.context import AsJson, DataDir, print_json, settings_from
from tallystick.cli.up import announce
from tallystick.record.postgres.embedded.server import resolve_database
from tallystick.record.postgres.migrate import migrate as apply_migrations
from tallystick.run.doctor.examine import Examination


def migrate(as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Bring the database schema up to date, as its owner."""
    settings = settings_from(data_dir)
    examination = Examination(settings, "migrate")
    examination.machine()
    with resolve_database(settings) as database:
        asyncio.run(examination.as_owner(database.owner_url))
        for finding in examination.require_start():
            announce(f"{finding.level}: {finding.says}")
        applied = apply_migrations(database.owner_url, announce)
    if as_json:
        print_json({"applied": applied})
    else:
        typer.echo("\n".join(applied) if applied else "up to date")
