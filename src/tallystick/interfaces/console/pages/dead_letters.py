"""Dead letters: providers' events that bounded retries could not process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from tallystick.domain.operator_act import AskedAct, OperatorAct
from tallystick.flows.operations.acts import recorded
from tallystick.flows.runtime import Runtime
from tallystick.interfaces.console.owner_acts import owner_acts
from tallystick.interfaces.console.page import ROOT, PageRequest
from tallystick.interfaces.console.words import at, bounded, spoken
from tallystick.interfaces.console.work_list import ListAct, WorkPage
from tallystick.interfaces.console.work_pages import pages_of
from tallystick.oversight.console import WorkItem
from tallystick.oversight.trace.event import trace_event

#: Tries that are shown of one event.
_TRIES: Final = 20


async def replay(runtime: Runtime, asked: AskedAct, _: Mapping[str, str]) -> OperatorAct:
    """Process it again."""
    await runtime.stores.dead_letters.replay(asked.target, asked, actor=asked.operator, reason=asked.reason)
    return await recorded(runtime.stores.acts, asked)


async def discard(runtime: Runtime, asked: AskedAct, _: Mapping[str, str]) -> OperatorAct:
    """Close it for good."""
    await runtime.stores.dead_letters.discard(asked.target, asked, actor=asked.operator, reason=asked.reason)
    return await recorded(runtime.stores.acts, asked)


async def detail(request: PageRequest, item: WorkItem) -> Sequence[tuple[str, str]]:
    """Its tries and arrivals."""
    stores = request.runtime.stores
    event = await trace_event(stores.inbox, stores.evidence, item.item_id)
    if event is None:
        return []
    facts = [
        ("provider's id", bounded(event.provider_event_id)),
        ("arrived", f"{event.deliveries} times, last at {at(event.last_delivered_at)} UTC"),
    ]
    for each in event.attempts[-_TRIES:]:
        said = f"{spoken(each.result)}: {bounded(each.detail)}" if each.detail else spoken(each.result)
        facts.append((f"try {each.number}", f"{at(each.ended_at)} {said}"))
    return facts


PAGE: Final = WorkPage(
    name="dead-letters",
    work="dead_letters",
    title="Dead letters",
    one="dead letter",
    says="Providers' events whose tries are used up. No effect of them is in the record. Replay them where the cause is"
    " gone: they are processed by the same rules, and what was applied already has no second effect.",
    empty="Every event of the providers has been processed, or is on its way.",
    kind="type",
    own="account",
    acts=(
        ListAct(
            name="replay",
            label="Replay",
            act="dead_letter.replay",
            says="The events are processed again by the same rules. What was applied already has no second effect.",
            do=replay,
        ),
        ListAct(
            name="discard",
            label="Discard",
            act="dead_letter.discard",
            says="The events are never processed. They stay in the record, with the reason.",
            do=discard,
            careful=True,
        ),
        *owner_acts("dead_letters"),
    ),
    detail=detail,
    evidence=lambda event_id: f"{ROOT}/events/{event_id}/evidence",
)

PAGES: Final = pages_of(PAGE)
