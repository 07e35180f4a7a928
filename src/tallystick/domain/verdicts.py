"""What a provider can say of one attempt. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from msgspec import Struct


class Verdict(Struct, frozen=True, kw_only=True, tag_field="verdict"):
    """What a provider said of one attempt, with its raw answer as evidence."""

    reference: str | None = None
    occurred_at: datetime | None = None
    raw: dict[str, Any] | None = None


class Approved(Verdict, frozen=True, kw_only=True, tag="approved"):
    """The effect happened. ``effect`` is where the provider's money is now:
    authorized | captured | voided | refunded. ``provider_amount``: the amount as the provider gave it, in its own unit;
    None where there is none, or where its unit is ours."""

    amount: int
    currency: str
    effect: str
    provider_amount: int | None = None


class Declined(Verdict, frozen=True, kw_only=True, tag="declined"):
    """The provider refused, and nothing moved."""

    code: str
    message: str
    retryable: bool = False


class Pending(Verdict, frozen=True, kw_only=True, tag="pending"):
    """Accepted, outcome later."""


class RequiresAction(Verdict, frozen=True, kw_only=True, tag="requires_action"):
    """The customer must act first."""

    next_action: dict[str, Any]


class Unknown(Verdict, frozen=True, kw_only=True, tag="unknown"):
    """A time-out, a reset, or a 5xx after sending: it may or may not have happened."""

    reason: str


class NotFound(Verdict, frozen=True, kw_only=True, tag="not_found"):
    """The provider's consistent lookup knows no such attempt. Evidence only after its settling time."""


class NotSent(Verdict, frozen=True, kw_only=True, tag="not_sent"):
    """Proof that nothing was sent: a refused connection, an open breaker, a sender too late to send."""

    reason: str


class Reversed(Verdict, frozen=True, kw_only=True, tag="reversed"):
    """An effect that the provider had reported done has failed after all: a refund that came back, a capture that the
    card's bank refused days later. The whole effect, never a part of it."""

    code: str
    message: str


AnyVerdict = Approved | Declined | Pending | RequiresAction | Unknown | NotFound | NotSent | Reversed


def verdict_name(verdict: Verdict) -> str:
    """The verdict's name in the published matrix."""
    return str(type(verdict).__struct_config__.tag)
