"""``late-money``: money that was captured after its payment had ended, and what an operator decides of it."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from tallystick.cli.acts import change_document, require_words, with_runtime
from tallystick.cli.context import AsJson, DataDir, SomeMerchant, console, print_json, settings_from
from tallystick.cli.tables import table_of
from tallystick.domain.change import Change
from tallystick.flows.operations import late_money
from tallystick.flows.operations.late_money import LateMoney
from tallystick.flows.runtime import Runtime

#: Below the list: what a person does next.
NEXT: Final = (
    "Decide on each: `tallystick late-money accept PAYMENT --actor ACTOR --reason REASON` gives it to the merchant,"
    " `tallystick late-money return PAYMENT --actor ACTOR --reason REASON` refunds the payer."
    " Amounts are in minor units."
)

app = typer.Typer(help="Money that was captured after its payment had ended.", no_args_is_help=True)

PaymentId = Annotated[str, typer.Argument(metavar="PAYMENT", help="The payment's id, pay_….")]
Actor = Annotated[str, typer.Option(help="Who decides.")]
Reason = Annotated[str, typer.Option(help="Why.")]


@app.command("list")
def list_waiting(
    merchant: SomeMerchant = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most, oldest first.")] = 100,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """List the payments with late money that waits for a decision, oldest first."""

    async def waiting(runtime: Runtime) -> list[LateMoney]:
        return list(await late_money.waiting_late_money(runtime, merchant, limit))

    found = with_runtime(settings_from(data_dir), waiting)
    if as_json:
        print_json([_row(each) for each in found])
    elif found:
        rows = [(each.payment.payment_id, _about(each)) for each in found]
        console.print(table_of(("payment", "what waits"), rows, whole=["payment"], title="Late money", caption=NEXT))
    else:
        console.print("No late money waits to be decided on.")


@app.command()
def accept(payment: PaymentId, actor: Actor, reason: Reason, as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Accept all late money of a payment for its merchant. It can then be refunded and disputed like captured money."""
    require_words(("--actor", actor), ("--reason", reason))

    async def accepted(runtime: Runtime) -> Change:
        return await late_money.accept(runtime, payment, actor=actor, reason=reason)

    change = with_runtime(settings_from(data_dir), accepted)
    _print(change, f"{_moved(change)} were given to merchant {change.merchant_id}.", as_json)


@app.command("return")
def give_back(
    payment: PaymentId, actor: Actor, reason: Reason, as_json: AsJson = False, data_dir: DataDir = None
) -> None:
    """Return all late money of a payment to its payer, by a refund at the provider. Exits 1 where the provider refused,
    and the money waits as before."""
    require_words(("--actor", actor), ("--reason", reason))

    async def returned(runtime: Runtime) -> Change | None:
        return await late_money.give_back(runtime, payment, actor=actor, reason=reason)

    change = with_runtime(settings_from(data_dir), returned)
    events = set() if change is None else {each.event for each in change.transitions}
    if change is not None and "late_money_returned" in events:
        _print(change, f"{_moved(change)} were returned to the payer.", as_json)
    elif change is not None and "late_return_failed" in events:
        _print(change, "Nothing was returned. The money waits as before: `late-money list`.", as_json)
        raise typer.Exit(1)
    else:
        unknown = "It is not known yet whether the payer has the money. Recovery asks the provider; do not repeat."
        _print(change, unknown, as_json)


def _print(change: Change | None, meaning: str, as_json: bool) -> None:
    """The steps that were recorded, and what they mean for the money."""
    if as_json:
        print_json(({} if change is None else change_document(change)) | {"means": meaning})
        return
    steps = [] if change is None else [f"{each.subject} {each.subject_id}: {each.event}" for each in change.transitions]
    console.print("\n".join([*steps, meaning]), highlight=False, markup=False, soft_wrap=True)


def _moved(change: Change) -> str:
    """What the change posted, in minor units: ``1250 EUR``."""
    return ", ".join(f"{each.amount} {each.currency}" for each in change.transfers)


def _row(each: LateMoney) -> dict[str, object]:
    payment = each.payment
    return {
        "payment_id": payment.payment_id,
        "merchant_id": payment.merchant_id,
        "state": payment.state,
        "provider": payment.provider,
        "provider_reference": payment.provider_reference,
        "currency": payment.currency,
        "waiting": each.waiting,
        "late": payment.amount_late,
        "accepted": payment.amount_late_accepted,
        "returning": payment.amount_late_returning,
        "returned": payment.amount_late_returned,
    }


def _about(each: LateMoney) -> str:
    payment = each.payment
    charge = f" ({payment.provider_reference})" if payment.provider_reference else ""
    since = payment.created_at.isoformat(timespec="minutes")
    return (
        f"{each.waiting} {payment.currency} at {payment.provider}{charge}\n"
        f"{payment.merchant_id}; {payment.state}, made {since}"
    )
