"""``tallystick bench``: the figures of docs/performance.md, each beside its ceiling in the same run."""

from __future__ import annotations

import asyncio
import os
import random
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final

import typer
import uvloop
from rich.console import Console

from tallystick.cli.bars import Bars
from tallystick.cli.before_after import before_after
from tallystick.cli.context import Into, require_one_database
from tallystick.kit.logs import configure_logging
from tallystick.lab.bench import targets
from tallystick.lab.bench.commits import JournalFigures, measure_journal
from tallystick.lab.bench.fill import fill as fill_database
from tallystick.lab.bench.growth import GrowthPlan, measure_growth
from tallystick.lab.bench.machine import describe_machine
from tallystick.lab.bench.over_http import (
    SATURATING_CONNECTIONS,
    HttpFigures,
    Plan,
    measure_http,
    saturating_connections,
)
from tallystick.lab.bench.picture import draw_growth, drawing
from tallystick.lab.bench.provider_latency import DEFAULT, MalformedLatency, ProviderLatency, parse_latency
from tallystick.lab.bench.providers import CONNECTORS, ProvidersPlan, measure_providers
from tallystick.lab.bench.reconciliation import Load, measure_reconciliation
from tallystick.lab.bench.report import BenchReport, print_report
from tallystick.lab.bench.sealing import measure_sealing, require_own_record
from tallystick.lab.bench.sealing_beside import BesidePlan, measure_beside
from tallystick.lab.bench.soak import SoakPlan, measure_soak
from tallystick.lab.bench.stage import Database, open_database
from tallystick.lab.bench.targets import Judged, judge
from tallystick.lab.bench.trace import measure_trace
from tallystick.lab.bench.webhooks import WebhookPlan, measure_webhooks
from tallystick.lab.own_database import own_database
from tallystick.providers.registry import CONNECTOR_SETTINGS
from tallystick.providers.simulator.setup import SimulatorSettings
from tallystick.run.doctor.machine import raise_descriptor_limit
from tallystick.settings.load import Settings, load_settings, secret_names

app: Final = typer.Typer(help="Measure the platform beside its ceilings.", no_args_is_help=True)

DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        help="Measure on the database in this directory; default: an empty one, or that of TALLYSTICK_DATABASE_URL.",
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

PROMPT_PROVIDER: Final = DEFAULT.text()

#: Half of the answers within 0.4 s, and one of a hundred after 3 s: a card network on a bad day.
SLOW_PROVIDER: Final = "lognormal:400,3000"

#: From a quiet hour to more than half of what two cores carry.
RATES_PER_S: Final = [100.0, 300.0, 1_000.0, 2_500.0]

#: Empty, larger than the shared buffers, and larger than the memory of a small machine.
GROWTH_SIZES: Final = [0, 1_000_000, 5_000_000]

#: As many as a large provider keeps to one endpoint.
WEBHOOK_CONNECTIONS: Final = 64

#: Unmeasured seconds before each load beside a sealer.
WARM_UP_S: Final = 5

#: Fits the widest table.
TABLE_COLUMNS: Final = 130


@app.command()
def payments(
    data_dir: DataDir = None,
    into: Into = None,
    compare_filled: Annotated[
        bool, typer.Option("--compare-filled", help="Also measure on an empty database, and compare.")
    ] = False,
    rounds: Rounds = 3,
    duration_s: Annotated[float, typer.Option("--duration", min=1, help="Measured seconds for each load.")] = 10,
    warm_up_s: Annotated[float, typer.Option("--warm-up", min=0, help="Unmeasured seconds before each load.")] = 3,
    connections: Annotated[
        list[int] | None,
        typer.Option(
            min=1,
            help="Number of clients of a closed loop; may be given again.",
            show_default="128 and 400, and more beside a slow provider",
        ),
    ] = None,
    rates_per_s: Annotated[
        list[float], typer.Option("--rate", min=1, help="Requests per second of an open loop; may be given again.")
    ] = RATES_PER_S,
    provider_latency: Latency = PROMPT_PROVIDER,
    api_processes: Annotated[
        int | None, typer.Option(min=1, help="Number of API processes.", show_default="the setting")
    ] = None,
    ceiling_payments: Annotated[
        int, typer.Option(min=200, help="Payments played back for the database ceiling.")
    ] = 10_000,
    as_json: AsJson = False,
) -> None:
    """Measure payments over HTTP with an in-process provider: at saturation and at given rates, with the CPU time of a
    payment, beside a no-op POST and the database ceiling. A rate that the machine does not carry is marked."""
    if compare_filled and data_dir is None:
        raise typer.BadParameter("needs --data-dir: the filled database", param_hint="--compare-filled")
    settings = _settings(data_dir)
    own = own_database(settings, into)
    if api_processes is not None:
        settings = replace(settings, api_processes=api_processes)
    latency = _latency(provider_latency)
    plan = Plan(
        rounds=rounds,
        duration_s=duration_s,
        warm_up_s=warm_up_s,
        connections=connections or saturating_connections(latency),
        rates_per_s=rates_per_s,
        ceiling_payments=ceiling_payments,
        provider=latency,
    )
    raise_descriptor_limit(settings)  # the load inherits it
    with open_database(None if compare_filled else data_dir, own) as database, tempfile.TemporaryDirectory() as logs:
        machine = asyncio.run(describe_machine(database.app_url))
        if compare_filled:
            with open_database(data_dir) as filled:
                figures = _over_http(settings, {"empty": database, "filled": filled}, Path(logs), plan)
        else:
            name = "empty" if data_dir is None and own is None else "given"
            figures = _over_http(settings, {name: database}, Path(logs), plan)
    _print(
        BenchReport(benchmark="payments", machine=machine, targets=_http_targets(figures), figures=figures),
        as_json=as_json,
    )
    if figures.failed():
        raise typer.Exit(1)


@app.command()
def journal(
    data_dir: DataDir = None,
    into: Into = None,
    rounds: Rounds = 5,
    payments: Annotated[int, typer.Option(min=200, help="Payments per round; each is two commits.")] = 10_000,
    flows: Annotated[int, typer.Option(min=1, help="Payments in flight at once.")] = 400,
    idle_payments: Annotated[int, typer.Option("--idle", min=1, help="Payments measured one commit at a time.")] = 200,
    as_json: AsJson = False,
) -> None:
    """Measure the journal alone: both commits of a payment, beside the same batches without application code."""
    settings = _settings(data_dir)
    with open_database(data_dir, own_database(settings, into)) as database, _progress() as progress:
        machine = asyncio.run(describe_machine(database.app_url))
        figures = uvloop.run(
            measure_journal(
                settings,
                database.app_url,
                rounds=rounds,
                payments=payments,
                flows=flows,
                idle=idle_payments,
                announce=progress,
            )
        )
    _print(
        BenchReport(benchmark="journal", machine=machine, targets=_journal_targets(figures), figures=figures),
        as_json=as_json,
    )


@app.command()
def webhooks(
    data_dir: DataDir = None,
    into: Into = None,
    rounds: Rounds = 3,
    deliveries: Annotated[int, typer.Option(min=100, help="Number of deliveries in a burst.")] = 10_000,
    connections: Annotated[
        int, typer.Option(min=1, help="Number of connections of the provider.")
    ] = WEBHOOK_CONNECTIONS,
    as_json: AsJson = False,
) -> None:
    """Measure a burst of webhooks without a worker, then a worker that drains it, each beside its ceiling."""
    settings = _settings(data_dir)
    plan = WebhookPlan(rounds=rounds, deliveries=deliveries, connections=connections)
    own = own_database(settings, into)
    with open_database(data_dir, own) as database, tempfile.TemporaryDirectory() as work, _progress() as progress:
        machine = asyncio.run(describe_machine(database.app_url))
        figures = measure_webhooks(settings, database, Path(work), plan, progress)
    judged = [
        judge(targets.INTAKE_PER_S, figures.intake_per_s),
        judge(targets.INTAKE_P99_MS, figures.intake_latency.p99_ms),
        judge(targets.DRAIN_PER_S, figures.drain_per_s),
    ]
    _print(BenchReport(benchmark="webhooks", machine=machine, targets=judged, figures=figures), as_json=as_json)
    if figures.failures:
        raise typer.Exit(1)


@app.command()
def providers(
    data_dir: DataDir = None,
    provider: Annotated[
        list[str] | None, typer.Option(help="A connector to measure; may be given again.", show_default="all")
    ] = None,
    rate_per_s: Annotated[float, typer.Option("--rate", min=1, help="Payments per second.")] = 1000,
    duration_s: Annotated[float, typer.Option("--duration", min=1, help="Measured seconds for each connector.")] = 120,
    provider_latency: Latency = SLOW_PROVIDER,
    carried_s: Annotated[
        float, typer.Option("--carried", min=1, help="Seconds for measuring the highest rate of this machine.")
    ] = 10,
    warm_up_s: Annotated[float, typer.Option("--warm-up", min=0, help="Unmeasured seconds before that.")] = 3,
    as_json: AsJson = False,
) -> None:
    """Measure each connector beside a slow provider, at the rate, or at 0.8 of the highest rate of this machine where
    that is less. Every payment has to be sent, and answered 201 or 202."""
    names = provider or list(CONNECTORS)
    if unknown := [name for name in names if name not in CONNECTORS]:
        raise typer.BadParameter(f"{unknown[0]} is not one of {', '.join(CONNECTORS)}", param_hint="--provider")
    settings = _settings(data_dir)
    raise_descriptor_limit(settings)  # the load and the stand inherit it
    plan = ProvidersPlan(
        providers=names,
        rate_per_s=rate_per_s,
        duration_s=duration_s,
        carried_s=carried_s,
        warm_up_s=warm_up_s,
        stand=_latency(provider_latency),
    )
    with open_database(data_dir) as database, tempfile.TemporaryDirectory() as logs, _progress() as progress:
        machine = asyncio.run(describe_machine(database.app_url))
        figures = measure_providers(settings, database, Path(logs), plan, progress)
    _print(BenchReport(benchmark="providers", machine=machine, targets=[], figures=figures), as_json=as_json)
    if figures.failed():
        raise typer.Exit(1)


@app.command()
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
    settings = _settings(data_dir)
    if api_processes is not None:
        settings = replace(settings, api_processes=api_processes)
    plan = SoakPlan(warm_up_requests=warm_up_requests, requests=requests, connections=connections)
    with open_database(data_dir) as database, tempfile.TemporaryDirectory() as logs, _progress() as progress:
        machine = asyncio.run(describe_machine(database.app_url))
        figures = measure_soak(settings, database, Path(logs), plan, progress)
    _print(BenchReport(benchmark="soak", machine=machine, targets=[], figures=figures), as_json=as_json)
    if not figures.holds():
        raise typer.Exit(1)


@app.command()
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
    settings = _settings(data_dir)
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
    with tempfile.TemporaryDirectory(prefix="tsg-") as work, _progress() as progress:
        place, logs = data_dir or Path(work) / "d", Path(work)
        figures = measure_growth(settings, place, logs, plan, progress)
        with open_database(place) as database:
            machine = asyncio.run(describe_machine(database.app_url))
    if picture is not None:
        subtitle = f"{machine.date}, {machine.cores} cores ({machine.cpu}), {machine.memory_gb} GB"
        subtitle += f", shared_buffers {figures.shared_buffers}"
        picture.write_text(draw_growth(figures, subtitle), encoding="utf-8")
    _print(BenchReport(benchmark="growth", machine=machine, targets=[], figures=figures), as_json=as_json)
    if figures.failed():
        raise typer.Exit(1)


@app.command()
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
    settings = _settings(data_dir)
    # Short: the path of a Unix socket is at most 107 bytes long.
    with (
        open_database(data_dir) as database,
        tempfile.TemporaryDirectory(prefix="tsg-") as logs,
        _progress() as progress,
    ):
        machine = asyncio.run(describe_machine(database.app_url))
        figures = measure_trace(settings, database, Path(logs), names, random.Random(), progress)
    report = BenchReport(benchmark="trace", machine=machine, targets=figures.judged(), figures=figures)
    _print(report, as_json=as_json)
    if figures.judged()[1].holds is False:
        raise typer.Exit(1)


@app.command()
def reconciliation(
    data_dir: Annotated[
        Path | None,
        typer.Option(
            "--data-dir",
            help="Directory of a database that was filled; default: an empty one, which is filled.",
            show_default=False,
        ),
    ] = None,
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
    settings = _settings(data_dir)
    # Short: the path of a Unix socket is at most 107 bytes long.
    with (
        open_database(data_dir) as database,
        tempfile.TemporaryDirectory(prefix="tsg-") as work,
        _progress() as progress,
    ):
        machine = asyncio.run(describe_machine(database.app_url))
        fill_database(database.owner_url, database.app_url, payments or (0 if entries else rows) * 11 // 10, progress)
        load = Load(rows=rows, exception_every=exception_every, entries=entries, tells=tell)
        figures = measure_reconciliation(settings, database, Path(work), load, progress)
    report = BenchReport(benchmark="reconciliation", machine=machine, targets=figures.judged(), figures=figures)
    _print(report, as_json=as_json)


@app.command()
def sealing(
    data_dir: Annotated[
        Path | None,
        typer.Option(
            "--data-dir",
            help="Directory of a database that was filled; default: an empty one, which is filled.",
            show_default=False,
        ),
    ] = None,
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
    settings = _settings(data_dir)
    if beside_rate is not None:
        plan = BesidePlan(rounds=rounds, rate_per_s=beside_rate, duration_s=duration_s, warm_up_s=WARM_UP_S)
        _beside(settings, data_dir, plan, as_json=as_json)
        return
    with open_database(data_dir) as database, _progress() as progress:
        machine = asyncio.run(describe_machine(database.app_url))
        require_own_record(database.owner_url)
        fill_database(database.owner_url, database.app_url, payments, progress)
        figures = measure_sealing(settings, database, rounds, progress)
    report = BenchReport(benchmark="sealing", machine=machine, targets=figures.judged(), figures=figures)
    _print(report, as_json=as_json)


def _beside(settings: Settings, data_dir: Path | None, plan: BesidePlan, *, as_json: bool) -> None:
    raise_descriptor_limit(settings)  # the load inherits it
    with open_database(data_dir) as database, tempfile.TemporaryDirectory() as logs, _progress() as progress:
        machine = asyncio.run(describe_machine(database.app_url))
        require_own_record(database.owner_url)
        figures = measure_beside(settings, database, Path(logs), plan, progress)
    report = BenchReport(benchmark="sealing beside", machine=machine, targets=figures.judged(), figures=figures)
    _print(report, as_json=as_json)
    if figures.failed():
        raise typer.Exit(1)


@app.command()
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
    own = own_database(_settings(data_dir), into)
    if own is None and data_dir is None:
        raise typer.BadParameter("a directory, or a database in TALLYSTICK_DATABASE_URL", param_hint="--data-dir")
    with open_database(data_dir, own) as database, _progress() as progress:
        machine = asyncio.run(describe_machine(database.app_url))
        figures = fill_database(database.owner_url, database.app_url, payments, progress)
    _print(BenchReport(benchmark="fill", machine=machine, targets=[], figures=figures), as_json=as_json)


app.command("before-after")(before_after)


def _settings(data_dir: Path | None) -> Settings:
    """The environment's settings: a benchmark measures what would run, but for real providers, whose keys it lets go
    of, and the test acquirer, which it switches on. Raises SettingsError."""
    require_one_database(data_dir)
    settings = load_settings(os.environ, CONNECTOR_SETTINGS)
    own = tuple(each for each in settings.connectors if isinstance(each, SimulatorSettings))
    settings = replace(settings, connectors=own, simulator="on")
    configure_logging("error", secret_names(CONNECTOR_SETTINGS))  # of this process; the servers' logs are as set
    return settings


def _latency(text: str) -> ProviderLatency:
    """As it was given. Raises BadParameter."""
    try:
        return parse_latency(text)
    except MalformedLatency as error:
        raise typer.BadParameter(str(error), param_hint="--provider-latency") from error


def _progress() -> Bars:
    """On standard error: standard output is for the figures."""
    return Bars(Console(stderr=True))


def _over_http(settings: Settings, databases: dict[str, Database], logs: Path, plan: Plan) -> HttpFigures:
    with _progress() as progress:
        return measure_http(settings, databases, logs, plan, progress)


def _journal_targets(figures: JournalFigures) -> list[Judged]:
    return [judge(targets.JOURNAL_SHARE, figures.ratio), judge(targets.JOURNAL_ADDS_MS, figures.idle.adds_ms)]


def _http_targets(figures: HttpFigures) -> list[Judged]:
    judged = [
        judge(targets.SATURATION_PER_S, figures.saturation_per_s),
        judge(targets.NOOP_SHARE, figures.of_noop),
    ]
    p99_ms = figures.p99_ms_at(targets.OPEN_LOOP_RATE_PER_S)
    if p99_ms is not None:
        judged.append(judge(targets.OPEN_LOOP_P99_MS, p99_ms))
    if figures.filled_of_empty is not None:
        judged.append(judge(targets.FILLED_SHARE, figures.filled_of_empty))
    return judged


def _print(report: BenchReport, *, as_json: bool) -> None:
    if as_json:
        typer.echo(report.json())
    else:
        console = Console()
        if not console.is_terminal:
            console = Console(width=TABLE_COLUMNS)  # a file has no width of its own
        print_report(console, report)
