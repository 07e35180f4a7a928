"""``tallystick bench before-after``: a checkout of this project beside earlier ones."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer
from msgspec import Struct
from rich.console import Console
from rich.table import Table

from tallystick.cli.bars import Bars
from tallystick.lab.bench.before_after.checkouts import Checkout, checkouts
from tallystick.lab.bench.before_after.loads import measure_rates, measure_saturation
from tallystick.lab.bench.before_after.measure import (
    Compared,
    Found,
    measure_counts,
    measure_idle,
    measure_stages,
    measure_webhooks,
)
from tallystick.run.doctor.machine import raise_descriptor_limit
from tallystick.settings.load import Settings


class Part(StrEnum):
    """What can be compared."""

    COUNTS = "counts"
    STAGES = "stages"
    IDLE = "idle"
    SATURATION = "saturation"
    RATES = "rates"
    WEBHOOKS = "webhooks"


EVERY_PART: Final = list(Part)

TITLES: Final = {
    Part.COUNTS: "Counts of a payment, in batches of 50",
    Part.STAGES: "CPU of a payment by stage, in process",
    Part.IDLE: "Single commits on an idle system; CPU and counts of a payment",
    Part.SATURATION: "HTTP at saturation",
    Part.RATES: "HTTP at given rates",
    Part.WEBHOOKS: "Webhooks",
}

#: The quartiles of seven are values that were measured, and one disturbed round moves none of them.
ROUNDS: Final = 7

#: Counts hardly differ, and a process of CPU by stage takes half a second.
OWN_ROUNDS: Final = {Part.COUNTS: 2, Part.STAGES: 15}

#: At 1,000/s batches are small, and at 2,500/s a payment waits for others.
RATES_PER_S: Final = [1_000.0, 2_500.0]

#: Ten turns of 200 payments a round: a turn is short beside the minutes in which a machine's other load changes.
STAGE_TURNS: Final = 10
STAGE_PAYMENTS: Final = 200

#: Fits the longest name and six figures.
TABLE_COLUMNS: Final = 150


class Comparison(Struct, frozen=True, kw_only=True):
    """One earlier checkout beside this one: figures by part."""

    before: str
    after: str
    parts: dict[str, list[Compared]]


class BeforeAfter(Struct, frozen=True, kw_only=True):
    """All that was compared. ``load``: load averages over 1, 5 and 15 minutes, at the end."""

    cores: int
    api_processes: int
    load: tuple[float, float, float]
    comparisons: list[Comparison]
    notes: list[str]
    failed: int


def before_after(
    before: Annotated[
        list[str] | None, typer.Option(help="A git ref; may be given again.", show_default="the last release")
    ] = None,
    after: Annotated[str, typer.Option(help="A git ref.")] = "HEAD",
    part: Annotated[list[Part], typer.Option(help="What to compare; may be given again.")] = EVERY_PART,
    rounds: Annotated[
        int | None, typer.Option(min=1, help="Rounds of each part.", show_default="counts 2, stages 15, others 7")
    ] = None,
    count_payments: Annotated[int, typer.Option(min=50, help="Counts: payments a round and side.")] = 5_000,
    idle_commits: Annotated[int, typer.Option(min=50, help="Idle: commits a round and side.")] = 1_000,
    duration_s: Annotated[
        float, typer.Option("--duration", min=1, help="Saturation and rates: measured seconds of a run.")
    ] = 8,
    connections: Annotated[int, typer.Option(min=1, help="Saturation: clients.")] = 400,
    rates_per_s: Annotated[
        list[float], typer.Option("--rate", min=1, help="Rates: requests per second; may be given again.")
    ] = RATES_PER_S,
    api_processes: Annotated[
        int, typer.Option(min=1, help="Saturation, rates and webhooks: API processes of a side.")
    ] = 2,
    deliveries: Annotated[int, typer.Option(min=100, help="Webhooks: deliveries in a burst.")] = 10_000,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on standard output.")] = False,
) -> None:
    """Compare what a payment costs in two or more checkouts, which run in turns: counts, CPU by stage, single commits,
    HTTP at saturation and at given rates, and webhooks. Each part alone takes a few minutes."""
    settings = {"TALLYSTICK_API_PROCESSES": str(api_processes)}
    raise_descriptor_limit(Settings())  # the load inherits it

    def rounds_of(each: Part) -> int:
        return rounds or OWN_ROUNDS.get(each, ROUNDS)

    def measured(sides: Sequence[Checkout], steps: Bars) -> dict[Part, Callable[[int], Found]]:
        return {
            Part.COUNTS: lambda n: measure_counts(sides, n, count_payments, steps),
            Part.STAGES: lambda n: measure_stages(sides, n, STAGE_TURNS, STAGE_PAYMENTS, steps),
            Part.IDLE: lambda n: measure_idle(sides, n, idle_commits, steps),
            Part.SATURATION: lambda n: measure_saturation(sides, n, duration_s, connections, settings, steps),
            Part.RATES: lambda n: measure_rates(sides, n, duration_s, rates_per_s, settings, steps),
            Part.WEBHOOKS: lambda n: measure_webhooks(sides, n, deliveries, settings, steps),
        }

    with checkouts(Path.cwd(), before or [], after) as sides, Bars(Console(stderr=True)) as steps:
        found = {each: work(rounds_of(each)) for each, work in measured(sides, steps).items() if each in part}
        report = BeforeAfter(
            cores=os.cpu_count() or 1,
            api_processes=api_processes,
            load=os.getloadavg(),
            comparisons=[
                Comparison(
                    before=checkout.commit,
                    after=sides[-1].commit,
                    parts={each.value: parts.beside(side) for each, parts in found.items()},
                )
                for side, checkout in enumerate(sides[:-1])
            ],
            notes=[note for parts in found.values() for note in parts.notes],
            failed=sum(parts.failed for parts in found.values()),
        )
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(report)).decode())
    else:
        _print(report)
    if report.failed:
        raise typer.Exit(1)


def _print(report: BeforeAfter) -> None:
    console = Console()
    if not console.is_terminal:
        console = Console(width=TABLE_COLUMNS)
    for comparison in report.comparisons:
        for part, lines in comparison.parts.items():
            console.print(_table(TITLES[Part(part)], comparison, lines))
    for note in report.notes:
        console.print(note, highlight=False)
    load = ", ".join(f"{each:.1f}" for each in report.load)
    console.print(
        f"{report.cores} cores, {report.api_processes} API process(es), {report.failed} requests failed, "
        f"load averages at the end {load}",
        highlight=False,
    )


def _table(title: str, comparison: Comparison, lines: Sequence[Compared]) -> Table:
    table = Table(
        title=f"{title}: {lines[0].pairs} pairs",
        caption="medians and quartiles; the ratio is the median of the pairs' own",
    )
    table.add_column("")
    for name in (comparison.before, "quartiles", comparison.after, "quartiles", "ratio", "quartiles"):
        table.add_column(name, justify="right")
    for line in lines:
        table.add_row(
            f"{line.name}, {line.unit}" if line.unit else line.name,
            f"{line.before:,.2f}",
            f"{line.before_low:,.2f}-{line.before_high:,.2f}",
            f"{line.after:,.2f}",
            f"{line.after_low:,.2f}-{line.after_high:,.2f}",
            f"{line.ratio:.3f}",
            f"{line.ratio_low:.3f}-{line.ratio_high:.3f}",
        )
    return table
