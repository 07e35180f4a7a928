"""``erase``: personal fields of a payment, or of all that a merchant has, under four eyes."""

from __future__ import annotations

from typing import Annotated

import typer

from tallystick.cli.acts import ActKey, Asking, act_on, print_done, require_words, with_runtime
from tallystick.cli.context import AsJson, DataDir, console, print_json, settings_from
from tallystick.cli.reading import lines, print_rows, shown_time
from tallystick.cli.up import announce
from tallystick.domain.operator_act import AskedAct, OperatorAct
from tallystick.flows.compliance.amounts import NeedsSecondPerson
from tallystick.flows.compliance.erasure import MERCHANT, PAYMENT
from tallystick.flows.runtime import Runtime
from tallystick.kit.ids import is_id
from tallystick.record.postgres.embedded.server import resolve_database
from tallystick.record.postgres.erasures import Erasure, erasures
from tallystick.record.postgres.migrate import prepare_erasure

app = typer.Typer(help="Personal fields, erased for good: description, metadata, and what providers sent.")


@app.callback(invoke_without_command=True)
def erase(
    context: typer.Context,
    payment: Annotated[
        str | None, typer.Option("--payment", metavar="PAYMENT", help="Of one payment, pay_….", show_default=False)
    ] = None,
    merchant_data: Annotated[
        str | None,
        typer.Option(
            "--merchant-data",
            metavar="MERCHANT",
            help="Of all payments that the merchant has when it is approved.",
            show_default=False,
        ),
    ] = None,
    reason: Annotated[str, typer.Option(help="Why; it is recorded.", show_default=False)] = "",
    key: ActKey = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Ask for an erasure. A second person approves it: `tallystick operators approve`. It cannot be undone."""
    if context.invoked_subcommand is not None:
        return
    if (payment is None) == (merchant_data is None):
        raise typer.BadParameter("give one of --payment and --merchant-data")
    if payment is not None and not is_id("pay", payment):
        raise typer.BadParameter("expected a payment's id, pay_…", param_hint="--payment")
    require_words(("--reason", reason))

    async def never_alone(_: Runtime, asked: AskedAct) -> OperatorAct:
        raise NeedsSecondPerson("one person alone erases nothing, and nothing was erased")

    asking = Asking(
        act=MERCHANT if payment is None else PAYMENT, target=payment or merchant_data or "", reason=reason, key=key
    )
    done = act_on(settings_from(data_dir), asking, never_alone)
    print_done(done, as_json, "It was approved. `tallystick erase list` says how far it is.")


@app.command("list")
def list_erasures(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most, newest first.")] = 100,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """List what was approved, newest first, with how far it is. Workers go on with what is not at its end."""

    async def found(runtime: Runtime) -> list[Erasure]:
        return await erasures(runtime.pool, limit)

    rows = with_runtime(settings_from(data_dir), found)
    if as_json:
        print_json(rows)
        return
    print_rows(
        [(each.request_id, lines(each.of, each.progress, _ended(each))) for each in rows],
        ("request", "what, how far"),
        title="Erasures",
        nothing="Nothing was erased.",
    )


@app.command()
def prepare(as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Put personal fields that an older release wrote under keys, as the owner of the tables. `migrate` does it; it is
    needed again where an older process wrote after that. It may be cut and repeated at any moment."""
    settings = settings_from(data_dir)
    with resolve_database(settings) as database:
        moved = prepare_erasure(database.owner_url, announce)
    if as_json:
        print_json({"moved": moved.rows, "left": moved.left})
    else:
        console.print(f"{moved.rows} rows were put under keys.", highlight=False)
        if moved.left:
            console.print(f"{moved.left} rows are not what their payment says, and cannot be erased.", highlight=False)
    if moved.left:
        raise typer.Exit(1)


def _ended(each: Erasure) -> str:
    return "under way" if each.finished_at is None else f"ended {shown_time(each.finished_at)} UTC"
