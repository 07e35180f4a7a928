"""What operators see of cases, acts, deployments and pauses, over HTTP and on the command line."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final

from msgspec import Struct

from tallystick.domain.alert import ALERT_STATES, Alert
from tallystick.domain.api_keys import KeyKind
from tallystick.domain.json_types import (
    AccountName,
    Actor,
    AnySubjectId,
    Count,
    EventId,
    Hour,
    PaymentId,
    ProviderName,
    Time,
    described,
    example_id,
    id_pattern,
)
from tallystick.domain.operator_act import ACT_NAMES, OperatorAct
from tallystick.domain.rejected_case import CASE_STATES, CATEGORIES, ClosedBy, RejectedCase, Resolution

CaseId = Annotated[str, described("The case's id.", example_id("case"), pattern=id_pattern("case"))]
ActId = Annotated[str, described("The act's id.", example_id("opa"), pattern=id_pattern("opa"))]
RejectionId = Annotated[str, described("The id of the refusal itself.", example_id("rej"), pattern=id_pattern("rej"))]
DeploymentId = Annotated[str, described("The point's id.", example_id("dep"), pattern=id_pattern("dep"))]
Category = Annotated[
    str,
    described(
        "What kind of refusal it is. `late`: an effect after its subject was closed. `conflicting`: it contradicts the"
        " stored state. `malformed`: it cannot be ours as it stands, as another amount, currency or account."
        " `unknown_to_us`: a code, a charge or an effect that the record has nothing about.",
        "late",
        enum=list(CATEGORIES),
    ),
]
Kind = Annotated[str, described("The kind of what was refused.", "payment")]
TriedEvent = Annotated[str, described("The edge that was tried.", "captured")]
StoredState = Annotated[str, described("The state that it met.", "canceled")]
TriedBy = Annotated[str, described("What tried it: a provider's event, an answer, recovery or an operator.", "webhook")]
AgeMs = Annotated[int, described("How long it has waited, in milliseconds.", 1_200, minimum=0)]
SomeProvider = Annotated[str | None, described("The provider, where it has one.", "simulator")]

#: How a case ended, with what it means.
RESOLUTIONS: Final[Mapping[str, str]] = {
    "agrees": "the record says by now what was refused",
    "late_money_decided": "the late money was accepted or returned",
    "reprocessed": "it was processed again, and the same guards accepted it",
    "ignored": "a person says that nothing has to be done",
}


class RejectionView(Struct, frozen=True, kw_only=True):
    """A refused transition that somebody has to look at."""

    id: CaseId
    state: Annotated[
        str,
        described("`open` until somebody takes it, `resolved` at its end.", "open", enum=list(CASE_STATES)),
    ]
    category: Category
    subject: Kind
    subject_id: AnySubjectId
    subject_state: StoredState
    event: TriedEvent
    tried_by: TriedBy
    origin: Annotated[str, described("Who tried it.", "provider", enum=["client", "provider", "recovery", "operator"])]
    reason: Annotated[str, described("Why it was refused.", "the provider captured a payment that is canceled here")]
    merchant_id: Annotated[str, described("The merchant that it is about.", "shop")]
    payment_id: Annotated[
        PaymentId | None, described("The payment that it is about, where it is one.", example_id("pay"))
    ]
    provider: SomeProvider
    event_id: Annotated[
        EventId | None, described("The provider's event that tried it, where one did.", example_id("evt"))
    ]
    owner: Annotated[str | None, described("Who looks at it; null while nobody does.", "operator:grace")]
    escalations: Annotated[int, described("How often it was handed on.", 0, minimum=0)]
    reprocessings: Annotated[int, described("How often it was processed again.", 0, minimum=0)]
    resolution: Annotated[Resolution | None, described("How it ended; null while it waits.", None)]
    closed_by: Annotated[ClosedBy | None, described("Whether a rule or a person ended it.", None)]
    age_ms: AgeMs
    created_at: Annotated[Time, described("When it was refused.")]
    updated_at: Annotated[Time, described("When its last step was recorded.")]


class RejectionStep(Struct, frozen=True, kw_only=True):
    """One step of a case."""

    event: Annotated[str, described("What happened to the case.", "acknowledge")]
    from_state: Annotated[str, described("The state before; `new` before the first step.", "open")]
    to_state: Annotated[str, described("The state after.", "acknowledged")]
    actor: Actor
    at: Annotated[Time, described("When it was recorded.")]
    evidence: Annotated[
        dict[str, Any] | None, described("What an operator said, where one did it.", {"operator": {"reason": "mine"}})
    ]


class RejectionDetail(RejectionView, frozen=True, kw_only=True):
    """A case, with its steps and what was said when it was refused."""

    rejection_id: RejectionId
    steps: Annotated[list[RejectionStep], described("Every step, the oldest first.")]
    evidence: Annotated[
        dict[str, Any] | None,
        described("What it was refused on: the event or the answer.", {"event_id": example_id("evt")}),
    ]


class RecordedActView(Struct, frozen=True, kw_only=True):
    """What an operator did, as it was recorded with its effect. It never changes."""

    id: ActId
    act: Annotated[str, described("What was done.", "case.ignore", enum=list(ACT_NAMES))]
    target: Annotated[
        str, described("What it was done to: an id, a provider, or a release's name.", example_id("case"))
    ]
    operator: Annotated[
        str,
        described("Who did it: an API key, or `shell:<user>@<host>` of a command line without one.", "key:abcdefghij"),
    ]
    key_kind: Annotated[KeyKind | None, described("The kind of the API key.", "human")]
    idempotency_key: Annotated[str, described("The operator's own name for the act.", "ticket-812")]
    reason: Annotated[str, described("Why.", "The provider confirmed it by telephone.")]
    arguments: Annotated[dict[str, Any], described("What it was to be done with.", {"owner": "operator:grace"})]
    result: Annotated[dict[str, Any], described("What it came to.", {"count": 12})]
    merchant_id: Annotated[str | None, described("The merchant that it is about, where that is known.", "shop")]
    payment_id: Annotated[
        PaymentId | None, described("The payment that it is about, where it is about one.", example_id("pay"))
    ]
    at: Annotated[Time, described("When it was done.")]


class EventResultView(Struct, frozen=True, kw_only=True):
    """How many tries at events of one type had one result in one hour."""

    provider: ProviderName
    type: Annotated[str, described("The type as the provider names it; `other` of types that are not known.", "other")]
    result: Annotated[str, described("What the tries came to.", "duplicate_effect")]
    hour: Hour
    count: Annotated[int, described("At least how many.", 12, minimum=0)]
    per_minute: Annotated[float, described("As many a minute of that hour, so far.", 0.2, minimum=0)]


def rejection_view(case: RejectedCase, now: datetime) -> RejectionView:
    """A case as operators see it."""
    return RejectionView(**_shown(case, now))


def _shown(case: RejectedCase, now: datetime) -> dict[str, Any]:
    until = case.updated_at if case.state == "resolved" else now
    return {
        "id": case.case_id,
        "state": case.state,
        "category": case.category,
        "subject": case.subject,
        "subject_id": case.subject_id,
        "subject_state": case.subject_state,
        "event": case.event,
        "tried_by": case.tried_by,
        "origin": case.origin,
        "reason": case.reason,
        "merchant_id": case.merchant_id,
        "payment_id": case.from_stream_id if case.from_stream_id.startswith("pay_") else None,
        "provider": case.provider,
        "event_id": case.event_id,
        "owner": case.owner,
        "escalations": case.escalations,
        "reprocessings": case.reprocessings,
        "resolution": case.resolution,
        "closed_by": case.closed_by,
        "age_ms": max(0, round((until - case.created_at).total_seconds() * 1_000)),
        "created_at": case.created_at,
        "updated_at": case.updated_at,
    }


def rejection_detail(
    case: RejectedCase, now: datetime, steps: list[RejectionStep], evidence: dict[str, Any] | None
) -> RejectionDetail:
    """A case with its steps."""
    return RejectionDetail(**_shown(case, now), rejection_id=case.rejection_id, steps=steps, evidence=evidence)


def act_view(act: OperatorAct) -> RecordedActView:
    """An act as operators see it."""
    return RecordedActView(
        id=act.act_id,
        act=act.act,
        target=act.target,
        operator=act.operator,
        key_kind=act.key_kind,
        idempotency_key=act.idempotency_key,
        reason=act.reason,
        arguments=act.arguments,
        result=act.result,
        merchant_id=act.merchant_id,
        payment_id=act.payment_id,
        at=act.at,
    )


class AlertView(Struct, frozen=True, kw_only=True):
    """One condition about one thing."""

    id: Annotated[str, described("The alert's id.", example_id("alr"), pattern=id_pattern("alr"))]
    name: Annotated[str, described("Which condition it is; its runbook has the same name.", "unknown_outcome")]
    about: Annotated[str, described("Of what, such as a currency, a queue or a provider.", "EUR")]
    state: Annotated[
        str,
        described("`open` until somebody looks at it, `resolved` when it is over.", "open", enum=list(ALERT_STATES)),
    ]
    severity: Annotated[str, described("`page` wakes somebody; a `notice` waits.", "page", enum=["page", "notice"])]
    owner: Annotated[str, described("Whom it is for.", "payments-oncall")]
    summary: Annotated[str, described("What holds, with the figures of when it opened.", "1 unknown outcome is old.")]
    runbook: Annotated[str, described("What it means and what to do.", "docs/operate/alerts/unknown_outcome.md")]
    began_at: Annotated[Time, described("Since when the condition held when it last opened.")]
    opened_at: Annotated[Time, described("When it last opened.")]
    detected_in_ms: Annotated[int, described("How long that took, in milliseconds.", 800, minimum=0)]
    openings: Annotated[int, described("How often it has opened.", 1, minimum=1)]
    acknowledged_by: Annotated[str | None, described("Who looks at it; null while nobody does.", "key:abcdefghij")]
    resolved_by: Annotated[
        str | None, described("Who said that it is over: `rule` where its condition ended; null before.", "rule")
    ]
    updated_at: Annotated[Time, described("When its state last changed.")]
    version: Annotated[int, described("Counts its steps.", 1, minimum=1)]


class RefusedKindView(Struct, frozen=True, kw_only=True):
    """What one account refused for one reason since somebody last closed it."""

    id: Annotated[str, described("The kind's id.", example_id("wrf"), pattern=id_pattern("wrf"))]
    provider: ProviderName
    account: AccountName
    reason: Annotated[str, described("The error code of the response.", "webhook_signature_invalid")]
    count: Count
    since: Annotated[Time, described("The first hour of these, as its beginning.")]
    owner: Annotated[str | None, described("Who looks at it; null while nobody does.", "operator:grace")]


def alert_view(alert: Alert) -> AlertView:
    """An alert as operators see it."""
    return AlertView(
        id=alert.alert_id,
        name=alert.name,
        about=alert.about,
        state=alert.state,
        severity=alert.severity,
        owner=alert.owner,
        summary=alert.summary,
        runbook=alert.runbook,
        began_at=alert.began_at,
        opened_at=alert.opened_at,
        detected_in_ms=alert.detected_in_ms,
        openings=alert.openings,
        acknowledged_by=alert.acknowledged_by,
        resolved_by=alert.resolved_by,
        updated_at=alert.updated_at,
        version=alert.version,
    )
