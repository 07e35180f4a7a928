"""Attempts in doubt: nobody knows what became of them, and recovery asks no more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from tallystick.domain.finding import Finding, finding_of
from tallystick.domain.operator_act import AskedAct, OperatorAct
from tallystick.flows.operations.acts import recorded
from tallystick.flows.recovery import in_doubt
from tallystick.flows.runtime import Runtime
from tallystick.interfaces.console.owner_acts import owner_acts
from tallystick.interfaces.console.page import PageRequest
from tallystick.interfaces.console.work_list import Field, ListAct, WorkPage
from tallystick.interfaces.console.work_pages import pages_of
from tallystick.oversight.console import WorkItem

#: A finding, in the words of who has it.
OUTCOMES: Final[tuple[tuple[Finding, str], ...]] = (
    ("executed", "The provider did it"),
    ("declined", "The provider refused it"),
    ("not_executed", "Nothing happened at the provider"),
)


async def resolve(runtime: Runtime, asked: AskedAct, fields: Mapping[str, str]) -> OperatorAct:
    """Resolve it by a finding."""
    await in_doubt.resolve(
        runtime,
        runtime.stores.schedule_book,
        asked.target,
        finding_of(fields["outcome"]),
        asked,
        evidence=fields["evidence"],
        actor=asked.operator,
        reason=asked.reason,
        reference=fields.get("reference"),
    )
    return await recorded(runtime.stores.acts, asked)


async def detail(request: PageRequest, _: WorkItem) -> Sequence[tuple[str, str]]:
    """Whose it is by the settings."""
    return [("configured owner", request.runtime.settings.in_doubt_owner)]


PAGE: Final = WorkPage(
    name="in-doubt",
    work="in_doubt",
    title="In doubt",
    one="attempt in doubt",
    says="Calls to a provider that may or may not have moved money, where asking the provider did not resolve it. Look"
    " at the provider's own pages, and state what you found there.",
    empty="The outcome of every call is known, or recovery is still asking the provider.",
    kind="operation",
    own="currency",
    choices={"kind": ("authorize", "capture", "cancel", "refund")},
    acts=(
        ListAct(
            name="resolve",
            label="State what happened",
            act="attempt.resolve",
            says="The payment goes on as if the provider had said so. Posted money follows from it.",
            do=resolve,
            right="money",
            fresh=True,
            careful=True,
            fields=(
                Field(name="outcome", label="What happened", choices=OUTCOMES),
                Field(name="evidence", label="Evidence: what you looked at, and what it said"),
                Field(name="reference", label="The provider's reference, where the record lacks it", required=False),
            ),
        ),
        *owner_acts("in_doubt"),
    ),
    detail=detail,
)

PAGES: Final = pages_of(PAGE)
