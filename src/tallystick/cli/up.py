"""``up``: everything on this machine."""

from __future__ import annotations

import asyncio

import typer
import uvloop

from tallystick.cli.context import DataDir, Host, Port, SimulatorPort, console, settings_from
from tallystick.run.up import Platform, bring_up


def up(data_dir: DataDir = None, host: Host = None, port: Port = None, simulator_port: SimulatorPort = None) -> None:
    """Run everything on this machine: database, API, worker and test acquirer, until SIGTERM or Ctrl-C."""
    settings = settings_from(data_dir, host=host, port=port, simulator_port=simulator_port)
    uvloop.run(bring_up(settings, _stay_up, announce=announce))


def announce(message: str) -> None:
    """Tell the person who started the platform, beside whatever the logs say."""
    typer.echo(f"tallystick: {message}", err=True)


def invitation(platform: Platform) -> str:
    """What to do with a platform that is up: where it is, and a payment to paste where the test acquirer takes it."""
    acquirer = platform.simulator_address
    lines = f"""Tallystick is up.
  API             {platform.address}  (OpenAPI: {platform.address}/openapi.json)
  test acquirer   {acquirer or "off"}
  API key         {platform.key_file}
"""
    if acquirer is None:
        return lines
    return f"""{lines}
A payment; run it twice, and the second answer is the first one, replayed:

curl -i {platform.address}/v1/payments \\
  -H "Authorization: Bearer $(cat {platform.key_file})" \\
  -H 'Idempotency-Key: order-1001' -H 'Content-Type: application/json' \\
  -d '{{"amount": 1999, "currency": "EUR", "payment_method": "sim_ok"}}'
"""


async def _stay_up(platform: Platform) -> None:
    console.print(invitation(platform), highlight=False, soft_wrap=True, markup=False)
    await asyncio.Event().wait()
