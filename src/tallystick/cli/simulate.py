"""``simulate``: the test acquirer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tallystick.cli.context import DataDir, SimulatorPort, settings_from
from tallystick.cli.roles import ParentPid, started
from tallystick.lab.acquirer.options import Options, webhooks
from tallystick.lab.acquirer.server import run
from tallystick.providers.simulator.setup import SimulatorSettings
from tallystick.run.ports import SIMULATOR_HOST, keep_simulator_url, require_free_port


def simulate(
    forgetful: Annotated[bool, typer.Option("--forgetful", help="Ignore idempotency keys.")] = False,
    books: Annotated[Path | None, typer.Option(help="The SQLite file of its books.", show_default=False)] = None,
    late_ms: Annotated[
        int | None,
        typer.Option(help="Wait before each scripted step, in ms.", min=0, show_default="TALLYSTICK_SIMULATOR_LATE_MS"),
    ] = None,
    webhook_url: Annotated[
        str | None, typer.Option(help="URL that events are sent to; default: none are sent.", show_default=False)
    ] = None,
    webhook_secret: Annotated[
        str | None,
        typer.Option(
            help="Secret that events are signed with.", show_default="the first of TALLYSTICK_SIMULATOR_WEBHOOK_SECRETS"
        ),
    ] = None,
    webhook_time_scale: Annotated[float, typer.Option(help="Factor on the waits between tries of an event.")] = 1.0,
    webhook_retry_ms: Annotated[
        str | None, typer.Option(help="The waits between tries in ms, as in 100,200,400.", show_default=False)
    ] = None,
    settlements: Annotated[
        Path | None, typer.Option(help="A directory for its settlement files.", show_default=False)
    ] = None,
    simulator_port: SimulatorPort = None,
    data_dir: DataDir = None,
    parent_pid: ParentPid = None,
) -> None:
    """Run the test acquirer."""
    settings = started(settings_from(data_dir, simulator_port=simulator_port, simulator_late_ms=late_ms), parent_pid)
    simulator = settings.connector(SimulatorSettings)
    secret = webhook_secret or simulator.signing_secret
    try:
        events = webhooks(webhook_url, secret, webhook_retry_ms, webhook_time_scale)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    require_free_port(SIMULATOR_HOST, simulator.port)
    data_dir = Path(settings.data_dir).expanduser()
    if books is None:
        data_dir.mkdir(parents=True, exist_ok=True)
        keep_simulator_url(data_dir, simulator.port)
        books = data_dir / "acquirer.sqlite"
    books.parent.mkdir(parents=True, exist_ok=True)
    options = Options(
        forgetful=forgetful or simulator.forgetful,
        late_ms=simulator.late_ms,
        webhooks=events,
        settlements=settlements,
    )
    run(SIMULATOR_HOST, simulator.port, books, options)
