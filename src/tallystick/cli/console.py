"""``console``: the operators' console."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from typing import Annotated

import typer

from tallystick.cli.context import DataDir, settings_from
from tallystick.cli.database import existing_database
from tallystick.cli.roles import ParentPid, keeper_of, started
from tallystick.run.console import serve_console
from tallystick.run.doctor.start import begin
from tallystick.run.supervisor import child_environment

ConsoleHost = Annotated[str | None, typer.Option("--host", help="Address that it listens on.", show_default=False)]
ConsolePort = Annotated[int | None, typer.Option("--port", help="Port that it listens on.", show_default="8402")]


def console(
    data_dir: DataDir = None, host: ConsoleHost = None, port: ConsolePort = None, parent_pid: ParentPid = None
) -> None:
    """Run the operators' console, for browsers. Beyond loopback it needs TLS, or the proxies that end it."""
    settings = started(settings_from(data_dir, console_host=host, console_port=port), parent_pid)
    with existing_database(settings, keeper_of(parent_pid)) as database:
        asyncio.run(begin("console", settings, database))
        # The worker process reads the environment, so it must hold the settings resolved here.
        os.environ.update(child_environment(replace(settings, database_url=database.app_url)))
        serve_console(settings)
