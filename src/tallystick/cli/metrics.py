"""``metrics``: every number of ``/metrics``, with its labels and what it says."""

from __future__ import annotations

from typing import Annotated

import typer

from tallystick.cli.context import AsJson, console, print_json
from tallystick.cli.tables import table_of
from tallystick.contract.metrics import metric_rows, render_metrics
from tallystick.domain.measures import MEASURES
from tallystick.oversight.numbers import NUMBERS


def metrics(
    as_json: AsJson = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="The reference page, as markdown.")] = False,
) -> None:
    """List every number of /metrics. It needs no database."""
    if as_markdown:
        typer.echo(render_metrics(), nl=False)
        return
    rows = metric_rows([*MEASURES, *NUMBERS])
    if as_json:
        print_json([dict(zip(("name", "kind", "labels", "says"), row, strict=True)) for row in rows])
        return
    cells = [(f"{name}\n{kind}{f' by {labels}' if labels else ''}", says) for name, kind, labels, says in rows]
    console.print(table_of(("number", "what it says"), cells, whole=["number"], title="Numbers"))
