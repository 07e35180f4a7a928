"""Rows of settlement files, and entries of bank statements, that wait for a person's word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from tallystick.domain.operator_act import AskedAct, OperatorAct
from tallystick.flows.reconciliation.by_hand import resolve
from tallystick.flows.runtime import Runtime
from tallystick.interfaces.console.owner_acts import owner_acts
from tallystick.interfaces.console.page import ROOT
from tallystick.interfaces.console.work_list import Field, ListAct, WorkPage
from tallystick.interfaces.console.work_pages import pages_of
from tallystick.oversight.console import WorkItem

#: What becomes of what a row has more or less than the record.
DIFFERENCE: Final = (("no", "Nothing: the amounts must agree"), ("yes", "It is written off"))


async def say(runtime: Runtime, asked: AskedAct, _: Mapping[str, str]) -> OperatorAct:
    """What the row is, or that nobody will find out."""
    return await resolve(runtime, asked)


def leads(item: WorkItem) -> Sequence[tuple[str, str]]:
    """The payment that the row names."""
    return [("the payment", f"{ROOT}/payments/{item.payment_id}")] if item.payment_id is not None else []


PAGE: Final = WorkPage(
    name="settlement-rows",
    work="settlement_rows",
    title="Settlement rows",
    one="settlement row",
    says="Rows of providers' files that do not agree with the record, and entries of bank statements that nothing"
    " explains. Their money waits apart until somebody says what it is. A row is named by its file and place.",
    empty="Every row agrees with the record, or somebody has said what it is.",
    kind="reason",
    own="currency",
    id_in_path="path",
    acts=(
        ListAct(
            name="match",
            label="Say what it is",
            act="settlement_row.match",
            says="The row is a posting of that payment, refund or dispute, and its money becomes the merchant's. A"
            " bank's entry is that payout.",
            do=say,
            right="money",
            fresh=True,
            careful=True,
            fields=(
                Field(name="subject", label="The payment, refund or dispute; of a bank's entry the payout: FILE/ROW"),
                Field(name="writes_off_difference", label="What it has more or less", choices=DIFFERENCE),
            ),
        ),
        ListAct(
            name="write-off",
            label="Write off",
            act="settlement_row.write_off",
            says="Nobody will find out what it is: its money goes to write_off. A wrong fee is accepted, and moves"
            " nothing.",
            do=say,
            right="money",
            fresh=True,
            careful=True,
        ),
        *owner_acts("settlement_rows"),
    ),
    leads=leads,
)

PAGES: Final = pages_of(PAGE)
