"""``late-money``: money that was captured after its payment had ended, and what an operator decides of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer

from tallystick.cli.acts import ActKey, Asking, Done, Reason, act_on, record_of, require_words, with_runtime
from tallystick.cli.context import AsJson, DataDir, SomeMerchant, console, print_json, settings_from
from tallystick.cli.owners import owner_commands
from tallystick.cli.tables import table_of
from tallystick.decisions.operator_acts import result_of
from tallystick.domain.change import Change
from tallystick.domain.operator_act import AskedAct, OperatorAct
from tallystick.flows.operations import late_money
from tallystick.flows.operations.acts import recorded
from tallystick.flows.operations.late_money import LateMoney
from tallystick.flows.runtime import Runtime

#: Below the list: what a person does next.
NEXT: Final = (
    "Decide on each: `tallystick late-money accept PAYMENT --reason REASON` gives it to the merchant,"
    " `tallystick late-money return PAYMENT --reason REASON` refunds the payer."
    " Amounts are in minor units."
)

app = typer.Typer(help="Money that was captured after its payment had ended.", no_args_is_help=True)

PaymentId = Annotated[str, typer.Argument(metavar="PAYMENT", help="The payment's id, pay_….")]


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
def accept(
    payment: PaymentId, reason: Reason, key: ActKey = None, as_json: AsJson = False, data_dir: DataDir = None
) -> None:
    """Accept all late money of a payment for its merchant. It can then be refunded and disputed like captured money."""
    require_words(("--reason", reason))

    async def accepted(runtime: Runtime, asked: AskedAct) -> OperatorAct:
        await late_money.accept(runtime, payment, asked, actor=asked.operator, reason=asked.reason)
        return await recorded(runtime.stores.acts, asked)

    asking = Asking(act="late_money.accept", target=payment, reason=reason, key=key, scope="late_money:write")
    done = act_on(settings_from(data_dir), asking, accepted)
    _print(done, f"{_moved(done.act.result)} were given to merchant {done.act.merchant_id}.", as_json)


@app.command("return")
def give_back(
    payment: PaymentId, reason: Reason, key: ActKey = None, as_json: AsJson = False, data_dir: DataDir = None
) -> None:
    """Return all late money of a payment to its payer, by a refund at the provider. Exits 1 where the provider refused,
    and the money waits as before."""
    require_words(("--reason", reason))
    came_to: list[Change | None] = []

    async def returned(runtime: Runtime, asked: AskedAct) -> OperatorAct:
        who, why = asked.operator, asked.reason
        came_to.append(await late_money.give_back(runtime, payment, asked, actor=who, reason=why))
        return await recorded(runtime.stores.acts, asked)

    asking = Asking(act="late_money.return", target=payment, reason=reason, key=key, scope="late_money:write")
    done = act_on(settings_from(data_dir), asking, returned)
    change = came_to[0] if came_to else None
    events = set() if change is None else {each.event for each in change.transitions}
    if done.repeated:
        _print(done, "`payments show` says what has come of it.", as_json)
    elif change is not None and "late_money_returned" in events:
        _print(done, f"{_moved(result_of([change]))} were returned to the payer.", as_json, change)
    elif change is not None and "late_return_failed" in events:
        _print(done, "Nothing was returned. The money waits as before: `late-money list`.", as_json, change)
        raise typer.Exit(1)
    else:
        unknown = "It is not known yet whether the payer has the money. Recovery asks the provider; do not repeat."
        _print(done, unknown, as_json, change)


owner_commands(app, "late_money", "pay", "a payment with late money", "late_money:write")


def _print(done: Done, meaning: str, as_json: bool, outcome: Change | None = None) -> None:
    """The steps that were recorded, and what they mean for the money. ``outcome``: what came of a call."""
    came_to = done.act.result if outcome is None else result_of([outcome])
    if as_json:
        print_json({**done.document(), **came_to, "means": meaning})
        return
    steps = [f"{each['subject']} {each['subject_id']}: {each['event']}" for each in came_to["transitions"]]
    console.print("\n".join([*steps, meaning, *record_of(done)]), highlight=False, markup=False, soft_wrap=True)


def _moved(result: Mapping[str, Any]) -> str:
    """What was posted, in minor units: ``1250 EUR``."""
    return ", ".join(f"{each['amount']} {each['currency']}" for each in result["transfers"])


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
        "taken_by": each.taken_by,
    }


def _about(each: LateMoney) -> str:
    payment = each.payment
    charge = f" ({payment.provider_reference})" if payment.provider_reference else ""
    since = payment.created_at.isoformat(timespec="minutes")
    return (
        f"{each.waiting} {payment.currency} at {payment.provider}{charge}\n"
        f"{payment.merchant_id}; {payment.state}, made {since}, {each.taken_by or 'nobody'} has it"
    )
