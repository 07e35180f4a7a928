"""What commands share: options, settings, and the console. Keep it light: every command loads it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer
from rich.console import Console

from tallystick.providers.registry import CONNECTOR_SETTINGS
from tallystick.providers.simulator.setup import SimulatorSettings
from tallystick.run.ports import kept_simulator_url
from tallystick.settings.config_file import CONFIG_VARIABLE, read_config_file
from tallystick.settings.fields import PREFIX
from tallystick.settings.load import Settings, SettingsError, load_settings

#: Tables and messages for people; what programs read is written to standard output as it is.
console = Console()

#: They name a database that is not in the data directory.
DATABASE_URLS: Final = (f"{PREFIX}DATABASE_URL", f"{PREFIX}MIGRATION_DATABASE_URL")

#: Where the test acquirer is, whatever the data directory says.
SIMULATOR_URL: Final = f"{PREFIX}SIMULATOR_URL"

DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir", help="Directory of the embedded database; not beside TALLYSTICK_DATABASE_URL.", show_default=False
    ),
]
Into = Annotated[
    str | None,
    typer.Option(
        "--into",
        metavar="NAME",
        help="The name of the database in TALLYSTICK_DATABASE_URL, where it is not empty.",
        show_default=False,
    ),
]
Host = Annotated[str | None, typer.Option(help="Address that the API listens on.", show_default=False)]
Port = Annotated[int | None, typer.Option(help="Port that the API listens on.", show_default="8400")]
SimulatorPort = Annotated[int | None, typer.Option(help="Port that the test acquirer listens on.", show_default="8401")]
Merchant = Annotated[str, typer.Option("--merchant", help="The merchant's id.")]
SomeMerchant = Annotated[str | None, typer.Option("--merchant", help="Only this merchant.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="JSON on standard output.")]


def print_json(found: object) -> None:
    """One JSON document on standard output, on one line."""
    typer.echo(msgspec.json.encode(found).decode())


def read_config() -> None:
    """Put what the config file says into the environment, for this process and those that it starts. What is in the
    environment stays: it wins. Raises SettingsError."""
    named = os.environ.pop(CONFIG_VARIABLE, None)
    if named is None:
        return
    if not named:
        raise SettingsError(f"{CONFIG_VARIABLE}: it is empty; unset it, or name a file")
    given = {name.upper() for name in os.environ}
    for name, value in read_config_file(Path(named).expanduser(), CONNECTOR_SETTINGS).items():
        if name not in given:
            os.environ[name] = value


def settings_from(data_dir: Path | None = None, **options: object) -> Settings:
    """Settings from the environment and the config file; options on the command line override them. Without a setting
    for it, the test acquirer is where it was last started on the data directory. Raises SettingsError, also for a data
    directory on the command line beside a database URL."""
    require_one_database(data_dir)
    environ = dict(os.environ)
    if data_dir is not None:
        environ[f"{PREFIX}DATA_DIR"] = str(data_dir)
    for name, value in options.items():
        if value is not None:
            environ[PREFIX + name.upper()] = str(value)
    settings = load_settings(environ, CONNECTOR_SETTINGS)
    if SIMULATOR_URL in map(str.upper, environ):
        return settings
    kept = kept_simulator_url(Path(settings.data_dir).expanduser())
    return settings if kept is None else settings.with_connector(SimulatorSettings, url=kept)


def settings_on_own_or_new_database(directory: Path) -> Settings:
    """Settings from the environment, for a command that makes a new database in ``directory`` where the environment
    names none. Beside a database of one's own the directory has what is not in it, unless a setting says where.
    Raises SettingsError."""
    read_config()
    data_dir = f"{PREFIX}DATA_DIR"
    named = {name.upper() for name in os.environ}
    if named.issuperset({DATABASE_URLS[0], data_dir}):
        return load_settings(os.environ, CONNECTOR_SETTINGS)
    replaced = {data_dir} if DATABASE_URLS[0] in named else {data_dir, *DATABASE_URLS}
    environ = {name: value for name, value in os.environ.items() if name.upper() not in replaced}
    return load_settings(environ | {data_dir: str(directory)}, CONNECTOR_SETTINGS)


def require_one_database(data_dir: Path | None) -> None:
    """Raise SettingsError where ``--data-dir`` names one database and the environment another: a command that chose
    between them might verify, or change, the wrong one. Reads the config file first."""
    read_config()
    urls = [name.upper() for name, value in sorted(os.environ.items()) if name.upper() in DATABASE_URLS and value]
    if data_dir is not None and urls:
        raise SettingsError(
            f"--data-dir names the database in it, and {urls[0]} another one: leave out the option, or unset"
            f" {' and '.join(urls)}. Beside a database of your own, {PREFIX}DATA_DIR sets the directory"
        )
