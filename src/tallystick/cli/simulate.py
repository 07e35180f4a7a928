"""``simulate``: the test acquirer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tallystick.addresses import SIMULATOR_HOST, require_free_port
from tallystick.cli.context import DataDir, SimulatorPort, settings_from
from tallystick.cli.roles import ParentPid, started
from tallystick.simulator.server import run


def simulate(
    forgetful: Annotated[bool, typer.Option("--forgetful", help="Ignore idempotency keys.")] = False,
    books: Annotated[Path | None, typer.Option(help="Where it keeps its books.", show_default=False)] = None,
    simulator_port: SimulatorPort = None,
    data_dir: DataDir = None,
    parent_pid: ParentPid = None,
) -> None:
    """Run the test acquirer, with durable books of its own."""
    settings = started(settings_from(data_dir, simulator_port=simulator_port), parent_pid)
    require_free_port(SIMULATOR_HOST, settings.simulator_port)
    books = books or Path(settings.data_dir) / "acquirer.sqlite"
    books.parent.mkdir(parents=True, exist_ok=True)
    run(SIMULATOR_HOST, settings.simulator_port, books, forgetful=forgetful or settings.simulator_forgetful)
