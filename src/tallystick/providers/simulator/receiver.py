"""The test acquirer's webhooks: its signature, and its events as notices."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from tallystick.domain.dispute_movement import Funds, Movement
from tallystick.domain.notices import AttemptNotice, ChargeNotice, DisputeNotice, Notice, RefundNotice
from tallystick.domain.subjects import DisputeState, Operation
from tallystick.domain.verdicts import Approved, Declined, Effect, Reversed, Unknown
from tallystick.providers.contract_drift import version_of
from tallystick.providers.json_bytes import said_in
from tallystick.providers.receiver import BadSignature, CannotRead, Notification, not_read, translated, type_in
from tallystick.providers.shared import verify_timed_signature
from tallystick.providers.simulator.calls import OperationBody, verdict_of
from tallystick.providers.simulator.event_codes import EVENT_CODES
from tallystick.providers.simulator.read_fields import event_drift

#: ``t=<unix seconds>,v1=<hex HMAC-SHA256 of "t.body">``, one ``v1`` for each secret that it is signed with.
SIGNATURE_HEADER: Final = "acquirer-signature"

#: A signature is good for this long before and after its time: as card acquirers have it.
TOLERANCE_S: Final = 300

#: A header names a time and a few signatures while secrets are rotated; more is an attempt to keep us busy.
HEADER_LIMIT_CHARS: Final = 1_024

_SIGNATURE: Final = re.compile(r"t=([0-9]{1,12})((?:,v1=[0-9a-f]{64})+)", re.ASCII)

_Time = Annotated[datetime, Meta(tz=True)]
_Amount = Annotated[int, Meta(ge=1, lt=2**53)]
_Currency = Annotated[str, Meta(pattern=r"^[A-Z]{3}\Z")]


class _Event(Struct, frozen=True):
    id: Annotated[str, Meta(min_length=1)]
    type: Annotated[str, Meta(min_length=1)]
    created: _Time
    data: msgspec.Raw


class _Names(Struct, frozen=True):
    merchant_id: str
    payment_id: str
    charge_id: str


class _SomeNames(Struct, frozen=True):
    """Whatever an event names. Each of ours names both merchant and payment; one of other software's, neither."""

    merchant_id: str | None = None
    payment_id: str | None = None
    charge_id: str | None = None


class _Charge(Struct, frozen=True):
    charge_id: str
    effect: Effect
    amount: _Amount
    currency: _Currency
    occurred_at: _Time


class _Refund(Struct, frozen=True):
    reference: str
    amount: _Amount
    currency: _Currency
    occurred_at: _Time


class _Dispute(Struct, frozen=True):
    reference: str
    status: DisputeState
    amount: _Amount
    currency: _Currency
    occurred_at: _Time
    funds: Funds | None = None
    movement: str | None = None
    reason: str | None = None


class _Operation(OperationBody, frozen=True):
    """As the API answers it, and read more strictly: nobody waits for this, so an odd one can be rejected."""

    operation: Operation
    amount: _Amount
    currency: _Currency
    occurred_at: _Time | None = None


_EVENT: Final = msgspec.json.Decoder(_Event)
_SOME_NAMES: Final = msgspec.json.Decoder(_SomeNames)
_NAMES: Final = msgspec.json.Decoder(_Names)
_OPERATION: Final = msgspec.json.Decoder(_Operation)
_CHARGE: Final = msgspec.json.Decoder(_Charge)
_REFUND: Final = msgspec.json.Decoder(_Refund)
_DISPUTE: Final = msgspec.json.Decoder(_Dispute)


class SimulatorReceiver:
    """Reads the test acquirer's webhooks. Any of ``secrets`` is accepted: there are two while one is replaced."""

    name = "simulator"
    acknowledgement = b'{"received":true}'
    content_type = b"application/json"

    def __init__(self, account: str, secrets: Sequence[str]) -> None:
        if not secrets or not all(secrets):
            raise ValueError("a receiver needs a secret")
        self.account = account
        self._secrets = tuple(secret.encode() for secret in secrets)

    def receive(self, body: bytes, headers: Mapping[str, str], now: datetime) -> Sequence[Notification]:
        """The event of one delivery. Raises BadSignature and StaleTimestamp, and nothing else."""
        signed_at_s, signatures = _signature_parts(headers.get(SIGNATURE_HEADER, ""))
        verify_timed_signature(body, signed_at_s, signatures, self._secrets, now=now, tolerance_ms=TOLERANCE_S * 1000)
        return self.translate(body)

    def translate(self, body: bytes) -> Sequence[Notification]:
        """The event, without a look at its signature. Raises nothing."""
        said = said_in(body)
        found = translated(partial(event_drift, said), partial(_notification, body), partial(_kept, body))
        return (msgspec.structs.replace(found, api_version=version_of(said, "api_version")),)


def _signature_parts(header: str) -> tuple[str, list[str]]:
    """The time in seconds and the signatures. Raises BadSignature."""
    found = _SIGNATURE.fullmatch(header) if len(header) <= HEADER_LIMIT_CHARS else None
    if found is None:
        raise BadSignature("no well-formed signature")
    return found.group(1), found.group(2).split(",v1=")[1:]


def _kept(body: bytes, error: Exception) -> Notification:
    return not_read(hashlib.sha256(body).digest(), type_in(body), EVENT_CODES, error)


def _notification(body: bytes) -> Notification:
    event = _EVENT.decode(body)
    if event.type not in EVENT_CODES:
        raise CannotRead("its type is not known here")
    read = _READERS.get(event.type)
    names = _SOME_NAMES.decode(event.data)
    unmarked = names.merchant_id is None and names.payment_id is None
    if read is not None and not unmarked:
        _NAMES.decode(event.data)
    return Notification(
        provider_event_id=event.id,
        type=event.type,
        occurred_at=event.created,
        charge_reference=names.charge_id,
        merchant_id=names.merchant_id,
        payment_id=names.payment_id,
        mark="absent" if unmarked else "ours",
        notice=None if read is None else read(event.data),
    )


def _outcome(data: msgspec.Raw) -> Notice:
    """How one call of ours went."""
    operation = _OPERATION.decode(data)
    verdict = verdict_of(operation, None)
    if isinstance(verdict, Unknown):
        raise ValueError("unknown status")
    return AttemptNotice(
        operation=operation.operation,
        attempt_id=operation.attempt_id,
        reference=operation.reference,
        verdict=verdict,
    )


def _late_failure(data: msgspec.Raw) -> Notice:
    """What had been approved failed after all. Here it can be said of a refund too: the event tells of the change."""
    notice = _outcome(data)
    assert isinstance(notice, AttemptNotice)
    verdict = notice.verdict
    if isinstance(verdict, Declined):
        verdict = Reversed(
            code=verdict.code, message=verdict.message, reference=verdict.reference, occurred_at=verdict.occurred_at
        )
    if not isinstance(verdict, Reversed):
        raise ValueError("not a failure")
    return msgspec.structs.replace(notice, verdict=verdict)


def _charge(data: msgspec.Raw) -> ChargeNotice:
    """Where a charge stands, brought there by no call of ours."""
    charge = _CHARGE.decode(data)
    verdict = Approved(
        amount=charge.amount,
        currency=charge.currency,
        effect=charge.effect,
        reference=charge.charge_id,
        occurred_at=charge.occurred_at,
    )
    return ChargeNotice(verdict=verdict)


def _expiry(data: msgspec.Raw) -> Notice:
    return msgspec.structs.replace(_charge(data), expired=True)


def _refund(data: msgspec.Raw) -> Notice:
    refund = _REFUND.decode(data)
    return RefundNotice(
        reference=refund.reference, amount=refund.amount, currency=refund.currency, occurred_at=refund.occurred_at
    )


def _dispute(data: msgspec.Raw) -> Notice:
    dispute = _DISPUTE.decode(data)
    return DisputeNotice(
        reference=dispute.reference,
        state=dispute.status,
        amount=dispute.amount,
        currency=dispute.currency,
        funds=dispute.funds,
        movements=_movements(dispute),
        reason=dispute.reason,
        occurred_at=dispute.occurred_at,
    )


def _movements(dispute: _Dispute) -> tuple[Movement, ...] | None:
    """What moved with this event, by the acquirer's name for it; None where it gives none."""
    if dispute.funds is None or dispute.movement is None:
        return () if dispute.funds is None else None
    early = dispute.status in ("opened", "under_review")
    moved = Movement(reference=dispute.movement, funds=dispute.funds, amount=dispute.amount, before_verdict=early)
    return (moved,)


#: Event type -> its reader.
_READERS: Final[Mapping[str, Callable[[msgspec.Raw], Notice]]] = {
    **dict.fromkeys(
        (
            "charge.authorized",
            "charge.captured",
            "charge.voided",
            "charge.declined",
            "charge.action_required",
            "capture.declined",
            "cancel.declined",
            "refund.succeeded",
            "refund.declined",
        ),
        _outcome,
    ),
    "refund.failed": _late_failure,
    "capture.failed": _late_failure,
    "dashboard.captured": _charge,
    "charge.expired": _expiry,
    "dashboard.refunded": _refund,
    "dispute.opened": _dispute,
    "dispute.funds_withdrawn": _dispute,
    "dispute.funds_returned": _dispute,
    "dispute.under_review": _dispute,
    "dispute.won": _dispute,
    "dispute.lost": _dispute,
}
