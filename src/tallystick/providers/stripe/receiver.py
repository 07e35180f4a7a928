"""Stripe's webhooks: the signature over the bytes as they came, and events as notices. Pure.

Several events may report one change. Of a payment only those of the PaymentIntent are translated (``charge.*``
repeats them); of a refund all are (``refund.*`` and ``charge.refund.updated``), since an account may be subscribed
to either: the second one ends as a duplicate effect, by comparison with the record.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Final

import msgspec
from msgspec import Raw, Struct

from tallystick.domain.dispute_movement import Funds
from tallystick.domain.notices import (
    AttemptNotice,
    ChargeNotice,
    DisputeNotice,
    Notice,
    RefundNotice,
    ReportNotice,
    StoredNotice,
)
from tallystick.domain.verdicts import Approved, Reversed, Unknown
from tallystick.providers.contract_drift import version_of
from tallystick.providers.json_bytes import ILL_FORMED, said_in
from tallystick.providers.receiver import BadSignature, CannotRead, Notification, not_read, translated, type_in
from tallystick.providers.shared import verify_timed_signature
from tallystick.providers.stripe.codes import DISPUTES, EXPIRY_REASONS, INQUIRIES
from tallystick.providers.stripe.event_codes import EVENT_CODES
from tallystick.providers.stripe.movements import movements_of
from tallystick.providers.stripe.objects import (
    ATTEMPT,
    MERCHANT,
    PAYMENT,
    Dispute,
    Intent,
    Metadata,
    Named,
    Refund,
    Seconds,
    amount_of,
    is_release,
    mark_of,
    moment,
    name_of,
    ours,
    refund_standing,
    standing,
)
from tallystick.providers.stripe.read_fields import event_drift
from tallystick.providers.stripe.reports import IMPORTED, RUN, Run

#: Stripe's own libraries reject older signatures.
TOLERANCE_MS: Final = 300_000

#: Seconds since 1970 have ten digits until the year 2286.
_TIME: Final = re.compile(r"[0-9]{1,12}", re.ASCII)

_V1: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)

#: Signatures looked at in one header: one for each secret that is live, which are two while one is replaced.
_SIGNATURES_LIMIT: Final = 16


class _Data(Struct, frozen=True):
    object: Raw


class _Event(Struct, frozen=True):
    id: str
    type: str
    created: Seconds | str | None = None
    data: _Data | None = None


_EVENT: Final = msgspec.json.Decoder(_Event)
_INTENT: Final = msgspec.json.Decoder(Intent)
_REFUND: Final = msgspec.json.Decoder(Refund)
_DISPUTE: Final = msgspec.json.Decoder(Dispute)
_RUN: Final = msgspec.json.Decoder(Run)


class _Subject(Struct, frozen=True):
    """The parts of an object that may name our payment and its charge."""

    id: str | None = None
    object: str | None = None
    payment_intent: str | Named | None = None
    charge: str | Named | None = None
    metadata: Metadata = None


_SUBJECT: Final = msgspec.json.Decoder(_Subject)


class StripeReceiver:
    """Reads one account's deliveries. ``secrets``: the endpoint's signing secrets, whole (``whsec_…``), the old one
    beside the new one while it is replaced; ``tolerance_ms``: how far a delivery's time may be from ours, both ways.
    Raises ValueError where there is no secret, or an empty one."""

    name = "stripe"
    acknowledgement = b'{"received": true}'
    content_type = b"application/json"

    def __init__(self, account: str, secrets: Sequence[str], tolerance_ms: int = TOLERANCE_MS) -> None:
        if not secrets or not all(secrets):
            raise ValueError("a receiver needs a signing secret")
        self.account = account
        self._keys = [secret.encode() for secret in secrets]
        self._tolerance_ms = tolerance_ms

    def receive(self, body: bytes, headers: Mapping[str, str], now: datetime) -> Sequence[Notification]:
        """The one event of a delivery. Raises BadSignature and StaleTimestamp, and nothing else."""
        signed_at_s, signatures = _signature_parts(headers.get("stripe-signature", ""))
        verify_timed_signature(body, str(signed_at_s), signatures, self._keys, now=now, tolerance_ms=self._tolerance_ms)
        return self.translate(body)

    def translate(self, body: bytes) -> Sequence[Notification]:
        """The event, without a look at its signature. Raises nothing."""
        digest, said = hashlib.sha256(body).digest(), said_in(body)
        found = translated(partial(event_drift, said), partial(_notification, body), partial(_kept, body, digest))
        return [msgspec.structs.replace(found, item_digest=digest, api_version=version_of(said, "api_version"))]


def _signature_parts(header: str) -> tuple[int, list[str]]:
    """``t=<unix>,v1=<hex>[,v1=<hex>][,v0=…]``. Raises BadSignature."""
    parts = [part.partition("=") for part in header.split(",")]
    times = [value for name, _, value in parts if name == "t"]
    signatures = [value for name, _, value in parts if name == "v1" and _V1.fullmatch(value)]
    if len(times) != 1 or _TIME.fullmatch(times[0]) is None or not signatures:
        raise BadSignature("the header has no time or no signature")
    if len(signatures) > _SIGNATURES_LIMIT:
        raise BadSignature("the header has too many signatures")
    return int(times[0]), signatures


def _kept(body: bytes, digest: bytes, error: Exception) -> Notification:
    return not_read(digest, type_in(body), EVENT_CODES, error, _foreign_charge(body))


def _foreign_charge(body: bytes) -> str | None:
    """The PaymentIntent without our mark that an event is about; None where that is not certain."""
    try:
        data = _EVENT.decode(body).data
    except ILL_FORMED:
        return None
    subject = _Subject() if data is None else _subject(data.object)
    is_intent = subject.object == "payment_intent"
    return subject.id if is_intent and mark_of(subject.metadata, is_always_marked=True) == "absent" else None


def _notification(body: bytes) -> Notification:
    event = _EVENT.decode(body)
    occurred_at = moment(event.created) if isinstance(event.created, int) else None
    subject = _Subject()
    notice: StoredNotice | None = None
    if event.data is not None:
        subject = _subject(event.data.object)
        translate = _TRANSLATIONS.get(event.type)
        notice = None if translate is None else translate(event.type, event.data.object, occurred_at)
    elif EVENT_CODES.get(event.type) == "moves_money":
        raise CannotRead("an event about money without its object: subscribe to snapshot events")
    return Notification(
        provider_event_id=event.id,
        type=event.type,
        occurred_at=occurred_at,
        charge_reference=_charge_of(subject),
        mark=mark_of(subject.metadata, is_always_marked=subject.object == "payment_intent"),
        merchant_id=ours(subject.metadata, MERCHANT),
        payment_id=ours(subject.metadata, PAYMENT),
        notice=notice,
        digest=_digest(event),
    )


def _digest(event: _Event) -> bytes:
    """Of what the event says. Its envelope counts the deliveries that are still to come (``pending_webhooks``), so a
    redelivery may differ in bytes and be the same event."""
    said = (
        event.id.encode(),
        event.type.encode(),
        str(event.created).encode(),
        bytes(event.data.object if event.data else b""),
    )
    return hashlib.sha256(b"\x1f".join(said)).digest()


def _report(_: str, thing: Raw, __: datetime | None) -> ReportNotice | None:
    """A run that can be imported has ended. What it is is asked for by its name."""
    run = _RUN.decode(thing)
    wanted = run.status == "succeeded" and run.report_type.startswith(IMPORTED) and RUN.fullmatch(run.id)
    return ReportNotice(report=run.id) if wanted else None


def _subject(thing: Raw) -> _Subject:
    """Our payment and its charge, where the object names them. None of both where they cannot be read."""
    try:
        return _SUBJECT.decode(thing)
    except msgspec.ValidationError:
        return _Subject()


def _charge_of(subject: _Subject) -> str | None:
    """The PaymentIntent; where there is none, the charge that somebody made without one, as none of ours is."""
    if subject.object == "payment_intent":
        return subject.id
    return name_of(subject.payment_intent) or name_of(subject.charge)


def _charge(kind: str, thing: Raw, occurred_at: datetime | None) -> Notice | None:
    """Where a PaymentIntent stands; None where it is no longer in a state of its event."""
    intent = _INTENT.decode(thing)
    if intent.status not in _STANDS[kind]:
        return None
    verdict = standing(intent, occurred_at=occurred_at)
    if isinstance(verdict, Unknown):
        raise CannotRead(verdict.reason)
    expired = intent.status == "canceled" and intent.cancellation_reason in EXPIRY_REASONS
    return ChargeNotice(verdict=verdict, expired=expired)


def _refund(_: str, thing: Raw, occurred_at: datetime | None) -> Notice | None:
    """One of ours is the outcome of its attempt. One of the dashboard's is money that left; it came back where it
    failed. The release of a hold is not a refund."""
    refund = _REFUND.decode(thing)
    verdict = refund_standing(refund)
    if is_release(refund):
        return None
    if isinstance(verdict, Unknown):
        raise CannotRead(verdict.reason)
    attempt_id = ours(refund.metadata, ATTEMPT)
    if attempt_id is None and isinstance(verdict, Approved):
        return RefundNotice(
            reference=refund.id,
            amount=verdict.amount,
            currency=verdict.currency,
            provider_amount=verdict.provider_amount,
            occurred_at=verdict.occurred_at or occurred_at,
        )
    if attempt_id is None and not isinstance(verdict, Reversed):
        return None  # nothing has left yet
    verdict = msgspec.structs.replace(verdict, occurred_at=verdict.occurred_at or occurred_at)
    return AttemptNotice(operation="refund", verdict=verdict, attempt_id=attempt_id, reference=refund.id)


def _dispute(kind: str, thing: Raw, occurred_at: datetime | None) -> Notice:
    """Where a dispute stands, and what moved up to now."""
    dispute = _DISPUTE.decode(thing)
    state = DISPUTES.get(dispute.status)
    if state is None:
        raise CannotRead("a dispute in an unknown state")
    amount = amount_of(dispute.amount, dispute.currency)
    is_named = bool(dispute.balance_transactions) or kind not in _FUNDS
    return DisputeNotice(
        reference=dispute.id,
        state=state,
        **amount._asdict(),
        funds=_FUNDS.get(kind),
        movements=movements_of(dispute, state, takes=_FUNDS.get(kind) == "withdrawn") if is_named else None,
        kind="inquiry" if dispute.status in INQUIRIES else "chargeback",
        reason=dispute.reason,
        occurred_at=occurred_at,
    )


#: Event type -> the states that a PaymentIntent is in when it tells of them.
_STANDS: Final[Mapping[str, frozenset[str]]] = {
    "payment_intent.amount_capturable_updated": frozenset({"requires_capture"}),
    "payment_intent.canceled": frozenset({"canceled"}),
    "payment_intent.payment_failed": frozenset({"requires_payment_method"}),
    "payment_intent.processing": frozenset({"processing"}),
    "payment_intent.requires_action": frozenset({"requires_action"}),
    "payment_intent.succeeded": frozenset({"succeeded"}),
}

_FUNDS: Final[Mapping[str, Funds]] = {
    "charge.dispute.funds_reinstated": "returned",
    "charge.dispute.funds_withdrawn": "withdrawn",
}

_TRANSLATIONS: Final[Mapping[str, Callable[[str, Raw, datetime | None], StoredNotice | None]]] = {
    "reporting.report_run.succeeded": _report,
    **dict.fromkeys(_STANDS, _charge),
    "charge.refund.updated": _refund,
    "refund.created": _refund,
    "refund.failed": _refund,
    "refund.updated": _refund,
    "charge.dispute.closed": _dispute,
    "charge.dispute.created": _dispute,
    "charge.dispute.funds_reinstated": _dispute,
    "charge.dispute.funds_withdrawn": _dispute,
    "charge.dispute.updated": _dispute,
}
