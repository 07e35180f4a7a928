"""``up`` and the roles it is made of: ``serve``, ``work``, ``simulate``, and ``migrate`` before them."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Annotated

import typer
import uvloop
from msgspec.structs import replace

from tallystick import migrations
from tallystick import up as bringing_up
from tallystick.cli.context import (
    DataDir,
    Host,
    ParentPid,
    Port,
    SimulatorPort,
    console,
    existing_database,
    settings_from,
)
from tallystick.embedded import resolve_database
from tallystick.logs import configure_logging
from tallystick.processes import end_with_parent
from tallystick.serving import serve as serve_api
from tallystick.settings import Settings
from tallystick.simulator.server import run as run_simulator
from tallystick.up import END_MARGIN_MS, SIMULATOR_HOST, Platform, child_environment, require_free_port
from tallystick.wiring import connect
from tallystick.worker import work_until_signalled


def up(data_dir: DataDir = None, host: Host = None, port: Port = None, simulator_port: SimulatorPort = None) -> None:
    """Run everything on this machine: database, API, worker and test acquirer, until SIGTERM or Ctrl-C."""
    settings = settings_from(data_dir, host=host, port=port, simulator_port=simulator_port)
    uvloop.run(bringing_up.bring_up(settings, _stay_up, announce=announce))


def serve(data_dir: DataDir = None, host: Host = None, port: Port = None, parent_pid: ParentPid = None) -> None:
    """Run the API. Any number of processes on any number of machines share one database."""
    settings = _role_settings(parent_pid, settings_from(data_dir, host=host, port=port))
    require_free_port(settings.host, settings.port)
    with existing_database(settings) as database:
        asyncio.run(_require_database(settings, database.app_url))
        # The worker processes read the environment: it now says exactly what was resolved here.
        os.environ.update(child_environment(replace(settings, database_url=database.app_url)))
        serve_api(settings)


def work(data_dir: DataDir = None, parent_pid: ParentPid = None) -> None:
    """Run recovery. Any number of workers share one database; leases decide who does what."""
    settings = _role_settings(parent_pid, settings_from(data_dir))
    with existing_database(settings) as database:
        uvloop.run(work_until_signalled(settings, database.app_url))


def simulate(
    forgetful: Annotated[bool, typer.Option("--forgetful", help="Ignore idempotency keys.")] = False,
    books: Annotated[Path | None, typer.Option(help="Where it keeps its books.", show_default=False)] = None,
    simulator_port: SimulatorPort = None,
    data_dir: DataDir = None,
    parent_pid: ParentPid = None,
) -> None:
    """Run the test acquirer, with durable books of its own."""
    settings = _role_settings(parent_pid, settings_from(data_dir, simulator_port=simulator_port))
    require_free_port(SIMULATOR_HOST, settings.simulator_port)
    books = books or Path(settings.data_dir) / "acquirer.sqlite"
    books.parent.mkdir(parents=True, exist_ok=True)
    run_simulator(SIMULATOR_HOST, settings.simulator_port, books, forgetful=forgetful or settings.simulator_forgetful)


def migrate(data_dir: DataDir = None) -> None:
    """Bring the database's schema up to date, as its owner."""
    with resolve_database(settings_from(data_dir)) as database:
        applied = migrations.migrate(database.owner_url)
    typer.echo("\n".join(applied) if applied else "up to date")


def _role_settings(parent_pid: int | None, settings: Settings) -> Settings:
    configure_logging(settings.log_level)
    if parent_pid is not None:
        end_with_parent(parent_pid, settings.drain_timeout_ms + END_MARGIN_MS)
    return settings


async def _require_database(settings: Settings, database_url: str) -> None:
    """Raises what a database that cannot be used raises: better now than at the first request."""
    connection = await connect(database_url, command_timeout_ms=settings.journal_commit_timeout_ms)
    try:
        await connection.execute("SELECT 1 FROM api_key LIMIT 1")
    finally:
        await connection.close()


def announce(message: str) -> None:
    """Tell the person who started the platform, beside whatever the logs say."""
    typer.echo(f"tallystick: {message}", err=True)


async def _stay_up(platform: Platform) -> None:
    console.print(invitation(platform), highlight=False, soft_wrap=True, markup=False)
    await asyncio.Event().wait()


def invitation(platform: Platform) -> str:
    """What to do with a platform that is up: where it is, and a payment to paste."""
    return f"""Tallystick is up.
  API             {platform.address}  (OpenAPI: {platform.address}/openapi.json)
  test acquirer   {platform.simulator_address}
  API key         {platform.key_file}

A payment; run it twice, and the second answer is the first one, replayed:

curl -i {platform.address}/v1/payments \\
  -H "Authorization: Bearer $(cat {platform.key_file})" \\
  -H 'Idempotency-Key: order-1001' -H 'Content-Type: application/json' \\
  -d '{{"amount": 1999, "currency": "EUR", "payment_method": "sim_ok"}}'
"""
