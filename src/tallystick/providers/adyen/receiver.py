"""Adyen's standard notifications: every item's signature, and items as notices. Pure.

Only the signed fields decide: references, account, amount, event and success. ``reason`` and ``eventDate`` are not
signed, and only describe what the signed ones decide; ``additionalData`` is not read at all, but for the
signature. Nothing in the signed text is escaped, so an item with a colon in a signed field other than the merchant's
reference is kept and never translated: there is more than one way to read it. Items are judged one by one.

How a payment is to be captured is in the reference that we gave it (``reference.py``). A modification whose
notification brings a reference of its own is the outcome of one of our calls; one that brings the payment's was made in
Adyen's dashboard. A cancellation is told as where the charge stands, since its amount is not always the hold's.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Raw, Struct

from tallystick.domain.marks import Mark
from tallystick.domain.notices import (
    AttemptNotice,
    CancelOrRefundNotice,
    CaptureNotice,
    ChargeNotice,
    Notice,
    RefundNotice,
    StoredNotice,
    UnknownNotice,
)
from tallystick.domain.subjects import Operation
from tallystick.domain.verdicts import Approved, Declined, Effect, Reversed, Verdict
from tallystick.providers.adyen.codes import FAILURES, decline_reason_from_text
from tallystick.providers.adyen.disputes import DISPUTES
from tallystick.providers.adyen.event_codes import EVENT_CODES
from tallystick.providers.adyen.items import Item, amount_of, amount_that_is_not_used
from tallystick.providers.adyen.loose_json import elements, members
from tallystick.providers.adyen.read_fields import ITEM
from tallystick.providers.adyen.reference import Reference, read_reference
from tallystick.providers.adyen.reports import report_of
from tallystick.providers.adyen.signed_text import is_readable, signed_text_of
from tallystick.providers.json_bytes import ILL_FORMED, said_in
from tallystick.providers.receiver import (
    BadSignature,
    CannotRead,
    Notification,
    Unparseable,
    not_read,
    translated,
)
from tallystick.providers.shared import shortened


class _Wrapped(Struct, frozen=True):
    item: Raw = msgspec.field(name="NotificationRequestItem")


class _Delivery(Struct, frozen=True, rename="camel"):
    notification_items: Annotated[list[Raw], Meta(min_length=1)]


_DELIVERY: Final = msgspec.json.Decoder(_Delivery)
_WRAPPED: Final = msgspec.json.Decoder(_Wrapped)
_ITEM: Final = msgspec.json.Decoder(Item)

#: Adyen's name for the format of these notifications, of which a delivery says nothing (api-explorer, Webhooks v1).
NOTIFICATION_VERSION: Final = "webhooks-v1"


class AdyenReceiver:
    """Reads one account's deliveries. ``merchant_account`` is its name at Adyen; ``hmac_keys`` are the webhook's, in
    hexadecimal, the old one beside the new one while it is replaced. Raises ValueError where there is no key, or a
    malformed one. The signature holds no time, so a replayed delivery is recognised by its event id alone."""

    name = "adyen"
    acknowledgement = b"[accepted]"
    content_type = b"text/plain"

    def __init__(self, account: str, merchant_account: str, hmac_keys: Sequence[str]) -> None:
        if not merchant_account or not hmac_keys or not all(hmac_keys):
            raise ValueError("a receiver needs a merchant account and an HMAC key")
        self.account = account
        self._merchant_account = merchant_account
        self._keys = [bytes.fromhex(key) for key in hmac_keys]

    def receive(self, body: bytes, headers: Mapping[str, str], now: datetime) -> Sequence[Notification]:
        """Every item of a delivery. Raises BadSignature, with the items whose signature is right, and Unparseable, and
        nothing else."""
        items = _items(body)
        signed = [item for item in items if self._is_signed(item)]
        found = [self._notification(item) for item in signed]
        if len(signed) < len(items):
            raise BadSignature("an item's signature is missing or wrong", found, _delivery(signed))
        return found

    def translate(self, body: bytes) -> Sequence[Notification]:
        """Every item, without a look at its signature. Raises Unparseable, and nothing else."""
        return [self._notification(item) for item in _items(body)]

    def _is_signed(self, item: bytes) -> bool:
        try:
            text = signed_text_of(item)
            signed, given = text.signed(), (text.signature or "").encode()
        except ILL_FORMED:
            return False
        # All are compared, whichever is right: the time that it takes reveals nothing.
        matches = [hmac.compare_digest(_signature(key, signed), given) for key in self._keys]
        return any(matches)

    def _notification(self, item: bytes) -> Notification:
        """What an item says, of which the signature was right."""
        item_digest = hashlib.sha256(item).digest()
        compare = partial(ITEM.drift_in, said_in(item))
        found = translated(compare, partial(self._read, item), partial(_kept, item, item_digest))
        return msgspec.structs.replace(found, item_digest=item_digest, api_version=NOTIFICATION_VERSION)

    def _read(self, raw: bytes) -> Notification:
        """Raises CannotRead, and whatever a reader raises."""
        if not is_readable(raw):
            raise CannotRead("a part of it is no JSON")
        if signed_text_of(raw).is_ambiguous():
            raise CannotRead("a colon in a signed field: there is more than one way to read it")
        item = _ITEM.decode(raw)
        if item.success not in (True, False, "true", "false"):
            raise CannotRead("success is neither true nor false")
        reference, notice = read_reference(item.merchant_reference), None
        if item.merchant_account_code == self._merchant_account:
            translate = _TRANSLATIONS.get(item.event_code)
            if item.event_code == "REPORT_AVAILABLE":
                return _named(item, reference, report_of(item), _digest(raw))
            notice = _not_translated(item) if translate is None else translate(item, reference)
        elif reference is not None:
            raise CannotRead("an item of another merchant account, with a reference of ours")
        return _named(item, reference, notice, _digest(raw))


def _items(body: bytes) -> list[bytes]:
    """The items of a delivery, as they are written. Raises Unparseable where there are none to look at."""
    try:
        found = [bytes(element) for element in _DELIVERY.decode(body).notification_items]
    except msgspec.ValidationError as error:
        raise Unparseable(f"not a notification of Adyen's: {type(error).__name__}") from None
    except ILL_FORMED:
        found = _loose_items(body)
    return [_inner(element) for element in found]


def _loose_items(body: bytes) -> list[bytes]:
    """Of a delivery of which a part is no JSON. Raises Unparseable."""
    try:
        found = elements(members(body).get("notificationItems", b""))
    except ILL_FORMED as error:
        raise Unparseable(f"not a notification of Adyen's: {type(error).__name__}") from None
    if not found:
        raise Unparseable("a notification of Adyen's without items")
    return found


def _inner(element: bytes) -> bytes:
    try:
        return bytes(_WRAPPED.decode(element).item)
    except msgspec.ValidationError:
        return element
    except ILL_FORMED:
        return _loose_inner(element)


def _loose_inner(element: bytes) -> bytes:
    try:
        return members(element).get("NotificationRequestItem", element)
    except ValueError:
        return element


def _delivery(items: Sequence[bytes]) -> bytes:
    """A delivery of these items, each as it is written."""
    wrapped = b",".join(b'{"NotificationRequestItem":' + item + b"}" for item in items)
    return b'{"notificationItems":[' + wrapped + b"]}"


def _kept(item: bytes, item_digest: bytes, error: Exception) -> Notification:
    return not_read(item_digest, _code_of(item), EVENT_CODES, error, _foreign_charge(item))


def _code_of(item: bytes) -> str | None:
    try:
        return signed_text_of(item).event_code
    except ILL_FORMED:
        return None


def _signature(key: bytes, signed: bytes) -> bytes:
    return base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest())


def _digest(item: bytes) -> bytes:
    """Of the item and not of the body, in which it may come again beside others; and without the signature, which is
    another one after its key was replaced."""
    said = said_in(item)
    if not isinstance(said, dict):  # a field that is not read
        return hashlib.sha256(item).digest()
    if isinstance(said.get("additionalData"), Mapping):
        said["additionalData"] = {name: v for name, v in said["additionalData"].items() if name != "hmacSignature"}
    return hashlib.sha256(msgspec.json.encode(said, order="sorted")).digest()


def _named(item: Item, reference: Reference | None, notice: StoredNotice | None, digest: bytes) -> Notification:
    return Notification(
        provider_event_id=f"{item.event_code}:{item.psp_reference}:{'true' if item.succeeded else 'false'}",
        type=item.event_code,
        occurred_at=item.occurred_at,
        charge_reference=item.charge_reference,
        mark=_mark(item, reference),
        merchant_id=None if reference is None else reference.merchant_id,
        payment_id=None if reference is None else reference.payment_id,
        notice=notice,
        digest=digest,
    )


def _mark(item: Item, reference: Reference | None) -> Mark | None:
    """A payment's own notification brings the reference that the payment was made with. What was made of it in Adyen's
    dashboard may have any."""
    if reference is not None:
        return "ours"
    own = item.event_code == "AUTHORISATION" and not item.original_reference
    return "absent" if own and item.merchant_reference is not None else None


def _foreign_charge(raw: bytes) -> str | None:
    """The payment without our mark that an item tells of; None where that is not certain."""
    try:
        item = None if signed_text_of(raw).is_ambiguous() else _ITEM.decode(raw)
    except ILL_FORMED:
        return None
    if item is None or _mark(item, read_reference(item.merchant_reference)) != "absent":
        return None
    return item.psp_reference


def _approved(item: Item, effect: Effect, reference: str) -> Approved:
    told = amount_of(item)._asdict()
    return Approved(**told, effect=effect, reference=reference, occurred_at=item.occurred_at)


def _voided(item: Item) -> Approved:
    """Nothing is held any more, whatever the amount says."""
    told = amount_that_is_not_used(item)._asdict()
    return Approved(**told, effect="voided", reference=item.charge_reference, occurred_at=item.occurred_at)


def _declined(item: Item, operation: Operation) -> Declined:
    code, retryable = decline_reason_from_text(item.reason, FAILURES[operation])
    message = shortened(item.reason or "The provider declined.")
    return Declined(
        code=code, message=message, retryable=retryable, reference=item.psp_reference, occurred_at=item.occurred_at
    )


def _reversal(item: Item, operation: Operation) -> Reversed:
    message = shortened(item.reason or "What was done has failed after all.")
    return Reversed(
        code=FAILURES[operation].code, message=message, reference=item.psp_reference, occurred_at=item.occurred_at
    )


def _outcome(item: Item, reference: Reference | None, operation: Operation, verdict: Verdict) -> AttemptNotice:
    """The outcome of our own attempt, where the reference names it; else of the modification that Adyen names."""
    ours = reference.attempt_id if reference is not None and reference.operation == operation else None
    return AttemptNotice(operation=operation, verdict=verdict, attempt_id=ours, reference=item.psp_reference)


def _authorisation(item: Item, reference: Reference | None) -> Notice:
    if not item.succeeded:
        return _outcome(item, reference, "authorize", _declined(item, "authorize"))
    effect: Effect = "captured" if reference is not None and reference.sale else "authorized"
    return _outcome(item, reference, "authorize", _approved(item, effect, item.psp_reference))


def _capture(item: Item, reference: Reference | None) -> Notice:
    if not item.succeeded:
        return _capture_undone(item, reference, _declined(item, "capture"))
    if reference is not None and reference.operation == "capture":
        return _outcome(item, reference, "capture", _approved(item, "captured", item.psp_reference))
    if item.original_reference is None or (reference is not None and reference.sale):
        return ChargeNotice(verdict=_approved(item, "captured", item.charge_reference))  # a sale is captured once
    return CaptureNotice(reference=item.psp_reference, occurred_at=item.occurred_at, **amount_of(item)._asdict())


def _capture_failed(item: Item, reference: Reference | None) -> Notice:
    return _capture_undone(item, reference, _reversal(item, "capture"))


def _capture_undone(item: Item, reference: Reference | None, verdict: Declined | Reversed) -> Notice:
    """A sale's capture is not an attempt of its own: what failed is the sale, which had been reported as captured."""
    if reference is not None and reference.sale:
        verdict = msgspec.structs.replace(_reversal(item, "capture"), reference=item.charge_reference)
        return _outcome(item, reference, "authorize", verdict)
    return _outcome(item, reference, "capture", verdict)


def _cancellation(item: Item, reference: Reference | None) -> Notice:
    if not item.succeeded:
        return _outcome(item, reference, "cancel", _declined(item, "cancel"))
    return ChargeNotice(verdict=_voided(item))


def _gone(item: Item, _: Reference | None) -> Notice | None:
    """A hold that time ended, or Adyen itself."""
    if not item.succeeded:
        return None
    return ChargeNotice(verdict=_voided(item), expired=True)


def _refund(item: Item, reference: Reference | None) -> Notice:
    if not item.succeeded:
        return _outcome(item, reference, "refund", _declined(item, "refund"))
    if reference is not None and reference.operation == "refund":
        return _outcome(item, reference, "refund", _approved(item, "refunded", item.psp_reference))
    return RefundNotice(reference=item.psp_reference, occurred_at=item.occurred_at, **amount_of(item)._asdict())


def _refund_failed(item: Item, reference: Reference | None) -> Notice:
    return _outcome(item, reference, "refund", _reversal(item, "refund"))


def _cancel_or_refund(item: Item, _: Reference | None) -> Notice | None:
    """What it did is in a field that is not signed. Where it did nothing, nothing is to be told."""
    if not item.succeeded:
        return None
    return CancelOrRefundNotice(reference=item.psp_reference, occurred_at=item.occurred_at, **amount_of(item)._asdict())


def _refund_with_data(item: Item, reference: Reference | None) -> Notice | None:
    """A refund that no call of ours makes."""
    return _refund(item, None) if item.succeeded else None


def _void_pending_refund(item: Item, _: Reference | None) -> Notice | None:
    """A refund was called off before it was paid: what its own notification said is undone."""
    if not item.succeeded:
        return None
    if item.original_reference is None:
        raise CannotRead("a refund was called off, and it does not say which")
    verdict = msgspec.structs.replace(_declined(item, "refund"), reference=item.original_reference)
    return AttemptNotice(operation="refund", verdict=verdict, reference=item.original_reference)


def _not_translated(item: Item) -> Notice | None:
    """Of a code without a reader: money for a person, where the signed fields say that some moved. Of a code that is in
    no table nobody can say that it moves none. Raises CannotRead."""
    meaning = EVENT_CODES.get(item.event_code)
    if meaning in ("informs", "not_about_payments"):
        return None
    amount = item.amount
    value = None if amount is None else amount.minor_units
    if item.succeeded and amount is not None and value:
        return UnknownNotice(code=item.event_code, value=value, currency=amount.currency or "")
    if meaning is None:
        raise CannotRead("its eventCode is not known here")
    return None


#: Event -> its reader.
_TRANSLATIONS: Final[Mapping[str, Callable[[Item, Reference | None], Notice | None]]] = {
    "AUTHORISATION": _authorisation,
    "CAPTURE": _capture,
    "CAPTURE_FAILED": _capture_failed,
    "CANCELLATION": _cancellation,
    "TECHNICAL_CANCEL": _gone,
    "EXPIRE": _gone,
    "CANCEL_OR_REFUND": _cancel_or_refund,
    "REFUND": _refund,
    "REFUND_WITH_DATA": _refund_with_data,
    "VOID_PENDING_REFUND": _void_pending_refund,
    "REFUND_FAILED": _refund_failed,
    "REFUNDED_REVERSED": _refund_failed,
    **DISPUTES,
}
