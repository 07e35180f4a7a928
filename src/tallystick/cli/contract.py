"""``contract``: the published contract, made from the code; and what changed between two of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from tallystick.cli.context import AsJson, console, print_json
from tallystick.cli.tables import table_of
from tallystick.contract import released
from tallystick.contract.authority import render_authority
from tallystick.contract.changes import Change
from tallystick.contract.compare import every_change
from tallystick.contract.document import render_contract
from tallystick.domain.authority import AUTHORITIES

app = typer.Typer(help="Print the contract, or what changed between two releases.", invoke_without_command=True)


@app.callback()
def contract(context: typer.Context, as_json: AsJson = False) -> None:
    """Print the contract as markdown: lifecycles, retry rules, errors, postings. --json prints its tables."""
    if context.invoked_subcommand is not None:
        return
    if as_json:
        print_json(released.machine_contract())
    else:
        typer.echo(render_contract(), nl=False)


@app.command()
def authority(as_json: AsJson = False) -> None:
    """Print who settles what happened, where two sources disagree, as markdown."""
    if as_json:
        print_json(AUTHORITIES)
    else:
        typer.echo(render_authority(), nl=False)


@app.command()
def diff(
    old: Annotated[Path, typer.Argument(help="The directory of a release's documents.", metavar="OLD")],
    new: Annotated[
        Path | None,
        typer.Argument(
            help="The directory of a later release's documents.", metavar="[NEW]", show_default="this release"
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Name the changes between two releases, of each version that both serve, incompatible ones first. The exit code is
    1 where a client of OLD may break."""
    found = every_change(old, new)
    ordered = sorted(found, key=lambda each: (each[0], each[1].compatible))
    if as_json:
        print_json([_as_json(version, change) for version, change in ordered])
    for version in dict.fromkeys(version for version, _ in ordered) if not as_json else ():
        changes = [change for dated, change in ordered if dated == version]
        rows = [(("no", "yes")[kind.compatible], *row) for kind, *row in _grouped(changes)]
        columns = ("compatible", "change", "of", "where")
        console.print(table_of(columns, rows, whole=["compatible", "change"], title=f"Version {version}"))
    if not ordered and not as_json:
        console.print("The contracts are the same.", highlight=False)
    if not all(change.compatible for _, change in found):
        raise typer.Exit(1)


@app.command()
def write(
    directory: Annotated[Path, typer.Argument(help="Created if needed.", metavar="DIRECTORY")], as_json: AsJson = False
) -> None:
    """Write the documents that a release keeps: the contract as a page and for programs, and OpenAPI of each
    version."""
    directory.mkdir(parents=True, exist_ok=True)
    files = released.files()
    for name, content in files.items():
        (directory / name).write_bytes(content)
    if as_json:
        print_json({"files": [str(directory / name) for name in files]})
        return
    for name in files:
        console.print(str(directory / name), highlight=False, soft_wrap=True)


def _grouped(changes: Sequence[Change]) -> list[tuple[Any, ...]]:
    """The same change of one thing in many places as one row: (a change, kind, thing and detail, first place and how
    many more)."""
    places: dict[tuple[str, str], list[Change]] = {}
    for change in changes:
        thing = change.place.rpartition(" ")[2].removeprefix("body.")
        places.setdefault((change.kind, f"{thing}\n{change.detail}".rstrip()), []).append(change)
    rows = []
    for (kind, thing), found in places.items():
        more = f"\nand {len(found) - 1} more" if len(found) > 1 else ""
        rows.append((found[0], kind, thing, found[0].place + more))
    return rows


def _as_json(version: str, change: Change) -> dict[str, object]:
    return {"version": version, "compatible": change.compatible, **msgspec.structs.asdict(change)}
