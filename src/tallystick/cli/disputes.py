"""``disputes``: found and shown; and money that moved in another currency, whose amount nobody stated."""

from __future__ import annotations

from typing import Annotated

import typer

from tallystick.cli.acts import ActKey, Asking, Reason, act_on, print_done, require_words, with_runtime
from tallystick.cli.context import AsJson, DataDir, SomeMerchant, console, print_json, settings_from
from tallystick.cli.reading import (
    Limit,
    OfPayment,
    OpenRecord,
    Since,
    Until,
    id_of,
    in_utc,
    lines,
    owned,
    print_rows,
    require_sound,
    shown_time,
    state_option,
    with_record,
)
from tallystick.cli.tables import facts_of
from tallystick.domain.lifecycles.dispute import DISPUTE
from tallystick.domain.list_filters import MemberFilter
from tallystick.domain.operator_act import AskedAct, OperatorAct
from tallystick.domain.subjects import Dispute
from tallystick.domain.views import dispute_view
from tallystick.flows.operations import disputed_money
from tallystick.flows.operations.acts import recorded
from tallystick.flows.operations.disputed_money import UnknownAmount
from tallystick.flows.runtime import Runtime

app = typer.Typer(help="Disputes, of one merchant or of all, and amounts that are not known.", no_args_is_help=True)

DisputeId = Annotated[
    str, typer.Argument(metavar="DISPUTE", help="The dispute's id, dp_….", callback=id_of("dp", "a dispute"))
]
Movement = Annotated[str, typer.Option(help="The provider's name for the movement: `disputes unknown-amounts` has it.")]
Amount = Annotated[int, typer.Option(min=1, help="What it was, in minor units of the dispute's currency.")]


@app.command("list")
def list_disputes(
    merchant: SomeMerchant = None,
    payment: OfPayment = None,
    state: Annotated[str | None, state_option(DISPUTE.states)] = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 100,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """List disputes, newest first. Amounts are in minor units. Without --merchant every merchant is asked in turn."""
    wanted = MemberFilter(payment_id=payment, state=state, created_gte=in_utc(since), created_lt=in_utc(until))
    require_sound(wanted)

    async def found(record: OpenRecord) -> list[tuple[str, Dispute]]:
        owner = merchant if payment is None else await record.owner_of("payment", payment, merchant)
        return await record.newest(
            owner,
            limit,
            lambda one: record.stores.lists.disputes(one, wanted, before=None, limit=limit),
            lambda dispute: (dispute.created_at, dispute.dispute_id),
        )

    rows = with_record(settings_from(data_dir), found)
    if as_json:
        print_json([owned(one, dispute_view(dispute)) for one, dispute in rows])
        return
    cells = [(f"{dispute.dispute_id}\n{dispute.payment_id}", _dispute(dispute)) for _, dispute in rows]
    print_rows(cells, ("dispute, payment", "what became of it"), title="Disputes", nothing="No such dispute.")


@app.command("show")
def show_dispute(
    dispute: DisputeId, merchant: SomeMerchant = None, as_json: AsJson = False, data_dir: DataDir = None
) -> None:
    """Print one dispute."""

    async def found(record: OpenRecord) -> Dispute:
        read = await record.reads.dispute(await record.owner_of("dispute", dispute, merchant), dispute)
        assert read is not None, "disputes are never deleted"
        return read

    read = with_record(settings_from(data_dir), found)
    if as_json:
        print_json(owned(read.merchant_id, dispute_view(read)))
        return
    facts = (
        ("dispute", read.dispute_id),
        ("payment", read.payment_id),
        ("merchant", read.merchant_id),
        ("state", f"{read.state}, contested" if read.contested else read.state),
        ("amount", f"{read.amount} {read.currency}"),
        ("funds", _funds(read)),
        ("provider", f"{read.provider} {read.provider_reference}"),
        ("reason", read.reason or ""),
        ("created", f"{shown_time(read.created_at)} UTC"),
    )
    console.print(facts_of(facts))


@app.command("unknown-amounts")
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
        print_json([_row(each) for each in found])
    elif found:
        rows = [(f"{each.dispute.dispute_id}\n{each.dispute.payment_id}", _about(each)) for each in found]
        print_rows(rows, ("dispute, payment", "what moved"), title="Unknown amounts", nothing="")
    else:
        console.print("Every amount is known.")


@app.command("state-amount")
def state_amount(
    dispute: DisputeId,
    movement: Movement,
    amount: Amount,
    reason: Reason,
    key: ActKey = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """State what a movement of unknown amount was. It is posted as if the provider had said so, and once."""
    require_words(("--movement", movement), ("--reason", reason))

    async def stated(runtime: Runtime, asked: AskedAct) -> OperatorAct:
        who, why = asked.operator, asked.reason
        await disputed_money.state(runtime, dispute, movement, amount, asked, actor=who, reason=why)
        return await recorded(runtime.stores.acts, asked)

    arguments = {"movement": movement, "amount": amount}
    asking = Asking(act="dispute.state_amount", target=dispute, reason=reason, key=key, arguments=arguments)
    print_done(act_on(settings_from(data_dir), asking, stated), as_json)


def _dispute(dispute: Dispute) -> str:
    said = f"{dispute.amount} {dispute.currency}: {dispute.state}, {_funds(dispute)}"
    return lines(said, dispute.merchant_id, f"{dispute.provider}, {shown_time(dispute.created_at)} UTC")


def _funds(dispute: Dispute) -> str:
    return "withdrawn" if dispute.funds_withdrawn else "not withdrawn"


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
    most = f"of {dispute.amount} {dispute.currency}, {dispute.state}; at most {each.most} {dispute.currency}"
    return lines(moved, most, dispute.merchant_id)
