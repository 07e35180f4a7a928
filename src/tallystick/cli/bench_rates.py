"""``tallystick bench``: how much a second, beside its ceiling: payments, commits, webhooks, connectors."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final

import typer
import uvloop

from tallystick.cli.bench_options import (
    AsJson,
    DataDir,
    Latency,
    Rounds,
    bench_settings,
    latency_of,
    print_figures,
    progress_bars,
)
from tallystick.cli.context import Into
from tallystick.lab.bench import targets
from tallystick.lab.bench.commits import JournalFigures, measure_journal
from tallystick.lab.bench.machine import describe_machine
from tallystick.lab.bench.over_http import (
    HttpFigures,
    Plan,
    measure_http,
    saturating_connections,
)
from tallystick.lab.bench.provider_latency import DEFAULT
from tallystick.lab.bench.providers import CONNECTORS, ProvidersPlan, measure_providers
from tallystick.lab.bench.report import BenchReport
from tallystick.lab.bench.stage import Database, open_database
from tallystick.lab.bench.targets import Judged, judge
from tallystick.lab.bench.webhooks import WebhookPlan, measure_webhooks
from tallystick.lab.own_database import own_database
from tallystick.run.doctor.machine import raise_descriptor_limit
from tallystick.settings.load import Settings

PROMPT_PROVIDER: Final = DEFAULT.text()

#: Half of the answers within 0.4 s, and one of a hundred after 3 s: a card network on a bad day.
SLOW_PROVIDER: Final = "lognormal:400,3000"

#: From a quiet hour to more than half of what two cores carry.
RATES_PER_S: Final = [100.0, 300.0, 1_000.0, 2_500.0]

#: As many as a large provider keeps to one endpoint.
WEBHOOK_CONNECTIONS: Final = 64


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
    settings = bench_settings(data_dir)
    own = own_database(settings, into)
    if api_processes is not None:
        settings = replace(settings, api_processes=api_processes)
    latency = latency_of(provider_latency)
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
    print_figures(
        BenchReport(benchmark="payments", machine=machine, targets=_http_targets(figures), figures=figures),
        as_json=as_json,
    )
    if figures.failed():
        raise typer.Exit(1)


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
    settings = bench_settings(data_dir)
    with open_database(data_dir, own_database(settings, into)) as database, progress_bars() as progress:
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
    print_figures(
        BenchReport(benchmark="journal", machine=machine, targets=_journal_targets(figures), figures=figures),
        as_json=as_json,
    )


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
    settings = bench_settings(data_dir)
    plan = WebhookPlan(rounds=rounds, deliveries=deliveries, connections=connections)
    own = own_database(settings, into)
    with open_database(data_dir, own) as database, tempfile.TemporaryDirectory() as work, progress_bars() as progress:
        machine = asyncio.run(describe_machine(database.app_url))
        figures = measure_webhooks(settings, database, Path(work), plan, progress)
    judged = [
        judge(targets.INTAKE_PER_S, figures.intake_per_s),
        judge(targets.INTAKE_P99_MS, figures.intake_latency.p99_ms),
        judge(targets.DRAIN_PER_S, figures.drain_per_s),
    ]
    print_figures(BenchReport(benchmark="webhooks", machine=machine, targets=judged, figures=figures), as_json=as_json)
    if figures.failures:
        raise typer.Exit(1)


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
    settings = bench_settings(data_dir)
    raise_descriptor_limit(settings)  # the load and the stand inherit it
    plan = ProvidersPlan(
        providers=names,
        rate_per_s=rate_per_s,
        duration_s=duration_s,
        carried_s=carried_s,
        warm_up_s=warm_up_s,
        stand=latency_of(provider_latency),
    )
    with open_database(data_dir) as database, tempfile.TemporaryDirectory() as logs, progress_bars() as progress:
        machine = asyncio.run(describe_machine(database.app_url))
        figures = measure_providers(settings, database, Path(logs), plan, progress)
    print_figures(BenchReport(benchmark="providers", machine=machine, targets=[], figures=figures), as_json=as_json)
    if figures.failed():
        raise typer.Exit(1)


def _over_http(settings: Settings, databases: dict[str, Database], logs: Path, plan: Plan) -> HttpFigures:
    with progress_bars() as progress:
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
