"""The one envelope that every provider's event is put into (CloudEvents 1.0 attributes). Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from tallystick.domain.marks import Mark
from tallystick.domain.notices import StoredNotice
from tallystick.domain.storable import is_storable_name, is_storable_time, is_storable_within
from tallystick.flows.provider_words import ProviderWords
from tallystick.kit import trace_context
from tallystick.kit.ids import is_id, new_id, sibling_id
from tallystick.kit.spans import current_span
from tallystick.providers.receiver import UNREADABLE_TYPE, Notification, Receiver, not_about_money, unreadable

_MERCHANT_ID: Final = re.compile(r"[a-z0-9-]{1,32}", re.ASCII)

_ENCODER: Final = msgspec.json.Encoder()
_HEADERS: Final = msgspec.json.Decoder(dict[str, str])

#: Replaces the headers of an event that was not the first of its delivery: it says where the bytes are.
KEPT_WITH: Final = "kept-with-delivery"


class Envelope(Struct, frozen=True, kw_only=True):
    """One event of a provider as it is stored. ``digest`` is SHA-256 of its own bytes."""

    provider: str
    account: str
    provider_event_id: str
    event_id: str
    delivery_id: str
    type: str
    received_at: datetime
    occurred_at: datetime | None
    charge_reference: str | None
    merchant_id: str | None
    payment_id: str | None
    mark: Mark | None = None
    traceparent: str
    api_version: str | None = None
    digest: bytes
    notice: StoredNotice | None

    def fairness_key(self) -> str:
        """The key of fair ordering: the merchant if the bytes name one, else the provider's account."""
        return self.merchant_id or f"{self.provider}/{self.account}"


def envelope_of(
    receiver: Receiver,
    notification: Notification,
    body: bytes,
    headers: Mapping[str, str],
    received_at: datetime,
    words: ProviderWords,
) -> Envelope:
    """A verified notification in its envelope, screened by ``words``. What cannot be stored as it is, is kept as
    unreadable, by its digest. Raises what the screen raises."""
    return enveloped((receiver.name, receiver.account), notification, body, headers, received_at, words)


def enveloped(
    account: tuple[str, str],
    notification: Notification,
    body: bytes,
    headers: Mapping[str, str],
    received_at: datetime,
    words: ProviderWords,
) -> Envelope:
    """The same of what came on another way than a webhook: no envelope is made elsewhere. ``account``: the provider and
    the account there."""
    storable = replace(_storable_notification(notification, body), api_version=notification.api_version)
    notification = words.screened(storable, *account)
    event_id = new_id("evt")
    merchant_id, payment_id = notification.merchant_id, notification.payment_id
    named = (
        merchant_id is not None
        and payment_id is not None
        and _MERCHANT_ID.fullmatch(merchant_id) is not None
        and is_id("pay", payment_id)
    )
    return Envelope(
        provider=account[0],
        account=account[1],
        provider_event_id=notification.provider_event_id,
        event_id=event_id,
        delivery_id=sibling_id("dlv", event_id),
        type=notification.type,
        received_at=received_at,
        occurred_at=notification.occurred_at,
        charge_reference=notification.charge_reference,
        merchant_id=merchant_id if named else None,
        payment_id=payment_id if named else None,
        mark=notification.mark,
        traceparent=_traceparent(notification.traceparent or headers.get("traceparent", "")),
        api_version=notification.api_version,
        digest=notification.digest or hashlib.sha256(body).digest(),
        notice=notification.notice,
    )


def item_digest_of(notification: Notification, body: bytes) -> bytes:
    """SHA-256 of an event's own bytes, which may be a part of the body."""
    return notification.item_digest or hashlib.sha256(body).digest()


def _storable_notification(notification: Notification, body: bytes) -> Notification:
    why = _not_storable(notification)
    if why is None:
        return notification
    item_digest = item_digest_of(notification, body)
    if notification.notice is None:
        known_type = notification.type if is_storable_name(notification.type) else UNREADABLE_TYPE
        return not_about_money(item_digest, known_type)
    return unreadable(item_digest, why)


def _not_storable(notification: Notification) -> str | None:
    """Why the database cannot hold a notification, or cannot distinguish it from another."""
    named_so = (notification.provider_event_id, notification.type, notification.charge_reference)
    for name in (*named_so, *_references(notification.notice)):
        if name is not None and not is_storable_name(name):
            return "a name in the event is empty, too long or not text"
    if not (is_storable_within(notification.notice) and is_storable_time(notification.occurred_at)):
        return "the event holds invalid text, or an impossible time or amount"
    return None


def _references(notice: StoredNotice | None) -> tuple[str | None, ...]:
    """The provider's ids in a notice; they are the only names of a dispute or a refund."""
    return (getattr(notice, "reference", None), getattr(getattr(notice, "verdict", None), "reference", None))


def sealed_part(body: bytes, headers: Mapping[str, str]) -> bytes:
    """The part of a delivery that is kept, before encryption: its headers as a JSON object, a newline, its body."""
    return _ENCODER.encode(dict(headers)) + b"\n" + body


def unsealed_part(plain: bytes) -> tuple[dict[str, str], bytes]:
    """The headers and the body of a kept delivery, after decryption."""
    headers, _, body = plain.partition(b"\n")
    return _HEADERS.decode(headers), body


def cloud_event(envelope: Mapping[str, Any]) -> dict[str, Any]:
    """The CloudEvents attributes of a stored envelope; extension attributes are lower-case letters, 20 at most."""
    return {
        "specversion": "1.0",
        "id": envelope["provider_event_id"],
        "source": f"/providers/{envelope['provider']}/{envelope['account']}",
        "type": envelope["type"],
        "subject": envelope["payment_id"],
        "time": envelope["occurred_at"],
        "datacontenttype": "application/json",
        "traceparent": envelope["traceparent"],
        "receivedat": envelope["received_at"],
        "providerreference": envelope["charge_reference"],
        "apiversion": envelope["api_version"],
    }


def _traceparent(given: str) -> str:
    """The sender's trace if it sent one, and no card number in its digits; else that of this process's own span, or a
    new unsampled one."""
    span = current_span()
    own = None if span is None else trace_context.parsed([span.traceparent])
    return trace_context.parsed([given]) or own or trace_context.new_trace()
