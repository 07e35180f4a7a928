"""Results of benchmarks, as tables for people and as JSON for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, assert_never

import msgspec
from msgspec import Struct
from rich.console import Console
from rich.table import Table

from tallystick.lab.bench.commits import JournalFigures
from tallystick.lab.bench.fill import Filled
from tallystick.lab.bench.growth import GrowthFigures
from tallystick.lab.bench.latency import Latency
from tallystick.lab.bench.machine import MachineInfo
from tallystick.lab.bench.over_http import HttpFigures
from tallystick.lab.bench.providers import ProvidersFigures
from tallystick.lab.bench.reconciliation import ReconciliationFigures
from tallystick.lab.bench.sealing import SealingFigures
from tallystick.lab.bench.sealing_beside import BesideFigures
from tallystick.lab.bench.soak import GROWTH_LIMIT, SoakFigures
from tallystick.lab.bench.targets import Judged
from tallystick.lab.bench.trace import TraceFigures
from tallystick.lab.bench.webhooks import WebhookFigures


class BenchReport(Struct, frozen=True, kw_only=True):
    """One run of one benchmark."""

    benchmark: str
    machine: MachineInfo
    targets: list[Judged]
    figures: (
        JournalFigures
        | HttpFigures
        | WebhookFigures
        | ProvidersFigures
        | SoakFigures
        | GrowthFigures
        | TraceFigures
        | ReconciliationFigures
        | SealingFigures
        | BesideFigures
        | Filled
    )

    def json(self) -> str:
        """All of it."""
        return msgspec.json.format(msgspec.json.encode(self)).decode()


def print_report(console: Console, report: BenchReport) -> None:
    """Print the figures, then their targets, then the machine."""
    match report.figures:
        case JournalFigures():
            _print_journal(console, report.figures)
        case HttpFigures():
            _print_http(console, report.figures)
        case WebhookFigures():
            _print_webhooks(console, report.figures)
        case ProvidersFigures():
            _print_providers(console, report.figures)
        case SoakFigures():
            _print_soak(console, report.figures)
        case GrowthFigures():
            _print_growth(console, report.figures, report.machine)
        case TraceFigures():
            _print_trace(console, report.figures)
        case ReconciliationFigures():
            _print_reconciliation(console, report.figures)
        case SealingFigures():
            _print_sealing(console, report.figures)
        case BesideFigures():
            _print_beside(console, report.figures)
        case Filled() as filled:
            console.print(
                f"{filled.payments:,} payments filled in, {filled.present:,} present, {filled.elapsed_s:,.0f} s, "
                f"{filled.per_s:,.0f} payments/s, {filled.database_gb} GB",
                highlight=False,
            )
        case _:
            assert_never(report.figures)
    if report.targets:
        _print_targets(console, report.targets)
    machine = report.machine
    console.print(
        f"{machine.date}: {machine.cores} cores ({machine.cpu}), {machine.memory_gb} GB, {machine.system}, "
        f"Python {machine.python}, PostgreSQL {machine.postgresql}, fsync {machine.fsync}, "
        f"synchronous_commit {machine.synchronous_commit}",
        highlight=False,
    )


def _print_journal(console: Console, figures: JournalFigures) -> None:
    rate = Table(title=f"Journal: medians of {len(figures.rounds)} rounds of {figures.payments_per_round:,} payments")
    _columns(rate, "", "payments/s", "share of ceiling", "commit p50 ms", "p95", "p99")
    rate.add_row("database ceiling", f"{figures.ceiling_per_s:,.0f}", "1.00", "", "", "")
    door = f"journal, {figures.flows} flows"
    rate.add_row(door, f"{figures.door_per_s:,.0f}", f"{figures.ratio:.2f}", *_quantiles(figures.door_latency))
    deciding = [f"{figures.deciding_per_s:,.0f}", f"{figures.deciding_ratio:.2f}"]
    rate.add_row("journal, parsing and decisions", *deciding, "", "", "")
    console.print(rate)
    idle = Table(title="One commit at a time on an idle system")
    _columns(idle, "", "p50 ms", "p95", "p99")
    idle.add_row("journal", *_quantiles(figures.idle.journal))
    idle.add_row("the same statements directly", *_quantiles(figures.idle.direct))
    console.print(idle)


def _print_http(console: Console, figures: HttpFigures) -> None:
    plan = figures.plan
    table = Table(
        title=f"Payments over HTTP: medians of {plan.rounds} rounds of {plan.duration_s:g} s, "
        f"{figures.api_processes} API process(es)",
        caption=f"API and database: CPU a payment; others: cores. The provider takes {plan.provider.text()} ms.\n"
        "Not carried: the answers fell behind.",
    )
    _columns(table, "load", "database", "clients", "per s", "p50 ms", "p95", "p99", *_CPU_COLUMNS, "failed")
    for line in figures.lines:
        rate = line.kind.rate_per_s
        table.add_row(
            line.kind.what if rate is None else f"open loop, {rate:,.0f}/s",
            line.kind.database,
            f"{line.kind.connections:,}",
            f"{line.per_s:,.0f}",
            *_quantiles(line.latency),
            *_cpu(line.cpu_us, line.cpu_s["others"] / plan.duration_s),
            str(sum(line.failures.values())) if line.carried else "[yellow]not carried[/]",
        )
    for name, ceiling in figures.ceiling_per_s.items():
        table.add_row("database ceiling", name, "2", f"{ceiling:,.0f}", *[""] * (4 + len(_CPU_COLUMNS)))
    console.print(table)
    console.print(
        f"At saturation {figures.saturation_per_s:,.0f} payments/s: {figures.of_noop:.2f} of the no-op POST, "
        f"{figures.of_ceiling:.2f} of the database ceiling.",
        highlight=False,
    )


_CPU_COLUMNS: Final = ("API µs", "database µs", "others")


def _cpu(cpu_us: dict[str, float], others: float) -> tuple[str, str, str]:
    """A database on another machine has no CPU time here."""
    postgres = f"{cpu_us['postgres']:,.0f}" if "postgres" in cpu_us else ""
    return f"{cpu_us['api']:,.0f}", postgres, f"{others:.2f}"


def _print_webhooks(console: Console, figures: WebhookFigures) -> None:
    plan = figures.plan
    table = Table(
        title=f"Webhooks: medians of {plan.rounds} rounds of {plan.deliveries:,} deliveries, "
        f"{plan.connections} connections, {figures.events:,} events each"
    )
    _columns(table, "", "per s", "share of its ceiling", "p50 ms", "p95", "p99")
    table.add_row("no-op POST", f"{figures.noop_per_s:,.0f}", "1.00", *_quantiles(figures.noop_latency))
    intake = (f"{figures.intake_per_s:,.0f}", f"{figures.of_noop:.2f}", *_quantiles(figures.intake_latency))
    table.add_row("acknowledged, durable", *intake)
    table.add_row("database ceiling, effects", f"{figures.drain_ceiling_per_s:,.0f}", "1.00", "", "", "")
    table.add_row("drained by one worker", f"{figures.drain_per_s:,.0f}", f"{figures.of_ceiling:.2f}", "", "", "")
    console.print(table)


def _print_providers(console: Console, figures: ProvidersFigures) -> None:
    plan = figures.plan
    table = Table(
        title=f"Slow providers: {plan.duration_s:g} s each, {plan.stand.text()} ms, "
        f"{figures.api_processes} API process(es), {figures.connections:,} connections",
        caption="CPU in seconds of the measured time, by process tree. Rows: attempts by state.",
    )
    processes = list(figures.connectors[0].cpu_s)
    _columns(table, "connector", "carried/s", "rate/s", "p50 ms", "p95", "p99", *processes)
    for name in ("answers", "rows", "not sent"):
        table.add_column(name)
    for each in figures.connectors:
        table.add_row(
            each.provider,
            f"{each.carried_per_s:,.0f}",
            f"{each.rate_per_s:,.0f}",
            *_quantiles(each.latency),
            *(f"{each.cpu_s[name]:.1f}" for name in processes),
            *(_counts(kinds) for kinds in (each.answers, each.attempts, each.not_sent)),
        )
    console.print(table)


def _print_soak(console: Console, figures: SoakFigures) -> None:
    last = figures.samples[-1]
    table = Table(
        title=f"Private memory (RssAnon), {figures.api_processes} API process(es), {last.elapsed_s:,.0f} s",
        caption=f"It may grow by {GROWTH_LIMIT:.0%}. Failed requests: {_counts(figures.failures)}",
    )
    _columns(table, "", f"after {figures.warm.requests:,} MB", f"after {last.requests:,} MB", "growth", "")
    for name, growth in figures.growth.items():
        mark = "[green]holds[/]" if growth <= GROWTH_LIMIT else "[bold red]grows[/]"
        sizes = [f"{sample.bytes[name] / 1e6:,.1f}" for sample in (figures.warm, last)]
        table.add_row(name, *sizes, f"{growth:+.1%}", mark)
    console.print(table)


def _print_growth(console: Console, figures: GrowthFigures, machine: MachineInfo) -> None:
    plan = figures.plan
    title = f"{machine.memory_gb} GB of memory, shared_buffers {figures.shared_buffers}"
    loads = Table(title=f"Growth: {title}, {figures.api_processes} API process(es), {plan.rounds} rounds")
    at = f"at {plan.rate_per_s:,.0f}/s"
    _columns(loads, "payments", "GB", "per s", "of empty", "CPU µs", "of empty", f"p99 ms {at}", "of empty")
    reads = Table(title=f"Reads, p50 ms (p99), {plan.reads} of each kind, one after another")
    _columns(reads, "payments", *figures.points[0].filled.reads)
    for point in figures.points:
        cost, (rate, cpu, p99, *_) = point.filled, point.ratios().values()
        loads.add_row(
            f"{point.payments:,}",
            f"{point.database_gb:,.2f}",
            *(f"{cost.per_s:,.0f}", f"{rate:.2f}"),
            *(f"{cost.cpu_us:,.0f}", f"{cpu:.2f}"),
            *(f"{cost.p99_ms:,.1f}" if cost.carried else "not carried", f"{p99:.2f}"),
        )
        times = (f"{each.p50_ms:,.1f} ({each.p99_ms:,.1f})" for each in cost.reads.values())
        reads.add_row(f"{point.payments:,}", *times)
    console.print(loads)
    console.print(reads)


def _print_trace(console: Console, figures: TraceFigures) -> None:
    table = Table(
        title=f"Traces: {figures.payments:,} payments, {figures.database_gb:,.2f} GB",
        caption="Cold: on a new connection, which is in the time. Warm: on one that knows the statements.",
    )
    columns = ("cold p50 ms", "p95", "max", "warm p50 ms", "p95", "max")
    _columns(table, "by", "names", *columns, "round trips")
    for what, each in figures.kinds.items():
        times = (f"{ms:,.1f}" for of in (each.cold, each.warm) for ms in (of.p50_ms, of.p95_ms, of.max_ms))
        table.add_row(what, str(each.names), *times, str(each.round_trips))
    over_http = figures.over_http
    times = (f"{ms:,.1f}" for ms in (over_http.p50_ms, over_http.p95_ms, over_http.max_ms))
    table.add_row("payment, over HTTP", "", "", "", "", *times, "")
    console.print(table)


def _print_reconciliation(console: Console, figures: ReconciliationFigures) -> None:
    table = Table(
        title=f"Reconciliation: {figures.rows:,} rows in {figures.files} files ({figures.file_mb:,.0f} MB),"
        f" {figures.merchants} merchants, beside {figures.payments:,} payments ({figures.database_gb:,.2f} GB)",
        caption=f"{figures.rows:,} rows in, {figures.rows:,} rows of evidence out, {figures.exceptions:,} of them"
        f" exceptions. PostgreSQL's memory: its own, beside {figures.shared_buffers} of shared_buffers.",
    )
    _columns(table, "", "s", "rows/s", "share of ceiling", "CPU s", "most MB")
    ceiling = figures.ceiling_per_s
    copied = f"{figures.copy_s:,.1f} + {figures.join_s:,.1f}"
    if ceiling:
        table.add_row("database ceiling: COPY + one join", copied, f"{ceiling:,.0f}", "1.00", "", "")
    share = f"{figures.per_s / ceiling:.2f}" if ceiling else ""
    table.add_row("imported, matched, posted", f"{figures.elapsed_s:,.1f}", f"{figures.per_s:,.0f}", share, "", "")
    if figures.postgres_cpu_s is not None:
        table.add_row("PostgreSQL", "", "", "", f"{figures.postgres_cpu_s:,.1f}", f"{figures.postgres_mb:,.0f}")
    for name, each in (("importer", figures.importer), ("worker", figures.worker)):
        rate = f"{figures.rows / each.elapsed_s:,.0f}"
        table.add_row(name, f"{each.elapsed_s:,.1f}", rate, "", f"{each.cpu_s:,.1f}", f"{each.peak_mb:,.0f}")
    if figures.told:
        table.add_row(
            f"{figures.told:,} payments told, afterwards", f"{figures.told_s:,.1f}", f"{figures.told_per_s:,.0f}"
        )
    console.print(table)


def _print_sealing(console: Console, figures: SealingFigures) -> None:
    table = Table(
        title=f"Sealing: {figures.payments:,} payments, {figures.changes:,} changes ({figures.database_gb:,.2f} GB),"
        f" medians of {len(figures.rounds)} rounds",
        caption=f"A payment on disk: {figures.leaf_bytes:,.0f} bytes of leaves' rows, {figures.index_bytes:,.0f} of"
        f" their index, {figures.head_bytes:,.0f} of heads. {figures.full_pages:,.0f} whole pages in the log.",
    )
    _columns(table, "", "changes/s", "own CPU µs a payment", "database's CPU µs", "log bytes a payment", "most MB")
    for name, payments_per_s, own, postgres, log, most_mb in (
        ("sealed", None, figures.sealer_cpu_us, figures.postgres_cpu_us, figures.log_bytes, figures.sealer_mb),
        (
            "verified",
            figures.verified_per_s,
            figures.verifier_cpu_us,
            figures.verifier_postgres_cpu_us,
            None,
            figures.verifier_mb,
        ),
    ):
        per_s = figures.per_s if payments_per_s is None else payments_per_s * figures.changes / figures.payments
        values = ("" if value is None else f"{value:,.0f}" for value in (per_s, own, postgres, log, most_mb))
        table.add_row(name, *values)
    console.print(table)


def _print_beside(console: Console, figures: BesideFigures) -> None:
    table = Table(
        title=f"Payments at {figures.plan.rate_per_s:,.0f}/s with sealing and without, in turns",
        caption=f"p99 with sealing, of p99 without: {figures.ratio:.2f}"
        f" ({min(figures.ratios):.2f} to {max(figures.ratios):.2f}). The sealer's own CPU a payment:"
        f" {figures.sealer_cpu_us:,.0f} µs.",
    )
    _columns(table, "", "payments/s", "p50 ms", "p99 ms", "not sealed at the end", "failed")
    for name, turns in (("without", figures.unsealed), ("with sealing", figures.sealed)):
        for each in turns:
            behind = "" if each.behind is None else f"{each.behind:,}"
            failed = _counts(each.failures) if each.carried else "not carried"
            quantiles = f"{each.latency.p50_ms:,.1f}", f"{each.latency.p99_ms:,.1f}"
            table.add_row(name, f"{each.per_s:,.0f}", *quantiles, behind, failed)
    console.print(table)


def _counts(kinds: dict[str, int]) -> str:
    return ", ".join(f"{kind}: {number:,}" for kind, number in kinds.items()) or "0"


def _print_targets(console: Console, targets: Sequence[Judged]) -> None:
    table = Table(title="Targets (2 cores, everything on the machine)")
    for name in ("", "target"):
        table.add_column(name)
    for name in ("wanted", "measured"):
        table.add_column(name, justify="right")
    for each in targets:
        mark = "[green]holds[/]" if each.holds else "[bold red]missed[/]"
        sign = "≥" if each.at_least else "<"
        wanted = f"{sign} {each.bound:,g} {each.unit}"
        table.add_row(mark, each.name, wanted, f"{each.measured:,g}")
    console.print(table)


def _columns(table: Table, first: str, *others: Any) -> None:
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="right")


def _quantiles(found: Latency) -> tuple[str, str, str]:
    return f"{found.p50_ms:,.1f}", f"{found.p95_ms:,.1f}", f"{found.p99_ms:,.1f}"
