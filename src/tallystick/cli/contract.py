"""``contract``: the published contract, made from the code."""

from __future__ import annotations

import typer

from tallystick.contract.document import render_contract


def contract() -> None:
    """Print the contract as markdown: lifecycles, retry rules, errors, postings."""
    typer.echo(render_contract(), nl=False)
