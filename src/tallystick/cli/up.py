"""``up``: runs everything on this machine."""

from __future__ import annotations

import asyncio
import sys

import typer
import uvloop

from tallystick.cli.context import DataDir, Host, Port, SimulatorPort, console, settings_from
from tallystick.cli.roles import log_alone
from tallystick.kit.log_capture import captures_output
from tallystick.kit.logs import get_logger
from tallystick.run.ports import http_address
from tallystick.run.up import Platform, bring_up
from tallystick.settings.fields import variable
from tallystick.settings.load import Settings

log = get_logger("tallystick.cli.up")


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
    await asyncio.Event().wait()
