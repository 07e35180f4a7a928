"""``acts``: what operators did, and notes."""

from __future__ import annotations

from typing import Annotated

import typer

from tallystick.cli.acts import ActKey, Asking, act_on, print_done, require_words
from tallystick.cli.context import AsJson, DataDir, console, print_json, settings_from
from tallystick.cli.reading import NotFound, OpenRecord, id_of, lines, print_rows, shown_time, with_record
from tallystick.cli.tables import facts_of, json_lines
from tallystick.domain.operator_act import ACT_NAMES
from tallystick.domain.operator_views import RecordedActView, act_view
from tallystick.flows.operations.acts import annotate

app = typer.Typer(help="What operators did: who, to what, why, and what it came to.", no_args_is_help=True)

ActId = Annotated[str, typer.Argument(metavar="ACT", help="The act's id, opa_….", callback=id_of("opa", "an act"))]


@app.command("list")
def list_acts(
    operator: Annotated[
        str | None, typer.Option(help="Only of this operator, such as key:abcdefghij.", show_default=False)
    ] = None,
    act: Annotated[
        str | None, typer.Option("--act", help="Only acts of this kind, such as case.ignore.", show_default=False)
    ] = None,
    target: Annotated[str | None, typer.Option(help="Only on this target.", show_default=False)] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most, newest first.")] = 100,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """List acts, newest first."""
    if act is not None and act not in ACT_NAMES:
        raise typer.BadParameter(f"expected one of {', '.join(ACT_NAMES)}", param_hint="--act")

    async def found(record: OpenRecord) -> list[RecordedActView]:
        rows = await record.stores.acts.page(None, limit, operator=operator, act=act, target=target)
        return [act_view(each) for each in rows]

    acts = with_record(settings_from(data_dir), found)
    if as_json:
        print_json(acts)
        return
    rows = [
        (
            f"{each.id}\n{shown_time(each.at)}",
            lines(f"{each.act} {each.target}", each.merchant_id, each.operator, each.reason),
        )
        for each in acts
    ]
    print_rows(rows, ("act, at (UTC)", "what, who, why"), title="Acts", nothing="No acts.")


@app.command()
def show(act: ActId, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Print one act with what it came to."""

    async def found(record: OpenRecord) -> RecordedActView | None:
        stored = await record.stores.acts.by_id(act)
        return None if stored is None else act_view(stored)

    view = with_record(settings_from(data_dir), found)
    if view is None:
        raise NotFound(f"there is no act {act}")
    if as_json:
        print_json(view)
        return
    console.print(
        facts_of(
            [
                ("id", view.id),
                ("act", f"{view.act} {view.target}"),
                ("operator", view.operator),
                ("at", f"{shown_time(view.at)} UTC"),
                ("reason", view.reason),
                ("key", view.idempotency_key),
                ("merchant", view.merchant_id or ""),
                ("payment", view.payment_id or ""),
                ("arguments", json_lines(view.arguments) if view.arguments else ""),
                ("result", json_lines(view.result) if view.result else ""),
            ]
        )
    )


@app.command("annotate")
def add_note(
    target: Annotated[str, typer.Argument(metavar="ID", help="A payment, an attempt, an event, a case: its id.")],
    reason: Annotated[str, typer.Option(help="The note.")],
    key: ActKey = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Add a note to something in the record. It is kept as an act, and does nothing else."""
    require_words(("--reason", reason))
    done = act_on(settings_from(data_dir), Asking(act="annotate", target=target, reason=reason, key=key), annotate)
    print_done(done, as_json, "The note is kept.")
