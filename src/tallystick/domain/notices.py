"""What providers say without being asked: one struct for each kind of webhook event. Pure."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from tallystick.domain.dispute_movement import Movement
from tallystick.domain.verdicts import (
    AnyVerdict,
)


class AttemptNotice(Struct, frozen=True, kw_only=True, tag_field="notice", tag="attempt"):
    """The outcome of one call of ours: found by ``attempt_id``, else by ``reference`` (what the provider called the
    operation when it answered) among the attempts of this ``operation``."""

    operation: str  # authorize | capture | cancel | refund
    verdict: AnyVerdict
    attempt_id: str | None = None
    reference: str | None = None


class ChargeNotice(Struct, frozen=True, kw_only=True, tag_field="notice", tag="charge"):
    """Where a charge stands now, whoever brought it there: one of our attempts, the customer, the provider's own
    dashboard, or the passing of time. ``verdict.effect`` is authorized, captured or voided; a decline, a wait and a
    required action are verdicts as well."""

    verdict: AnyVerdict
    expired: bool = False  # voided by time, not by anyone's wish


class RefundNotice(Struct, frozen=True, kw_only=True, tag_field="notice", tag="refund"):
    """A refund that nobody made through us (the provider's own dashboard): money really left. ``provider_amount`` as in
    ``Approved``."""

    reference: str
    amount: int
    currency: str
    provider_amount: int | None = None
    occurred_at: datetime | None = None


class DisputeNotice(Struct, frozen=True, kw_only=True, tag_field="notice", tag="dispute"):
    """Where a dispute stands now. ``movements`` is all that the event tells of the money that moved, by the provider's
    names for it; None from a provider that names none: there ``funds`` says what moved with this event (withdrawn,
    returned or None). ``opens``: whether it can be the first that we hear of the dispute. ``provider_amount`` as in
    ``Approved``."""

    reference: str
    state: str  # opened | under_review | won | lost
    amount: int
    currency: str
    provider_amount: int | None = None
    funds: str | None = None
    movements: tuple[Movement, ...] | None = None
    opens: bool = True
    reason: str | None = None
    occurred_at: datetime | None = None


Notice = AttemptNotice | ChargeNotice | RefundNotice | DisputeNotice
