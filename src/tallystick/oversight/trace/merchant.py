"""What a merchant sees of the trace of a payment: a field, a kind of entry or a kind of waiting that is not listed here
is the operator's alone. Who acted, or acts next, is told as a role.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Literal

from msgspec import Struct, field

from tallystick.domain.json_types import (
    AnySubjectId,
    Count,
    Currency,
    MessageId,
    PaymentId,
    Time,
    WebhookEndpointId,
    described,
)
from tallystick.oversight.trace.entries import Entry
from tallystick.oversight.trace.facts import Facts
from tallystick.oversight.trace.payment import MoneyState, PaymentTrace
from tallystick.oversight.trace.waiting import Role, Waiting

#: Roles as merchants see them: whoever runs the platform is the platform.
PublicRole = Literal["merchant", "payer", "provider", "platform"]

#: The kinds of entries that are the merchant's: its own calls, states, money and messages.
ENTRIES: Final = frozenset(
    {"request", "answer", "replay", "step", "rejection", "transfer", "message", "delivery", "send"}
)

#: The kinds of waiting that are. Events of providers are the platform's work.
WAITS: Final = frozenset(
    {
        "payer_action",
        "provider_answer",
        "unknown_outcome",
        "recovery",
        "in_doubt",
        "capture_or_cancel",
        "late_money",
        "dispute_evidence",
        "dispute_verdict",
        "dispute_money",
        "message",
        "message_given_up",
    }
)

#: What an actor's name in history begins with -> its role; every other actor is a part of the platform.
_ROLES: Final[dict[str, PublicRole]] = {"key": "merchant", "provider": "provider"}

_PublicRole = Annotated[
    PublicRole, described("Who acts next; `platform` is Tallystick and whoever runs it.", "merchant")
]


class MerchantWaiting(Struct, frozen=True, kw_only=True):
    """One thing that is not finished."""

    kind: Annotated[str, described("What is waiting.", "capture_or_cancel", enum=sorted(WAITS))]
    subject_id: AnySubjectId
    actor: _PublicRole
    until: Annotated[
        Time | None,
        described("When Tallystick looks again, or the time to act ends; null where there is no such time.", None),
    ]


class MerchantNext(Struct, frozen=True, kw_only=True):
    """Who acts next, and until when."""

    actor: _PublicRole
    until: Annotated[Time | None, described("Until when; null where there is no such time.", None)]


class MerchantEntry(Struct, frozen=True, kw_only=True):
    """One line of the timeline. Fields that its kind does not have are null."""

    at: Annotated[Time | None, described("When it was recorded.")]
    kind: Annotated[str, described("What it is.", "step", enum=sorted(ENTRIES))]
    what: Annotated[
        str,
        described(
            "The operation of a request, the edge of a step, the kind of a transfer, the type of a message, or the"
            " result of a try. Of a replay, what it got: `replayed`, `not_final`, `in_flight` or `other_request`.",
            "captured",
        ),
    ]
    subject: Annotated[str | None, described("The kind of what was moved.", "payment")] = None
    subject_id: Annotated[AnySubjectId | None, described("What it is about; null where it is no subject.")] = None
    version: Annotated[int | None, described("The version that a step led to.", 2)] = None
    from_state: Annotated[str | None, described("The state before a step.", "authorizing")] = field(
        name="from", default=None
    )
    to_state: Annotated[str | None, described("The state after it.", "captured")] = field(name="to", default=None)
    actor: Annotated[
        PublicRole | None, described("Who did it, as a role; null where nobody is recorded.", "provider")
    ] = None
    idempotency_key: Annotated[str | None, described("The key of the request.", None)] = None
    status: Annotated[int | None, described("The HTTP status of an answer, ours or your endpoint's.", None)] = None
    debit: Annotated[str | None, described("The account that the amount arrives at.", None)] = None
    credit: Annotated[str | None, described("The account that the amount leaves.", None)] = None
    amount: Annotated[int | None, described("In the currency's minor unit.", None)] = None
    currency: Annotated[Currency | None, described("The currency of the amount.", None)] = None
    message_id: Annotated[MessageId | None, described("The message; null where there is none.")] = None
    endpoint_id: Annotated[WebhookEndpointId | None, described("The webhook endpoint; null where there is none.")] = (
        None
    )
    number: Annotated[int | None, described("Counts tries, or the rows of one step.", None)] = None
    duration_ms: Annotated[int | None, described("How long a try took, in milliseconds.", None)] = None
    occurred_at: Annotated[Time | None, described("When it happened, by what the provider says.", None)] = None
    count: Annotated[Count | None, described("How often, of what is one line for several.", None)] = None
    last_at: Annotated[Time | None, described("When it happened last.", None)] = None


class MerchantTrace(Struct, frozen=True, kw_only=True):
    """What happened to a payment, where its money is, and who acts next."""

    id: PaymentId
    object: Annotated[str, described("The kind of object.", const="payment_trace")]
    says: Annotated[
        str,
        described(
            "What happened, in one sentence made from the facts. For people; it may change.",
            "Captured 12.00 EUR after one time-out: the provider was asked twice and charged once",
        ),
    ]
    facts: Annotated[Facts, described("What the sentence is made from.")]
    money: Annotated[MoneyState, described("Where the money is; what is in doubt comes first.", "moved")]
    next: Annotated[MerchantNext | None, described("Who acts next; null where nothing waits.")]
    waiting: Annotated[list[MerchantWaiting], described("Everything that is not finished.")]
    timeline: Annotated[list[MerchantEntry], described("What happened, oldest first.")]
    as_of: Annotated[Time, described("When the record was read.")]


def for_merchant(trace: PaymentTrace) -> MerchantTrace:
    """The merchant's part of it."""
    waiting = [_waiting(each) for each in trace.waiting if each.kind in WAITS]
    return MerchantTrace(
        id=trace.payment_id,
        object="payment_trace",
        says=trace.says,
        facts=trace.facts,
        money=trace.money,
        next=MerchantNext(actor=waiting[0].actor, until=waiting[0].until) if waiting else None,
        waiting=waiting,
        timeline=[_entry(each) for each in trace.timeline if each.kind in ENTRIES],
        as_of=trace.as_of,
    )


def _entry(entry: Entry) -> MerchantEntry:
    shown = {name: getattr(entry, name) for name in MerchantEntry.__struct_fields__}
    return MerchantEntry(**shown | {"actor": _role_of_actor(entry.actor)})


def _waiting(each: Waiting) -> MerchantWaiting:
    until: datetime | None = each.until
    return MerchantWaiting(kind=each.kind, subject_id=each.subject_id, actor=_role(each.actor), until=until)


def _role(role: Role) -> PublicRole:
    return "platform" if role == "operator" else role


def _role_of_actor(actor: str | None) -> PublicRole | None:
    return None if actor is None else _ROLES.get(actor.partition(":")[0], "platform")
