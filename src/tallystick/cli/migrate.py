"""``migrate``: the schema."""

from __future__ import annotations

import typer

from tallystick import migrations
from tallystick.cli.context import DataDir, settings_from
from tallystick.embedded import resolve_database


def migrate(data_dir: DataDir = None) -> None:
    """Bring the database's schema up to date, as its owner."""
    with resolve_database(settings_from(data_dir)) as database:
        applied = migrations.migrate(database.owner_url)
    typer.echo("\n".join(applied) if applied else "up to date")
