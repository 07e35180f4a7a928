"""The subjects of the record: each has a lifecycle and a history of its own. Plain data.

Amounts are integers in the currency's ISO 4217 minor unit.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, Protocol

from msgspec import Struct, field

from tallystick.domain.api_keys import KeyKind
from tallystick.domain.dispute_movement import Movement
from tallystick.domain.json_types import described
from tallystick.domain.money import Exponents
from tallystick.domain.provider_operation import ProviderOperation

PaymentState = Literal[
    "authorizing",
    "requires_action",
    "authorized",
    "capturing",
    "canceling",
    "captured",
    "declined",
    "failed",
    "canceled",
    "expired",
]
AttemptState = Literal[
    "submitted",
    "pending",
    "requires_action",
    "unknown",
    "not_found",
    "not_sent",
    "approved",
    "declined",
    "failed",
    "reversed",
]
RefundState = Literal["submitting", "pending", "succeeded", "failed"]
DisputeState = Literal["opened", "under_review", "won", "lost"]

#: An inquiry asks the merchant, and takes no money; it may become a chargeback, and never the other way round.
DisputeKind = Literal["inquiry", "chargeback"]

CaptureMethod = Literal["automatic", "manual"]

#: What a call to a provider does.
Operation = Literal["authorize", "capture", "cancel", "refund"]

#: The reason for a call: a client's instruction; the expiry of a hold or of an action; a charge that its payer could
#: still pay after the payment ended without money; late money that an operator returns.
Purpose = Literal["instruction", "expiry", "close", "late_return"]


class Subject(Protocol):
    """A thing with a lifecycle and a history of its own under one merchant; ``domain.kinds`` has one row for each
    kind."""

    @property
    def merchant_id(self) -> str:
        """The merchant that it belongs to."""

    @property
    def version(self) -> int:
        """Counts from 1; every step of history is one version."""

    @property
    def state(self) -> str:
        """A state of its kind's machine."""


class Failure(Struct, frozen=True, omit_defaults=False):
    """Why money did not move. ``code`` is ours and stable; ``retryable`` is about a *new* instruction."""

    code: Annotated[
        str,
        described(
            "Why: stable, made for programs. The contract has a list, which is open: decide by `retryable`.",
            "insufficient_funds",
        ),
    ]
    message: Annotated[str, described("For people; it may change.", "The account has too little money.")]
    retryable: Annotated[
        bool,
        described(
            "Whether the same request may succeed under the next key. Where it is false, another payment method may.",
            True,
        ),
    ]


class LateMovement(Struct, frozen=True, kw_only=True):
    """Late money that a provider moved by itself, by the provider's own name for it: told often, posted once.
    ``dispute`` is the provider's name for the dispute that took it, or None where it was refunded there."""

    reference: str
    way: Literal["out", "back"]
    amount: int
    dispute: str | None = None


class Payment(Struct, frozen=True, kw_only=True):
    """A payment as stored. Amounts are integers in the currency's ISO 4217 minor unit.

    ``amount_late`` was captured after the payment was closed here, all in all. It stands in suspense until an operator
    accepts it for the merchant (``amount_late_accepted``: as good as captured), or it has gone back
    (``amount_late_returned``; ``amount_late_returning`` is on its way).
    """

    merchant_id: str
    payment_id: str
    version: int
    state: PaymentState
    amount: int
    currency: str
    amount_authorized: int = 0
    amount_captured: int = 0
    amount_refunded: int = 0
    amount_refund_pending: int = 0
    amount_reversed: int = 0  # captured money that the provider later reported as not received
    amount_late: int = 0
    amount_late_accepted: int = 0
    amount_late_returning: int = 0
    amount_late_returned: int = 0
    late_movements: tuple[LateMovement, ...] = ()  # of the provider itself, without an act of ours
    provider_operations: tuple[ProviderOperation, ...] = ()  # done at the provider, where it names each
    capture_method: CaptureMethod = "automatic"
    payment_method: str
    provider: str
    exponent: int | None = None  # decimals of the minor unit when it was made; None in rows of before they were kept
    provider_exponent: int | None = None  # and of the provider's
    provider_reference: str | None = None
    next_action: dict[str, Any] | None = None
    failure: Failure | None = None
    description: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    created_at: datetime
    updated_at: datetime

    @property
    def exponents(self) -> Exponents | None:
        """What its amounts are told to its provider by, and the provider's read by; None where they were not kept."""
        if self.exponent is None or self.provider_exponent is None:
            return None
        return Exponents(self.exponent, self.provider_exponent)


class Refund(Struct, frozen=True, kw_only=True):
    """A refund of part or all of a captured payment."""

    merchant_id: str
    payment_id: str
    refund_id: str
    version: int
    state: RefundState
    amount: int
    currency: str
    amount_late: int = 0  # paid by the provider after the refund had failed here; in suspense
    provider: str
    provider_reference: str | None = None
    reason: str | None = None
    failure: Failure | None = None
    created_at: datetime
    updated_at: datetime


class Dispute(Struct, frozen=True, kw_only=True):
    """A customer's bank claims the money of a captured payment back. Several per payment; the amount is the bank's.

    ``kind``: an inquiry may still be answered with a refund. ``movements``: the movements of money that the provider
    reported. ``contested``: the provider reported the dispute both won and lost, and a person decides whose the money
    is.
    """

    merchant_id: str
    payment_id: str
    dispute_id: str
    version: int
    state: DisputeState
    amount: int
    currency: str
    provider: str
    provider_reference: str
    reason: str | None = None
    funds_withdrawn: bool = False
    movements: tuple[Movement, ...] = ()
    contested: bool = False
    kind: DisputeKind = "chargeback"
    created_at: datetime
    updated_at: datetime


class Schedule(Struct, frozen=True, kw_only=True):
    """When recovery looks at an attempt again, relative to the database's clock at commit. None keeps what is stored.

    ``deadline_in_ms``: after this our own sender cannot receive an answer any more. ``settled_in_ms``: after this
    "no such charge" is evidence. ``next_check_in_ms``: None means never (the attempt is closed or parked).
    """

    next_check_in_ms: int | None = None
    deadline_in_ms: int | None = None
    settled_in_ms: int | None = None
    parked: bool = False


class Attempt(Struct, frozen=True, kw_only=True):
    """One money-moving call to a provider, with everything needed to look it up or to send it again."""

    merchant_id: str
    payment_id: str
    attempt_id: str
    version: int
    state: AttemptState
    operation: Operation
    purpose: Purpose = "instruction"
    refund_id: str | None = None
    idempotency_key: str | None = None  # the client's instruction; None for an attempt of the platform itself
    amount: int
    currency: str
    capture: bool = False  # authorize and capture in one call
    payment_method: str
    provider: str
    account: str = "main"  # whose account at the provider
    provider_key: str  # the idempotency key that the provider sees
    provider_reference: str | None = None
    parent_reference: str | None = None  # the charge that a capture, cancel or refund acts on
    submissions: int = 1
    late_effect: bool = False  # money arrived after this attempt was closed, and was posted to suspense
    key_taken: bool = False  # the provider used its key for another request: absence proves nothing any more
    api_version: str | None = None  # that its instruction is answered in; None: the first
    key_kind: KeyKind | None = None  # of the API key of its instruction; None: a service's
    traceparent: str | None = None  # of the request of its instruction, if that had one
    schedule: Schedule = Schedule()

    @property
    def instructed_by(self) -> KeyKind | None:
        """The kind of the API key whose instruction it carries out; None for an attempt of the platform itself."""
        return None if self.idempotency_key is None else self.key_kind or "service"
