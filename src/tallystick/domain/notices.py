"""Notices: what a provider's webhook events mean, one struct for each kind. Pure."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from tallystick.domain.dispute_movement import Funds, Movement
from tallystick.domain.subjects import DisputeKind, DisputeState, Operation
from tallystick.domain.verdicts import Approved, Verdict


class AttemptNotice(Struct, frozen=True, kw_only=True, tag_field="notice", tag="attempt"):
    """The outcome of one call of ours: found by ``attempt_id``, else by ``reference`` (the provider's, from its
    answer) among the attempts of this ``operation``."""

    operation: Operation
    verdict: Verdict
    attempt_id: str | None = None
    reference: str | None = None


class ChargeNotice(Struct, frozen=True, kw_only=True, tag_field="notice", tag="charge"):
    """The current state of a charge, whatever caused it: one of our attempts, the customer, the provider's own
    dashboard, or the passing of time. ``verdict.effect`` is authorized, captured or voided; a decline, a pending state
    and a required action are verdicts as well."""

    verdict: Verdict
    expired: bool = False  # voided by time, not on request


class CaptureNotice(Struct, frozen=True, kw_only=True, tag_field="notice", tag="capture"):
    """A capture that nobody made through us, from a provider that gives each one a name: a charge may have several."""

    reference: str
    amount: int
    currency: str
    provider_amount: int | None = None  # as in ``Approved``
    occurred_at: datetime | None = None

    def as_verdict(self) -> Approved:
        """As the word on a call of ours that has its name."""
        return Approved(
            amount=self.amount,
            currency=self.currency,
            effect="captured",
            provider_amount=self.provider_amount,
            reference=self.reference,
            occurred_at=self.occurred_at,
        )


class CancelOrRefundNotice(Struct, frozen=True, kw_only=True, tag_field="notice", tag="cancel_or_refund"):
    """A hold was released or captured money given back, and not through us: the provider does not say which of both
    under its signature. ``amount`` is what it was asked to give back."""

    reference: str
    amount: int
    currency: str
    provider_amount: int | None = None  # as in ``Approved``
    occurred_at: datetime | None = None


class UnknownNotice(Struct, frozen=True, kw_only=True, tag_field="notice", tag="unknown"):
    """An event of a code that the connector does not know, and whose signed fields say that money moved. ``value`` is
    in the provider's own minor unit."""

    code: str
    value: int
    currency: str


class RefundNotice(Struct, frozen=True, kw_only=True, tag_field="notice", tag="refund"):
    """A refund that was not made through us (the provider's own dashboard): money really left. ``provider_amount`` as
    in ``Approved``."""

    reference: str
    amount: int
    currency: str
    provider_amount: int | None = None
    occurred_at: datetime | None = None

    def as_verdict(self) -> Approved:
        """As the word on a call of ours that has its name."""
        return Approved(
            amount=self.amount,
            currency=self.currency,
            effect="refunded",
            provider_amount=self.provider_amount,
            reference=self.reference,
            occurred_at=self.occurred_at,
        )


class DisputeNotice(Struct, frozen=True, kw_only=True, tag_field="notice", tag="dispute"):
    """The current state of a dispute. ``movements``: every movement of money that the event reports, by the provider's
    references; None from a provider that does not identify movements: then ``funds`` says what moved with this event
    (withdrawn, returned or None). ``opens``: whether it may be the first notice of the dispute. ``kind``: an inquiry
    that becomes a chargeback is reported as a chargeback from then on. ``provider_amount`` as in ``Approved``."""

    reference: str
    state: DisputeState
    amount: int
    currency: str
    provider_amount: int | None = None
    funds: Funds | None = None
    movements: tuple[Movement, ...] | None = None
    opens: bool = True
    kind: DisputeKind = "chargeback"
    reason: str | None = None
    occurred_at: datetime | None = None


class Unreadable(Struct, frozen=True, kw_only=True, tag_field="notice", tag="unreadable"):
    """An event of a right signature that the code of its time could not read. ``reason`` never repeats what was sent.
    It says nothing about a payment until its kept bytes are read again."""

    reason: str


class ReportNotice(Struct, frozen=True, kw_only=True, tag_field="notice", tag="report"):
    """A settlement report can be fetched. ``report``: the provider's name of it; ``url``: where the provider says that
    it is, which is checked before it is used. It says nothing about a payment."""

    report: str
    url: str | None = None


Notice = (
    AttemptNotice | ChargeNotice | CaptureNotice | CancelOrRefundNotice | UnknownNotice | RefundNotice | DisputeNotice
)

#: What the inbox keeps of an event's bytes.
StoredNotice = Notice | Unreadable | ReportNotice
