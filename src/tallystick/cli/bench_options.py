"""What the commands of ``tallystick bench`` share: options, the settings that they measure with, and how they print."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from tallystick.cli.bars import Bars
from tallystick.cli.context import require_one_database
from tallystick.kit.logs import configure_logging
from tallystick.lab.bench.provider_latency import MalformedLatency, ProviderLatency, parse_latency
from tallystick.lab.bench.report import BenchReport, print_report
from tallystick.providers.registry import CONNECTOR_SETTINGS
from tallystick.providers.simulator.setup import SimulatorSettings
from tallystick.settings.load import Settings, load_settings, secret_names

DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        help="Measure on the database in this directory; default: an empty one, or that of TALLYSTICK_DATABASE_URL.",
        show_default=False,
    ),
]
FilledDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        help="Directory of a database that was filled; default: an empty one, which is filled.",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON on standard output.")]
Rounds = Annotated[int, typer.Option(min=1, help="Number of rounds; figures are medians over them.")]

Latency = Annotated[
    str,
    typer.Option(
        "--provider-latency",
        help="Milliseconds that the provider takes: a number, or lognormal:MEDIAN,P99.",
        metavar="LATENCY",
    ),
]

#: Fits the widest table.
TABLE_COLUMNS: Final = 130


def bench_settings(data_dir: Path | None) -> Settings:
    """The environment's settings: a benchmark measures what would run, but for real providers, whose keys it lets go
    of, and the test acquirer, which it switches on. Raises SettingsError."""
    require_one_database(data_dir)
    settings = load_settings(os.environ, CONNECTOR_SETTINGS)
    settings = replace(settings.of_one_connector(SimulatorSettings), simulator="on")
    configure_logging("error", secret_names(CONNECTOR_SETTINGS))  # of this process; the servers' logs are as set
    return settings


def latency_of(text: str) -> ProviderLatency:
    """As it was given. Raises BadParameter."""
    try:
        return parse_latency(text)
    except MalformedLatency as error:
        raise typer.BadParameter(str(error), param_hint="--provider-latency") from error


def progress_bars() -> Bars:
    """On standard error: standard output is for the figures."""
    return Bars(Console(stderr=True))


def print_figures(report: BenchReport, *, as_json: bool) -> None:
    if as_json:
        typer.echo(report.json())
    else:
        console = Console()
        if not console.is_terminal:
            console = Console(width=TABLE_COLUMNS)  # a file has no width of its own
        print_report(console, report)
