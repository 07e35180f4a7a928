"""What providers say without being asked: webhooks, from bytes to one envelope. Pure.

A receiver verifies the signature over the bytes as they came, and translates. It decides nothing, reads no stored
state and does no I/O: whether something happened already, or can have happened, is decided later, from the record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from msgspec import Struct

from tallystick.movement import Movement
from tallystick.providers.base import Approved, Declined, NotFound, NotSent, Pending, RequiresAction, Reversed, Unknown

AnyVerdict = Approved | Declined | Pending | RequiresAction | Unknown | NotFound | NotSent | Reversed


class BadSignature(Exception):
    """No signature, a wrong one, or one that cannot be read. The message never repeats what was sent."""


class StaleTimestamp(Exception):
    """A valid signature over a time that is too far from ours: a replayed recording, or a broken clock."""


class Unparseable(Exception):
    """Signed, and not what this provider sends. The message never repeats what was sent."""


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
    """A refund that nobody made through us (the provider's own dashboard): money really left."""

    reference: str
    amount: int
    currency: str
    occurred_at: datetime | None = None


class DisputeNotice(Struct, frozen=True, kw_only=True, tag_field="notice", tag="dispute"):
    """Where a dispute stands now. ``movements`` is all that the event tells of the money that moved, by the provider's
    names for it; None from a provider that names none: there ``funds`` says what moved with this event (withdrawn,
    returned or None). ``opens``: whether it can be the first that we hear of the dispute."""

    reference: str
    state: str  # opened | under_review | won | lost
    amount: int
    currency: str
    funds: str | None = None
    movements: tuple[Movement, ...] | None = None
    opens: bool = True
    reason: str | None = None
    occurred_at: datetime | None = None


Notice = AttemptNotice | ChargeNotice | RefundNotice | DisputeNotice


class Notification(Struct, frozen=True, kw_only=True):
    """One event of a provider, normalised. ``provider_event_id`` is the dedup marker, from the bytes alone.

    ``merchant_id``, ``payment_id``: ours, where the bytes carry them (metadata, merchant reference); else the payment
    is looked up by ``charge_reference``, the provider's name for the charge. ``notice`` is None for a type that says
    nothing about money.
    """

    provider_event_id: str
    type: str
    occurred_at: datetime | None = None
    charge_reference: str | None = None
    merchant_id: str | None = None
    payment_id: str | None = None
    traceparent: str | None = None
    notice: Notice | None = None
    digest: bytes | None = None


class Receiver(Protocol):
    """The receiving half of a connector."""

    name: str
    account: str
    acknowledgement: bytes  # the body of the 200
    content_type: bytes

    def receive(self, body: bytes, headers: Mapping[str, str], now: datetime) -> Sequence[Notification]:
        """Every event of one delivery; header names are lower-case. One bad event refuses the whole delivery.

        Raises BadSignature, StaleTimestamp and Unparseable, and nothing else, whatever the bytes are.
        """
