"""Late money: captured after its payment had ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tallystick.domain.operator_act import AskedAct, OperatorAct
from tallystick.flows.operations import late_money
from tallystick.flows.operations.acts import recorded
from tallystick.flows.runtime import Runtime
from tallystick.interfaces.console.owner_acts import owner_acts
from tallystick.interfaces.console.work_list import ListAct, WorkPage
from tallystick.interfaces.console.work_pages import pages_of


async def accept(runtime: Runtime, asked: AskedAct, _: Mapping[str, str]) -> OperatorAct:
    """It becomes the merchant's."""
    await late_money.accept(runtime, asked.target, asked, actor=asked.operator, reason=asked.reason)
    return await recorded(runtime.stores.acts, asked)


async def give_back(runtime: Runtime, asked: AskedAct, _: Mapping[str, str]) -> OperatorAct:
    """It goes back to the payer."""
    await late_money.give_back(runtime, asked.target, asked, actor=asked.operator, reason=asked.reason)
    return await recorded(runtime.stores.acts, asked)


PAGE: Final = WorkPage(
    name="late-money",
    work="late_money",
    title="Late money",
    one="payment with late money",
    says="A provider took money after the payment had ended here. It stands in suspense until somebody decides: it is"
    " the merchant's, or it goes back to the payer.",
    empty="No money stands in suspense.",
    kind="state",
    own="currency",
    acts=(
        ListAct(
            name="accept",
            label="Give to the merchant",
            act="late_money.accept",
            says="All that waits becomes the merchant's. It can then be refunded and disputed like captured money.",
            do=accept,
            right="money",
            fresh=True,
        ),
        ListAct(
            name="return",
            label="Return to the payer",
            act="late_money.return",
            says="All that waits is refunded at the provider. Where its answer is not known yet, recovery asks.",
            do=give_back,
            right="money",
            fresh=True,
            careful=True,
        ),
        *owner_acts("late_money"),
    ),
)

PAGES: Final = pages_of(PAGE)
