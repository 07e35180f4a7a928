"""``refunds``: found and shown, of one merchant or of all."""

from __future__ import annotations

from typing import Annotated

import typer

from tallystick.cli.context import AsJson, DataDir, SomeMerchant, console, print_json, settings_from
from tallystick.cli.reading import (
    Limit,
    OfPayment,
    OpenRecord,
    Since,
    Until,
    before_option,
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
from tallystick.domain.lifecycles.refund import REFUND
from tallystick.domain.list_filters import MemberFilter
from tallystick.domain.subjects import Refund
from tallystick.domain.views import refund_view

app = typer.Typer(help="Refunds, of one merchant or of all.", no_args_is_help=True)

#: A refund, and whether it is in doubt.
Read = tuple[Refund, bool]


@app.command("list")
def list_refunds(
    merchant: SomeMerchant = None,
    payment: OfPayment = None,
    state: Annotated[str | None, state_option(REFUND.states)] = None,
    since: Since = None,
    until: Until = None,
    before: Annotated[str | None, before_option("re", "a refund")] = None,
    limit: Limit = 100,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """List refunds, newest first. Amounts are in minor units. Without --merchant: of all."""
    wanted = MemberFilter(payment_id=payment, state=state, created_gte=in_utc(since), created_lt=in_utc(until))
    require_sound(wanted)

    async def found(record: OpenRecord) -> list[tuple[str, Read]]:
        owner = merchant if payment is None else await record.owner_of("payment", payment, merchant)
        position = None if before is None else ((await _read(record, before, None))[0].created_at, before)
        return await record.newest(
            owner,
            limit,
            lambda one: record.stores.lists.refunds(one, wanted, before=position, limit=limit),
            lambda row: (row[0].created_at, row[0].refund_id),
        )

    rows = with_record(settings_from(data_dir), found)
    if as_json:
        print_json([owned(one, refund_view(refund, in_doubt=in_doubt)) for one, (refund, in_doubt) in rows])
        return
    cells = [(f"{refund.refund_id}\n{refund.payment_id}", _about(refund, in_doubt)) for _, (refund, in_doubt) in rows]
    print_rows(cells, ("refund, payment", "what became of it"), title="Refunds", nothing="No such refund.")


@app.command("show")
def show_refund(
    refund: Annotated[
        str, typer.Argument(metavar="REFUND", help="The refund's id, re_….", callback=id_of("re", "a refund"))
    ],
    merchant: SomeMerchant = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Print one refund."""

    read, in_doubt = with_record(settings_from(data_dir), lambda record: _read(record, refund, merchant))
    if as_json:
        print_json(owned(read.merchant_id, refund_view(read, in_doubt=in_doubt)))
        return
    failure = read.failure
    facts = (
        ("refund", read.refund_id),
        ("payment", read.payment_id),
        ("merchant", read.merchant_id),
        ("state", _state(read, in_doubt)),
        ("amount", f"{read.amount} {read.currency}"),
        ("provider", f"{read.provider} {read.provider_reference or ''}".rstrip()),
        ("reason", read.reason or ""),
        ("failure", "" if failure is None else f"{failure.code}: {failure.message}"),
        ("created", f"{shown_time(read.created_at)} UTC"),
    )
    console.print(facts_of(facts))


async def _read(record: OpenRecord, refund: str, merchant: str | None) -> Read:
    read = await record.reads.refund(await record.owner_of("refund", refund, merchant), refund)
    assert read is not None, "refunds are never deleted"
    return read


def _about(refund: Refund, in_doubt: bool) -> str:
    said = f"{refund.amount} {refund.currency}: {_state(refund, in_doubt)}"
    return lines(said, refund.merchant_id, f"{refund.provider}, {shown_time(refund.created_at)} UTC")


def _state(refund: Refund, in_doubt: bool) -> str:
    return f"{refund.state}, in doubt" if in_doubt else refund.state
