"""``migrate``: brings the schema up to date."""

from __future__ import annotations

import asyncio

import typer

from tallystick.cli.context import DataDir, settings_from
from tallystick.record.postgres.embedded.server import resolve_database
from tallystick.record.postgres.migrate import migrate as apply_migrations
from tallystick.run.exponents_check import require_unchanged_exponents_as_owner


def migrate(data_dir: DataDir = None) -> None:
    """Bring the database schema up to date, as its owner."""
    with resolve_database(settings_from(data_dir)) as database:
        asyncio.run(require_unchanged_exponents_as_owner(database.owner_url))
        applied = apply_migrations(database.owner_url)
    typer.echo("\n".join(applied) if applied else "up to date")
