"""``settings``: every setting, with its default, unit and reason."""

from __future__ import annotations

from itertools import groupby
from typing import Annotated

import msgspec
import typer

from tallystick.cli.context import AsJson, console
from tallystick.cli.tables import table_of
from tallystick.contract.settings import render_settings
from tallystick.providers.registry import CONNECTOR_SETTINGS
from tallystick.settings.load import SettingRow, describe_settings


def settings(
    as_json: AsJson = False,
    plain: Annotated[bool, typer.Option(help="One line for each setting.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="The reference page, as markdown.")] = False,
) -> None:
    """List every setting with its default, unit and reason."""
    rows = describe_settings(CONNECTOR_SETTINGS)
    if as_json:
        typer.echo(msgspec.json.encode(rows).decode())
        return
    if as_markdown:
        typer.echo(render_settings(rows), nl=False)
        return
    if plain or not console.is_terminal:
        for row in rows:
            typer.echo(f"{row.variable}={row.default}  # {row.unit}: {row.reason}")
        return
    for title, group in groupby(rows, lambda row: row.group):
        cells = [(f"{row.variable}\n= {row.default}" if row.default else row.variable, _why(row)) for row in group]
        console.print(table_of(("setting = default", "why"), cells, whole=["setting = default"], title=title))


def _why(row: SettingRow) -> str:
    return row.reason if row.unit == "text" else f"{row.unit}: {row.reason}"
