"""``tallystick bench``: what takes many payments: memory, growth, and a record that is traced, compared and sealed."""

from __future__ import annotations

import asyncio
import random
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final

import typer

from tallystick.cli.bench_options import (
    AsJson,
    DataDir,
    FilledDir,
    Rounds,
    bench_settings,
    print_figures,
    progress_bars,
)
from tallystick.cli.context import Into
from tallystick.lab.bench.fill import fill as fill_database
from tallystick.lab.bench.growth import GrowthPlan, measure_growth
from tallystick.lab.bench.machine import describe_machine
from tallystick.lab.bench.over_http import SATURATING_CONNECTIONS
from tallystick.lab.bench.picture import draw_growth, drawing
from tallystick.lab.bench.reconciliation import Load, measure_reconciliation
from tallystick.lab.bench.report import BenchReport
from tallystick.lab.bench.sealing import measure_sealing, require_own_record
from tallystick.lab.bench.sealing_beside import BesidePlan, measure_beside
from tallystick.lab.bench.soak import SoakPlan, measure_soak
from tallystick.lab.bench.stage import open_database
from tallystick.lab.bench.trace import measure_trace
from tallystick.lab.own_database import own_database
from tallystick.run.doctor.machine import raise_descriptor_limit
from tallystick.settings.load import Settings

#: Empty, larger than the shared buffers, and larger than the memory of a small machine.
GROWTH_SIZES: Final = [0, 1_000_000, 5_000_000]

#: Unmeasured seconds before each load beside a sealer.
WARM_UP_S: Final = 5


def soak(
    data_dir: DataDir = None,
    warm_up_requests: Annotated[
        int, typer.Option("--warm-up-requests", min=1, help="Payments before the first reading of memory.")
    ] = 30_000,
    requests: Annotated[int, typer.Option(min=2, help="Payments before the last reading.")] = 300_000,
    connections: Annotated[int, typer.Option(min=1, help="Number of clients.")] = SATURATING_CONNECTIONS[-1],
    api_processes: Annotated[
        int | None, typer.Option(min=1, help="Number of API processes.", show_default="the setting")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure the private memory of API, worker and PostgreSQL over very many payments. After ten times as many
    payments it may be a tenth higher."""
    if requests <= warm_up_requests:
        raise typer.BadParameter("more than --warm-up-requests", param_hint="--requests")
    settings = bench_settings(data_dir)
    if api_processes is not None:
        settings = replace(settings, api_processes=api_processes)
    plan = SoakPlan(warm_up_requests=warm_up_requests, requests=requests, connections=connections)
    with open_database(data_dir) as database, tempfile.TemporaryDirectory() as logs, progress_bars() as progress:
        machine = asyncio.run(describe_machine(database.app_url))
        figures = measure_soak(settings, database, Path(logs), plan, progress)
    print_figures(BenchReport(benchmark="soak", machine=machine, targets=[], figures=figures), as_json=as_json)
    if not figures.holds():
        raise typer.Exit(1)


def growth(
    data_dir: Annotated[
        Path | None,
        typer.Option(
            "--data-dir",
            help="Directory of the database to fill, which is kept; default: one that is removed.",
            show_default=False,
        ),
    ] = None,
    payments: Annotated[
        list[int], typer.Option(min=0, help="Number of payments in the database; may be given again.")
    ] = GROWTH_SIZES,
    rounds: Rounds = 3,
    duration_s: Annotated[float, typer.Option("--duration", min=1, help="Measured seconds for each load.")] = 10,
    warm_up_s: Annotated[float, typer.Option("--warm-up", min=0, help="Unmeasured seconds before each load.")] = 3,
    connections: Annotated[int, typer.Option(min=1, help="Number of clients at saturation.")] = 400,
    rate_per_s: Annotated[float, typer.Option("--rate", min=1, help="Requests per second of the open loop.")] = 1000,
    reads: Annotated[int, typer.Option(min=1, help="Requests of each kind that reads.")] = 200,
    api_processes: Annotated[
        int | None, typer.Option(min=1, help="Number of API processes.", show_default="the setting")
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(help="Draw the curves into this SVG file (extra bench).", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure a database that grows, beside an empty one: payments at saturation, CPU, p99, and reads. A fill that was
    interrupted is resumed."""
    if picture is not None:
        drawing()  # before hours of work
    settings = bench_settings(data_dir)
    if api_processes is not None:
        settings = replace(settings, api_processes=api_processes)
    plan = GrowthPlan(
        sizes=payments,
        rounds=rounds,
        duration_s=duration_s,
        warm_up_s=warm_up_s,
        connections=connections,
        rate_per_s=rate_per_s,
        reads=reads,
    )
    raise_descriptor_limit(settings)  # the load inherits it
    # Short: the path of a Unix socket is at most 107 bytes long.
    with tempfile.TemporaryDirectory(prefix="tsg-") as work, progress_bars() as progress:
        place, logs = data_dir or Path(work) / "d", Path(work)
        figures = measure_growth(settings, place, logs, plan, progress)
        with open_database(place) as database:
            machine = asyncio.run(describe_machine(database.app_url))
    if picture is not None:
        subtitle = f"{machine.date}, {machine.cores} cores ({machine.cpu}), {machine.memory_gb} GB"
        subtitle += f", shared_buffers {figures.shared_buffers}"
        picture.write_text(draw_growth(figures, subtitle), encoding="utf-8")
    print_figures(BenchReport(benchmark="growth", machine=machine, targets=[], figures=figures), as_json=as_json)
    if figures.failed():
        raise typer.Exit(1)


def trace(
    data_dir: Annotated[
        Path | None,
        typer.Option(
            "--data-dir",
            help="Directory of a database that was filled; default: an empty one.",
            show_default=False,
        ),
    ] = None,
    names: Annotated[int, typer.Option(min=1, help="Names of each kind.")] = 200,
    as_json: AsJson = False,
) -> None:
    """Measure how long it takes to explain a payment, by each kind of name, on a new connection and on an open one.
    What a filled database lacks is made first: payments with refunds and disputes, as many as names of a kind."""
    settings = bench_settings(data_dir)
    # Short: the path of a Unix socket is at most 107 bytes long.
    with (
        open_database(data_dir) as database,
        tempfile.TemporaryDirectory(prefix="tsg-") as logs,
        progress_bars() as progress,
    ):
        machine = asyncio.run(describe_machine(database.app_url))
        figures = measure_trace(settings, database, Path(logs), names, random.Random(), progress)
    report = BenchReport(benchmark="trace", machine=machine, targets=figures.judged(), figures=figures)
    print_figures(report, as_json=as_json)
    if figures.judged()[1].holds is False:
        raise typer.Exit(1)


def reconciliation(
    data_dir: FilledDir = None,
    rows: Annotated[int, typer.Option(min=1, help="Rows of payments, in three files.")] = 1_000_000,
    payments: Annotated[
        int | None,
        typer.Option(min=1, help="Payments that the record has at least.", show_default="a tenth more than rows"),
    ] = None,
    exception_every: Annotated[
        int | None, typer.Option(min=1, help="One row of so many is an exception.", show_default="1000")
    ] = None,
    entries: Annotated[int, typer.Option(min=0, help="Instead of rows: entries of one camt.053 statement.")] = 0,
    tell: Annotated[bool, typer.Option("--tell", help="Tell merchants of their rows as well, afterwards.")] = False,
    as_json: AsJson = False,
) -> None:
    """Measure a provider's files beside a filled record: imported, matched, posted and evidenced, beside COPY and one
    join. Rows in have to be rows of evidence out; else there is no report. What the record lacks is filled in first."""
    settings = bench_settings(data_dir)
    # Short: the path of a Unix socket is at most 107 bytes long.
    with (
        open_database(data_dir) as database,
        tempfile.TemporaryDirectory(prefix="tsg-") as work,
        progress_bars() as progress,
    ):
        machine = asyncio.run(describe_machine(database.app_url))
        fill_database(database.owner_url, database.app_url, payments or (0 if entries else rows) * 11 // 10, progress)
        load = Load(rows=rows, exception_every=exception_every, entries=entries, tells=tell)
        figures = measure_reconciliation(settings, database, Path(work), load, progress)
    report = BenchReport(benchmark="reconciliation", machine=machine, targets=figures.judged(), figures=figures)
    print_figures(report, as_json=as_json)


def sealing(
    data_dir: FilledDir = None,
    payments: Annotated[int, typer.Option(min=1, help="Payments that the record has at least.")] = 1_000_000,
    rounds: Rounds = 3,
    beside_rate: Annotated[
        float | None,
        typer.Option(
            "--beside-rate",
            min=1,
            help="Instead: payments over HTTP at this rate, with sealing and without, in turns.",
            show_default=False,
        ),
    ] = None,
    duration_s: Annotated[float, typer.Option("--duration", min=1, help="Measured seconds of each such turn.")] = 30,
    as_json: AsJson = False,
) -> None:
    """Measure how quickly a record that nobody has sealed is sealed and verified, with CPU, log and memory. What the
    record lacks is filled in first; what was sealed in it is removed before each round. With --beside-rate: what
    sealing costs the payments beside it."""
    settings = bench_settings(data_dir)
    if beside_rate is not None:
        plan = BesidePlan(rounds=rounds, rate_per_s=beside_rate, duration_s=duration_s, warm_up_s=WARM_UP_S)
        _beside(settings, data_dir, plan, as_json=as_json)
        return
    with open_database(data_dir) as database, progress_bars() as progress:
        machine = asyncio.run(describe_machine(database.app_url))
        require_own_record(database.owner_url)
        fill_database(database.owner_url, database.app_url, payments, progress)
        figures = measure_sealing(settings, database, rounds, progress)
    report = BenchReport(benchmark="sealing", machine=machine, targets=figures.judged(), figures=figures)
    print_figures(report, as_json=as_json)


def _beside(settings: Settings, data_dir: Path | None, plan: BesidePlan, *, as_json: bool) -> None:
    raise_descriptor_limit(settings)  # the load inherits it
    with open_database(data_dir) as database, tempfile.TemporaryDirectory() as logs, progress_bars() as progress:
        machine = asyncio.run(describe_machine(database.app_url))
        require_own_record(database.owner_url)
        figures = measure_beside(settings, database, Path(logs), plan, progress)
    report = BenchReport(benchmark="sealing beside", machine=machine, targets=figures.judged(), figures=figures)
    print_figures(report, as_json=as_json)
    if figures.failed():
        raise typer.Exit(1)


def fill(
    data_dir: Annotated[
        Path | None,
        typer.Option(
            "--data-dir",
            help="Directory of the database to fill, unless TALLYSTICK_DATABASE_URL names one.",
            show_default=False,
        ),
    ] = None,
    into: Into = None,
    payments: Annotated[int, typer.Option(min=1, help="Number of final payments in the end.")] = 5_000_000,
    as_json: AsJson = False,
) -> None:
    """Fill a database with final payments, about 7 kB each. After an interruption it resumes."""
    own = own_database(bench_settings(data_dir), into)
    if own is None and data_dir is None:
        raise typer.BadParameter("a directory, or a database in TALLYSTICK_DATABASE_URL", param_hint="--data-dir")
    with open_database(data_dir, own) as database, progress_bars() as progress:
        machine = asyncio.run(describe_machine(database.app_url))
        figures = fill_database(database.owner_url, database.app_url, payments, progress)
    print_figures(BenchReport(benchmark="fill", machine=machine, targets=[], figures=figures), as_json=as_json)
