"""``demo``: starts everything, makes thousands of payments with faults mixed in, and compares both books."""

from __future__ import annotations

import asyncio
import shutil
import socket
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final

import typer
import uvloop
from rich.table import Table

from tallystick.cli.bars import Bars
from tallystick.cli.context import DataDir, Into, console, settings_from, settings_on_own_or_new_database
from tallystick.cli.tables import way_of_an_event
from tallystick.cli.up import announce, first_sign_in, invitation
from tallystick.lab.demo.result import DemoResult
from tallystick.lab.demo.run import demonstrate, impatient
from tallystick.lab.own_database import own_database
from tallystick.providers.simulator.setup import SimulatorSettings
from tallystick.run.up import Platform, bring_up
from tallystick.settings.load import Settings

#: Differences shown for each check: the first few say what is wrong.
SHOWN: Final = 5


def demo(
    payments: Annotated[int, typer.Option(min=1, max=100_000, help="How many payments.")] = 3_000,
    once: Annotated[bool, typer.Option("--once", help="Exit afterwards, with 0 only if every check passed.")] = False,
    data_dir: DataDir = None,
    into: Into = None,
) -> None:
    """Run thousands of real payments with faults mixed in, and prove that each happened once.

    On a terminal the platform stays up afterwards; with --once, or without a terminal, it exits. The payments are
    made in a new database, or in the one that TALLYSTICK_DATABASE_URL names: it must be empty, or --into repeats its
    name.
    """
    directory = Path(tempfile.mkdtemp(prefix="tallystick-demo-")) if data_dir is None else data_dir
    stays = console.is_terminal and not once
    settings = _on_free_ports(impatient(_settings(data_dir, directory)))
    if not stays:  # nobody would look at it
        settings = replace(settings, console=False)
    own = own_database(settings, into)
    results: list[DemoResult] = []

    async def body(platform: Platform) -> None:
        with Bars(console) as bars:
            results.append(await demonstrate(platform, payments, bars))
        _print(results[0])
        if stays:
            console.print(invitation(platform), highlight=False, soft_wrap=True, markup=False)
            console.print(first_sign_in(platform), highlight=False, soft_wrap=True, markup=False)
            console.print("Press Ctrl-C to stop.")
            await asyncio.Event().wait()

    parts = "test acquirer, worker and API" if own else "database, test acquirer, worker and API"
    console.print(f"Starting the {parts} in {directory} …", highlight=False)
    uvloop.run(bring_up(settings, body, announce=announce, logs=directory / "logs"))
    held = bool(results) and results[0].held
    if results and not held:
        console.print(f"Data and logs are kept in {directory}.", highlight=False)
    elif data_dir is None:
        shutil.rmtree(directory, ignore_errors=True)
    if not held:
        raise typer.Exit(1)


def _settings(data_dir: Path | None, directory: Path) -> Settings:
    return settings_on_own_or_new_database(directory) if data_dir is None else settings_from(data_dir)


def _on_free_ports(settings: Settings) -> Settings:
    """Free ports, so that a platform that is already up is not disturbed."""
    with socket.socket() as first, socket.socket() as second, socket.socket() as third:
        for each in (first, second, third):
            each.bind(("127.0.0.1", 0))
        port, simulator_port, console_port = (each.getsockname()[1] for each in (first, second, third))
    own = replace(settings, port=port, console_port=console_port, console_second_factor=False)
    return own.with_connector(SimulatorSettings, port=simulator_port)


def _print(result: DemoResult) -> None:
    figures = Table("", "", title="What happened", show_header=False)
    for name, figure in result.figures:
        figures.add_row(name, figure)
    checks = Table("", "check", "seen", title="Checks")
    for check in result.checks:
        checks.add_row("[green]✓[/]" if check.held else "[bold red]✗[/]", check.name, check.seen)
    console.print(figures)
    if result.drill:
        console.print(way_of_an_event(result.drill, title="One dead letter, as recorded"))
    console.print(checks)
    for check in result.checks:
        for difference in check.differences[:SHOWN]:
            console.print(f"✗ {check.name}: {difference}", style="red", highlight=False, markup=False, soft_wrap=True)
        if len(check.differences) > SHOWN:
            console.print(f"✗ {check.name}: and {len(check.differences) - SHOWN} more", style="red")
