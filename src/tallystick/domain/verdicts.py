"""Verdicts: what a provider can say about one attempt. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, cast

from msgspec import Struct

#: Where the provider's money is after an approval.
Effect = Literal["authorized", "captured", "voided", "refunded"]

#: The verdicts by their names in the published matrix.
VerdictName = Literal[
    "approved", "declined", "pending", "requires_action", "unknown", "not_found", "not_sent", "reversed", "key_taken"
]


class _VerdictBase(Struct, frozen=True, kw_only=True, tag_field="verdict"):
    """What every verdict has. ``raw`` is the provider's answer, kept as evidence."""

    reference: str | None = None
    occurred_at: datetime | None = None
    raw: dict[str, Any] | None = None


class Approved(_VerdictBase, frozen=True, kw_only=True, tag="approved"):
    """The effect happened. ``effect`` is where the provider's money is now. ``provider_amount``: the amount as the
    provider gave it, in its own unit; None without one, and where its unit is ours."""

    amount: int
    currency: str
    effect: Effect
    provider_amount: int | None = None


class Declined(_VerdictBase, frozen=True, kw_only=True, tag="declined"):
    """The provider refused, and nothing moved."""

    code: str
    message: str
    retryable: bool = False


class Pending(_VerdictBase, frozen=True, kw_only=True, tag="pending"):
    """Accepted; the outcome comes later."""


class RequiresAction(_VerdictBase, frozen=True, kw_only=True, tag="requires_action"):
    """The customer must act first."""

    next_action: dict[str, Any]


class Unknown(_VerdictBase, frozen=True, kw_only=True, tag="unknown"):
    """A time-out, a reset, or a 5xx after sending: it may or may not have happened."""

    reason: str


class KeyInUse(Unknown, frozen=True, kw_only=True, tag="unknown"):
    """The provider answered: a request with this key is under way there. Of the outcome that is unknown, and of the
    provider it says that it answers."""


class KeyTaken(_VerdictBase, frozen=True, kw_only=True, tag="key_taken"):
    """The key of this attempt was used before, for another request: that one may have had its effect. It says nothing
    of this attempt's own effect, and has no reference: what it names is another's."""

    reason: str


class NotFound(_VerdictBase, frozen=True, kw_only=True, tag="not_found"):
    """The provider's consistent lookup does not know the attempt. Evidence only after its settling time."""


class NotSent(_VerdictBase, frozen=True, kw_only=True, tag="not_sent"):
    """Proof that nothing was sent: a refused connection, an open circuit, a sender that was too late."""

    reason: str


class Reversed(_VerdictBase, frozen=True, kw_only=True, tag="reversed"):
    """An effect that the provider had reported as done has failed after all: a refund that came back, or a capture that
    the card's bank refused days later. Always the whole effect."""

    code: str
    message: str


#: What a provider said about one attempt.
Verdict = Approved | Declined | Pending | RequiresAction | Unknown | NotFound | NotSent | Reversed | KeyTaken


def verdict_name(verdict: Verdict) -> VerdictName:
    """The verdict's name in the published matrix."""
    return cast(VerdictName, type(verdict).__struct_config__.tag)
