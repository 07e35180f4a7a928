"""The JSON bodies that only the HTTP face has: lists, history and the book."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct, field

from tallystick.domain.views import DisputeView, PaymentView


class PaymentPage(Struct, frozen=True, kw_only=True):
    """Payments, newest first. ``next_cursor`` is set exactly when ``has_more``."""

    data: list[PaymentView]
    has_more: bool
    next_cursor: str | None


class HistoryEntry(Struct, frozen=True, kw_only=True):
    """One transition of a payment: ``at`` is when it was recorded, ``occurred_at`` the provider's word on when it
    happened."""

    version: int
    from_state: str = field(name="from")
    to_state: str = field(name="to")
    event: str
    at: datetime
    occurred_at: datetime | None
    cause: str
    actor: str
    provider_reference: str | None


class RejectionEntry(Struct, frozen=True, kw_only=True):
    """A transition that was refused, of the payment, its attempts or its refunds. It took no version; ``version`` is
    the one it met."""

    at: datetime
    subject: str
    subject_id: str
    state: str
    version: int
    event: str
    cause: str
    actor: str
    origin: str
    reason: str
    alert: bool
    idempotency_key: str | None


class History(Struct, frozen=True, kw_only=True):
    """Everything that happened to a payment, and what was refused."""

    data: list[HistoryEntry]
    rejected: list[RejectionEntry]


class Account(Struct, frozen=True, kw_only=True):
    """One account and currency of a merchant's book. ``balance`` is debits less credits, in minor units."""

    account: str
    currency: str
    debits: int
    credits: int
    balance: int


class AccountList(Struct, frozen=True, kw_only=True):
    """The whole book."""

    data: list[Account]


class TransferEntry(Struct, frozen=True, kw_only=True):
    """One ledger row. ``id`` is the transition it belongs to (subject and version) and its leg."""

    id: str
    payment_id: str
    subject_id: str
    version: int
    leg: int
    kind: str
    debit: str
    credit: str
    amount: int
    currency: str
    at: datetime


class TransferList(Struct, frozen=True, kw_only=True):
    """The ledger rows of a payment and its refunds, oldest first."""

    data: list[TransferEntry]


class DisputeList(Struct, frozen=True, kw_only=True):
    """The disputes of a payment, oldest first."""

    data: list[DisputeView]


class Health(Struct, frozen=True, kw_only=True):
    """``ok``, or ``ready``."""

    status: str
