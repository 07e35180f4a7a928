"""``tallystick bench before-after``: a checkout of this project beside an earlier one."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer
from msgspec import Struct
from rich.console import Console
from rich.table import Table

from tallystick.cli.bars import Bars
from tallystick.lab.bench.before_after.checkouts import checkouts
from tallystick.lab.bench.before_after.measure import Compared, compare_counts, compare_http, compare_stages


class Part(StrEnum):
    """What can be compared."""

    COUNTS = "counts"
    STAGES = "stages"
    HTTP = "http"


EVERY_PART: Final = list(Part)

#: Fits the longest name.
TABLE_COLUMNS: Final = 110


class BeforeAfter(Struct, frozen=True, kw_only=True):
    """What was compared, and what came out. ``load``: load averages over 1, 5 and 15 minutes, at the end."""

    before: str
    after: str
    cores: int
    load: tuple[float, float, float]
    counts: list[Compared] = []
    stages: list[Compared] = []
    http: list[Compared] = []
    http_failed: int = 0


def before_after(
    before: Annotated[str | None, typer.Option(help="A git ref.", show_default="the last release")] = None,
    after: Annotated[str, typer.Option(help="A git ref.")] = "HEAD",
    part: Annotated[list[Part], typer.Option(help="What to compare.")] = EVERY_PART,
    count_rounds: Annotated[int, typer.Option(min=1, help="Counts: rounds; they hardly differ.")] = 2,
    count_payments: Annotated[int, typer.Option(min=50, help="Counts: payments a round and side.")] = 5_000,
    stage_rounds: Annotated[int, typer.Option(min=1, help="CPU by stage: pairs of new processes.")] = 15,
    pairs: Annotated[int, typer.Option(min=1, help="HTTP: pairs of runs.")] = 20,
    duration_s: Annotated[float, typer.Option("--duration", min=1, help="HTTP: measured seconds of a run.")] = 3,
    connections: Annotated[int, typer.Option(min=1, help="HTTP: clients.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on standard output.")] = False,
) -> None:
    """What a payment costs in two checkouts: counts, CPU by stage, and HTTP at saturation, side by side in turns."""
    with checkouts(Path.cwd(), before, after) as pair, Bars(Console(stderr=True)) as steps:
        parts: dict[str, Any] = {}
        if Part.COUNTS in part:
            parts["counts"] = compare_counts(pair, count_rounds, count_payments, steps)
        if Part.STAGES in part:
            parts["stages"] = compare_stages(pair, stage_rounds, STAGE_TURNS, STAGE_PAYMENTS, steps)
        if Part.HTTP in part:
            parts["http"], parts["http_failed"] = compare_http(pair, pairs, duration_s, connections, steps)
        found = BeforeAfter(
            before=pair[0].commit, after=pair[1].commit, cores=os.cpu_count() or 1, load=os.getloadavg(), **parts
        )
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(found)).decode())
    else:
        _print(found)
    if found.http_failed:
        raise typer.Exit(1)


#: Ten turns of 200 payments a round: a turn is short beside the minutes in which a machine's other load changes.
STAGE_TURNS: Final = 10
STAGE_PAYMENTS: Final = 200


def _print(found: BeforeAfter) -> None:
    console = Console()
    if not console.is_terminal:
        console = Console(width=TABLE_COLUMNS)
    titles = {
        "Counts of a payment": found.counts,
        "CPU of a payment by stage, in process": found.stages,
        "HTTP at saturation, one API process": found.http,
    }
    for title, lines in titles.items():
        if lines:
            console.print(_table(f"{title}: {lines[0].pairs} pairs", found, lines))
    load = ", ".join(f"{each:.1f}" for each in found.load)
    console.print(f"{found.cores} cores, load averages at the end {load}", highlight=False)


def _table(title: str, found: BeforeAfter, lines: list[Compared]) -> Table:
    table = Table(title=title, caption="medians; the ratio is the median of the pairs' own, with its quartiles")
    table.add_column("")
    for name in (f"before ({found.before})", f"after ({found.after})", "ratio", "quartiles"):
        table.add_column(name, justify="right")
    for line in lines:
        figures = [f"{value:,.2f} {line.unit}".rstrip() for value in (line.before, line.after)]
        table.add_row(line.name, *figures, f"{line.ratio:.3f}", f"{line.ratio_low:.3f} - {line.ratio_high:.3f}")
    return table
