"""``tallystick bench``: the figures of docs/performance.md, each beside its ceiling in the same run."""

from __future__ import annotations

from typing import Final

import typer

from tallystick.cli.before_after import before_after
from tallystick.cli.bench_rates import journal, payments, providers, webhooks
from tallystick.cli.bench_records import fill, growth, reconciliation, sealing, soak, trace

app: Final = typer.Typer(help="Measure the platform beside its ceilings.", no_args_is_help=True)

for command in (payments, journal, webhooks, providers, soak, growth, trace, reconciliation, sealing, fill):
    app.command()(command)
app.command("before-after")(before_after)
