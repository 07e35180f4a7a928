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
from tallystick.run.up import Platform, bring_up

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
  console         {f"{platform.console_address}/console" if platform.console_address else "off"}
  test acquirer   {f"{acquirer}/  (its charges and controls, for a browser)" if acquirer else "off"}
  API key         {platform.key_file}
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


async def _stay_up(platform: Platform) -> None:
    console.print(invitation(platform), highlight=False, soft_wrap=True, markup=False)
    await asyncio.Event().wait()
