"""What an operator sees of the trace of a payment over HTTP: all that there is, in a merchant's members and more."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, get_args

from msgspec import Struct

from tallystick.domain.json_types import Actor, EventId, PaymentId, Time, described
from tallystick.domain.operator_views import ActId, CaseId
from tallystick.oversight.trace.entries import Entry, EntryKind
from tallystick.oversight.trace.facts import Facts
from tallystick.oversight.trace.merchant import MerchantEntry
from tallystick.oversight.trace.missing import Missing
from tallystick.oversight.trace.payment import MoneyState, PaymentTrace
from tallystick.oversight.trace.waiting import Role, Waiting

KINDS: Final[tuple[str, ...]] = get_args(EntryKind)


class OperatorNext(Struct, frozen=True, kw_only=True):
    """Who acts next, on what, and until when."""

    actor: Annotated[Role, described("Who acts next. `operator` is a person who runs Tallystick.", "operator")]
    what: Annotated[str, described("On what, for people.", "a capture or a cancel of the hold")]
    until: Annotated[Time | None, described("Until when; null where there is no such time.", None)]


class OperatorEntry(MerchantEntry, frozen=True, kw_only=True):
    """One line of the timeline. Fields that its kind does not have are null."""

    kind: Annotated[str, described("What it is.", "act", enum=sorted(KINDS))]
    actor: Annotated[Actor | None, described("Who did it, by name; null where nobody is recorded.")] = None  # type: ignore[assignment]  # merchants see a role
    key_kind: Annotated[str | None, described("The kind of the API key that it began with.", "human")] = None
    cause: Annotated[str | None, described("What led to it, such as `instruction` or `webhook`.", "webhook")] = None
    provider: Annotated[str | None, described("The provider that was called, or that sent an event.", "simulator")] = (
        None
    )
    account: Annotated[str | None, described("The account at the provider.", "main")] = None
    reference: Annotated[str | None, described("The provider's reference.", "ch_8f2d41")] = None
    verdict: Annotated[str | None, described("What the provider's answer was taken for.", "approved")] = None
    event_id: Annotated[EventId | None, described("The provider's event; null where there is none.")] = None
    detail: Annotated[str | None, described("More about it, for people.", None)] = None
    alert: Annotated[bool | None, described("Whether a refusal called a person.", None)] = None
    case_id: Annotated[CaseId | None, described("The case of a refused transition.")] = None
    state: Annotated[str | None, described("How the case stands.", "open")] = None
    owner: Annotated[str | None, described("Who has the case; null where nobody has.", None)] = None
    age_ms: Annotated[
        int | None, described("How old the case is, in milliseconds; of one that is resolved, how old it became.", None)
    ] = None
    act_id: Annotated[ActId | None, described("An operator's act.")] = None
    reason: Annotated[str | None, described("Why the operator did it.", None)] = None
    result: Annotated[dict[str, Any] | None, described("What the act came to.", None)] = None


class OperatorTrace(Struct, frozen=True, kw_only=True):
    """All that is recorded about a payment, for those who run the platform."""

    id: PaymentId
    object: Annotated[str, described("The kind of object.", const="operator_payment_trace")]
    merchant_id: Annotated[str, described("Whose the payment is.", "shop")]
    provider: Annotated[str, described("The provider that it is made at.", "simulator")]
    says: Annotated[
        str,
        described(
            "What happened, in one sentence made from the facts. For people; it may change.",
            "Captured 12.00 EUR after one time-out: the provider was asked twice and charged once",
        ),
    ]
    facts: Annotated[Facts, described("What the sentence is made from.")]
    money: Annotated[MoneyState, described("Where the money is; what is in doubt comes first.", "moved")]
    next: Annotated[OperatorNext | None, described("Who acts next; null where nothing waits.")]
    waiting: Annotated[list[Waiting], described("Everything that is not finished; first what is named as next.")]
    missing: Annotated[list[Missing], described("What must exist beside the payment's steps, and does not.")]
    timeline: Annotated[list[OperatorEntry], described("What happened, oldest first.")]
    as_of: Annotated[Time, described("When the record was read.")]


def for_operator(trace: PaymentTrace) -> OperatorTrace:
    """All of it."""
    following, read_at = trace.next, trace.as_of
    until: datetime | None = None if following is None else following.until
    return OperatorTrace(
        id=trace.payment_id,
        object="operator_payment_trace",
        merchant_id=trace.merchant_id,
        provider=trace.provider,
        says=trace.says,
        facts=trace.facts,
        money=trace.money,
        next=None if following is None else OperatorNext(actor=following.actor, what=following.what, until=until),
        waiting=trace.waiting,
        missing=trace.missing,
        timeline=[_entry(each) for each in trace.timeline],
        as_of=read_at,
    )


def _entry(entry: Entry) -> OperatorEntry:
    return OperatorEntry(**{name: getattr(entry, name) for name in OperatorEntry.__struct_fields__})
