"""A rejected case: a refused transition that somebody has to look at. Plain data, and how a rejection opens one."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal, get_args

from msgspec import Struct

from tallystick.domain.origin import Origin

#: What kind of refusal it is. ``late``: an effect after its subject was closed. ``conflicting``: what was said
#: contradicts the stored state. ``malformed``: it cannot be of ours as it stands, as another amount, currency or
#: account. ``unknown_to_us``: a code, a charge or an effect that the record has nothing about.
Category = Literal["late", "conflicting", "malformed", "unknown_to_us"]

CATEGORIES: Final[tuple[Category, ...]] = get_args(Category)

CaseState = Literal["open", "acknowledged", "resolved"]

CASE_STATES: Final[tuple[CaseState, ...]] = get_args(CaseState)

#: How it ended: ``agrees`` (the record says by now what was refused), ``late_money_decided`` (the late money that it
#: brought was accepted or returned), ``reprocessed`` (the same guards accepted it) or ``ignored`` (a person's word).
Resolution = Literal["agrees", "late_money_decided", "reprocessed", "ignored"]

ClosedBy = Literal["rule", "person"]


class RejectedCase(Struct, frozen=True, kw_only=True):
    """One refused transition and what became of it. ``subject`` is the kind of what was refused, in ``subject_state``
    at ``subject_version``; ``event`` is the edge that was tried. ``tried_by``: what tried it. ``from_stream_id``: the
    stream of the rejection, usually a payment. ``event_id``: the provider's event that tried it, where one did.
    ``owner`` is None until somebody takes it."""

    merchant_id: str
    case_id: str
    rejection_id: str
    from_stream_id: str
    subject: str
    subject_id: str
    subject_state: str
    subject_version: int
    event: str
    tried_by: str
    origin: Origin
    category: Category
    reason: str
    provider: str | None = None
    event_id: str | None = None
    created_at: datetime
    version: int
    state: CaseState
    owner: str | None = None
    escalations: int = 0
    reprocessings: int = 0
    resolution: Resolution | None = None
    closed_by: ClosedBy | None = None
    updated_at: datetime
