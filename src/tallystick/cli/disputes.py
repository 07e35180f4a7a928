"""``disputes``: money that moved in another currency, and that nobody said the amount of."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from tallystick.cli.acts import require_words, with_runtime
from tallystick.cli.context import AsJson, DataDir, SomeMerchant, console, settings_from
from tallystick.cli.tables import table_of
from tallystick.domain.change import Change
from tallystick.flows.operations import disputed_money
from tallystick.flows.operations.disputed_money import UnknownAmount
from tallystick.flows.runtime import Runtime

app = typer.Typer(help="Disputed money whose amount is not known.", no_args_is_help=True)

DisputeId = Annotated[str, typer.Argument(metavar="DISPUTE", help="The dispute's id, dp_….")]
Movement = Annotated[str, typer.Option(help="The provider's name for the movement: `disputes list` has it.")]
Amount = Annotated[int, typer.Option(min=1, help="What it was, in minor units of the dispute's currency.")]
Actor = Annotated[str, typer.Option(help="Who says so.")]
Reason = Annotated[str, typer.Option(help="How it is known.")]


@app.command("list")
def list_unknown(
    merchant: SomeMerchant = None,
    limit: Annotated[int, typer.Option(min=1, help="Of at most so many disputes, oldest first.")] = 100,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """List movements of disputed money whose amount is not known. They are posted nowhere."""

    async def unknown(runtime: Runtime) -> list[UnknownAmount]:
        return list(await disputed_money.unknown_amounts(runtime, merchant, limit))

    found = with_runtime(settings_from(data_dir), unknown)
    if as_json:
        typer.echo(msgspec.json.encode([_row(each) for each in found]).decode())
    elif found:
        rows = [(each.dispute.dispute_id, _about(each)) for each in found]
        console.print(table_of(("dispute", "what moved"), rows, whole=["dispute"], title="Unknown amounts"))
    else:
        console.print("Every amount is known.")


@app.command("state-amount")
def state_amount(
    dispute: DisputeId, movement: Movement, amount: Amount, actor: Actor, reason: Reason, data_dir: DataDir = None
) -> None:
    """State what a movement of unknown amount was. It is posted as if the provider had said so, and once."""
    require_words(("--movement", movement), ("--actor", actor), ("--reason", reason))

    async def stated(runtime: Runtime) -> Change:
        return await disputed_money.state(runtime, dispute, movement, amount, actor=actor, reason=reason)

    change = with_runtime(settings_from(data_dir), stated)
    steps = [f"{each.subject} {each.subject_id}: {each.event}" for each in change.transitions]
    console.print("\n".join(steps), highlight=False, soft_wrap=True)


def _row(each: UnknownAmount) -> dict[str, object]:
    dispute, movement = each.dispute, each.movement
    return {
        "dispute_id": dispute.dispute_id,
        "payment_id": dispute.payment_id,
        "merchant_id": dispute.merchant_id,
        "state": dispute.state,
        "amount": dispute.amount,
        "currency": dispute.currency,
        "provider": dispute.provider,
        "provider_reference": dispute.provider_reference,
        "movement": movement.reference,
        "funds": movement.funds,
        "moved_amount": movement.moved_amount,
        "moved_currency": movement.moved_currency,
        "most": each.most,
    }


def _about(each: UnknownAmount) -> str:
    dispute, movement = each.dispute, each.movement
    moved = f"{movement.moved_amount} {movement.moved_currency} {movement.funds} ({movement.reference})"
    return f"{moved}\nof {dispute.amount} {dispute.currency}, {dispute.state}; at most {each.most} {dispute.currency}"
