"""Rejected cases: refused transitions that somebody has to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from tallystick.domain.operator_act import AskedAct, OperatorAct
from tallystick.domain.rejected_case import CATEGORIES
from tallystick.flows.rejections import cases
from tallystick.flows.rejections.details import detail_of
from tallystick.flows.rejections.reprocess import reprocess
from tallystick.flows.runtime import Runtime
from tallystick.interfaces.console.owner_acts import owner_acts
from tallystick.interfaces.console.page import PageRequest
from tallystick.interfaces.console.words import at, bounded, spoken
from tallystick.interfaces.console.work_list import ListAct, WorkPage
from tallystick.interfaces.console.work_pages import pages_of
from tallystick.oversight.console import WorkItem


async def ignore(runtime: Runtime, asked: AskedAct, _: Mapping[str, str]) -> OperatorAct:
    """Nothing has to be done about it."""
    return await cases.ignore(runtime, asked)


async def again(runtime: Runtime, asked: AskedAct, _: Mapping[str, str]) -> OperatorAct:
    """The same guards decide again."""
    return await reprocess(runtime, asked)


async def detail(request: PageRequest, item: WorkItem) -> Sequence[tuple[str, str]]:
    """What was refused, and what became of the case."""
    runtime = request.runtime
    case = await detail_of(runtime.stores, runtime.reads, runtime.clock.now(), item.item_id)
    facts = [
        (
            "refused",
            f"{spoken(case.event)} of {case.subject} {case.subject_id}, which was {spoken(case.subject_state)}",
        ),
        ("why", bounded(case.reason)),
        ("tried by", f"{spoken(case.tried_by)} ({spoken(case.origin)})"),
        ("event", case.event_id or "none"),
    ]
    steps = [
        (at(each.at), f"{each.from_state} → {each.to_state} ({spoken(each.event)}), {each.actor}")
        for each in case.steps
    ]
    return [*facts, *steps]


PAGE: Final = WorkPage(
    name="cases",
    work="cases",
    title="Rejected cases",
    one="rejected case",
    says="A provider said something that the record's rules refused: it came too late, contradicts what is stored, is"
    " malformed, or is about something unknown. Nothing was changed. Somebody decides what it means.",
    empty="No refusal waits for anybody.",
    kind="category",
    own="subject",
    choices={"kind": CATEGORIES},
    acts=(
        ListAct(
            name="reprocess",
            label="Process again",
            act="case.reprocess",
            says="What was refused is decided again by the very same guards. If they accept it, it takes effect.",
            do=again,
            right="money",
            fresh=True,
        ),
        ListAct(
            name="ignore",
            label="Resolve without doing anything",
            act="case.ignore",
            says="The cases are resolved. The refusals and the reason stay in the record.",
            do=ignore,
            careful=True,
        ),
        *owner_acts("cases"),
    ),
    detail=detail,
)

PAGES: Final = pages_of(PAGE)
