"""Refused webhooks: deliveries of providers that were refused on arrival. Only their numbers are kept, so a row is a
kind of them: what one account refused for one reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from tallystick.domain.operator_act import AskedAct, OperatorAct
from tallystick.flows.operations import refusals
from tallystick.flows.runtime import Runtime
from tallystick.interfaces.console.owner_acts import owner_acts
from tallystick.interfaces.console.page import PageRequest
from tallystick.interfaces.console.words import at, plural
from tallystick.interfaces.console.work_list import ListAct, WorkPage
from tallystick.interfaces.console.work_pages import pages_of
from tallystick.oversight.console import WorkItem

#: Hours that are shown of one kind: two days, and the rest as their sum.
_HOURS: Final = 48


async def close(runtime: Runtime, asked: AskedAct, _: Mapping[str, str]) -> OperatorAct:
    """Nobody has to look at what was counted until now."""
    return await refusals.close(runtime, asked)


async def detail(request: PageRequest, item: WorkItem) -> Sequence[tuple[str, str]]:
    """How many in which hour, closed ones too."""
    counted = await refusals.counts_of(request.runtime, item.item_id)
    hours = [(f"{at(each.hour)[:16]} UTC", plural(each.count, "delivery", "deliveries")) for each in counted[:_HOURS]]
    in_all = plural(sum(each.count for each in counted), "delivery", "deliveries")
    return [("kept", f"{in_all} in {plural(len(counted), 'hour')}, of the last 30 days"), *hours]


PAGE: Final = WorkPage(
    name="refused-webhooks",
    work="refused_webhooks",
    title="Refused webhooks",
    one="kind of refused webhooks",
    says="Deliveries that were refused on arrival: a wrong signature, an account that is not configured, a body that"
    " cannot be read. Nothing of them is kept but their number, hour by hour; sampled lines of the log say more. A row"
    " is what one account refused for one reason since somebody last closed it.",
    empty="No delivery was refused, or somebody has closed all that were.",
    kind="reason",
    own="account",
    acts=(
        ListAct(
            name="close",
            label="Close",
            act="webhook_refusal.close",
            says="What was refused until now needs nobody any more: its cause is known, and the reason says it. What is"
            " refused after that waits anew.",
            do=close,
            careful=True,
        ),
        *owner_acts("refused_webhooks"),
    ),
    detail=detail,
    of_platform=True,
)

PAGES: Final = pages_of(PAGE)
