"""``up``: runs everything on this machine."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Final

import typer
import uvloop

from tallystick.cli.context import DataDir, Host, Port, SimulatorPort, console, settings_from
from tallystick.cli.roles import log_alone
from tallystick.kit import atomic_file
from tallystick.kit.log_capture import captures_output
from tallystick.kit.logs import get_logger
from tallystick.run.ports import http_address
from tallystick.run.up import Platform, bring_up
from tallystick.settings.fields import variable
from tallystick.settings.load import Settings

log = get_logger("tallystick.cli.up")

#: In the data directory, readable by its owner alone.
FIRST_SIGN_IN_FILE: Final = "first-sign-in"


def up(data_dir: DataDir = None, host: Host = None, port: Port = None, simulator_port: SimulatorPort = None) -> None:
    """Run everything on this machine: database, API, worker and test acquirer, until SIGTERM or Ctrl-C."""
    settings = settings_from(data_dir, host=host, port=port, simulator_port=simulator_port)
    if not sys.stderr.isatty():
        log_alone("info")  # whatever its children log, its few notices are for somebody
    uvloop.run(bring_up(settings, _stay_up, announce=announce))


def announce(message: str) -> None:
    """A notice for the person who started the platform, or a line of the log where nobody looks on."""
    if captures_output():
        log.warning(message)
    else:
        typer.echo(f"tallystick: {message}", err=True)


def invitation(platform: Platform) -> str:
    """What to do with a running platform: its addresses, and a payment to paste if the test acquirer is on."""
    acquirer = platform.simulator_address
    lines = f"""Tallystick is up.
  API             {platform.address}  (OpenAPI: {platform.address}/openapi.json)
  console         {f"{platform.console_address}/console" if platform.console_address else "off"}
  test acquirer   {f"{acquirer}/  (its charges and controls, for a browser)" if acquirer else "off"}
  API key         {platform.key_file}
  metrics         {_metrics(platform.settings)}
"""
    if acquirer is None:
        return lines
    return f"""{lines}
Make a payment. Run it twice: the second response is a replay of the first.

curl -i {platform.address}/v1/payments \\
  -H "Authorization: Bearer $(cat {platform.key_file})" \\
  -H 'Idempotency-Key: up-1' -H 'Content-Type: application/json' \\
  -d '{{"amount": 1999, "currency": "EUR", "payment_method": "sim_ok"}}'
"""


def first_sign_in(platform: Platform) -> str:
    """What the first operator of the console needs, once: for a terminal, or in a file that its owner alone can read.
    Never for a log. Raises OSError."""
    invited = platform.first_sign_in
    if invited is None:
        return ""
    address = f"{platform.console_address}/console/first-sign-in?operator={invited.operator_id}"
    said = f"First sign-in at the console, as {invited.operator_id}"
    if console.is_terminal:
        return f"{said}: {address}\n  secret          {invited.invitation}\n"
    file = Path(platform.settings.data_dir) / FIRST_SIGN_IN_FILE
    atomic_file.replace(file, f"{address}\n{invited.invitation}")
    return f"{said}: its address and secret are in {file}\n"


def _metrics(settings: Settings) -> str:
    """Where the numbers of each process are; a listener that is not set is off."""
    listeners = (
        ("API", "metrics_port", settings.metrics_port),
        ("worker", "worker_metrics_port", settings.worker_metrics_port),
    )
    host = settings.metrics_host
    return ", ".join(
        f"{name}: off ({variable(setting)} switches it on)"
        if port is None
        else f"{name}: {http_address(host, port)}/metrics"
        for name, setting, port in listeners
    )


async def _stay_up(platform: Platform) -> None:
    console.print(invitation(platform), highlight=False, soft_wrap=True, markup=False)
    console.print(first_sign_in(platform), highlight=False, soft_wrap=True, markup=False)
    await asyncio.Event().wait()
