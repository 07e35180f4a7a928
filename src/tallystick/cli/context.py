"""What commands share: options over environment, and the console. Light: every command loads it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tallystick.providers.registry import CONNECTOR_SETTINGS
from tallystick.settings.fields import PREFIX
from tallystick.settings.load import Settings, load_settings

#: Tables and messages for people; what programs read is written to standard output as it is.
console = Console()

DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Holds the embedded database; before TALLYSTICK_DATABASE_URL.", show_default=False),
]
Host = Annotated[str | None, typer.Option(help="Where the API listens.", show_default=False)]
Port = Annotated[int | None, typer.Option(help="Where the API listens.", show_default="8400")]
SimulatorPort = Annotated[int | None, typer.Option(help="Where the test acquirer listens.", show_default="8401")]
Merchant = Annotated[str, typer.Option("--merchant", help="The merchant's id.")]
SomeMerchant = Annotated[str | None, typer.Option("--merchant", help="Only this merchant.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="JSON on standard output.")]


def settings_from(data_dir: Path | None = None, **options: object) -> Settings:
    """Settings from the environment, with the options that were given before it. Raises SettingsError."""
    environ = dict(os.environ)
    if data_dir is not None:
        # A data directory that is named on the command line means the database in it, whatever the environment says.
        environ.pop(f"{PREFIX}DATABASE_URL", None)
        environ.pop(f"{PREFIX}MIGRATION_DATABASE_URL", None)
        environ[f"{PREFIX}DATA_DIR"] = str(data_dir)
    for name, value in options.items():
        if value is not None:
            environ[PREFIX + name.upper()] = str(value)
    return load_settings(environ, CONNECTOR_SETTINGS)
