"""What commands share: options, settings, and the console. Keep it light: every command loads it."""

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
    typer.Option(
        "--data-dir", help="Directory of the embedded database; overrides TALLYSTICK_DATABASE_URL.", show_default=False
    ),
]
Host = Annotated[str | None, typer.Option(help="Address that the API listens on.", show_default=False)]
Port = Annotated[int | None, typer.Option(help="Port that the API listens on.", show_default="8400")]
SimulatorPort = Annotated[int | None, typer.Option(help="Port that the test acquirer listens on.", show_default="8401")]
Merchant = Annotated[str, typer.Option("--merchant", help="The merchant's id.")]
SomeMerchant = Annotated[str | None, typer.Option("--merchant", help="Only this merchant.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="JSON on standard output.")]


def settings_from(data_dir: Path | None = None, **options: object) -> Settings:
    """Settings from the environment; options on the command line override it. Raises SettingsError."""
    environ = dict(os.environ)
    if data_dir is not None:
        # A data directory on the command line means the database in it, whatever the environment says.
        environ.pop(f"{PREFIX}DATABASE_URL", None)
        environ.pop(f"{PREFIX}MIGRATION_DATABASE_URL", None)
        environ[f"{PREFIX}DATA_DIR"] = str(data_dir)
    for name, value in options.items():
        if value is not None:
            environ[PREFIX + name.upper()] = str(value)
    return load_settings(environ, CONNECTOR_SETTINGS)
