"""The receiving half of a connector: one delivery of webhooks, verified and translated.

A receiver verifies the signature over the bytes as they came, and translates. It decides nothing, reads no stored
state and does no I/O: whether something happened already, or can have happened, is decided later, from the record.
The items of a delivery are judged one by one: an item that cannot be read costs no other item anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final, Protocol

import msgspec
from msgspec import Struct

from tallystick.domain.marks import Mark
from tallystick.domain.notices import StoredNotice, Unreadable
from tallystick.providers.contract_drift import Drift
from tallystick.providers.event_codes import EventMeaning
from tallystick.providers.json_bytes import ILL_FORMED

#: The type of an event that cannot be read: what its bytes call it is not believed.
UNREADABLE_TYPE: Final = "unreadable"


class BadSignature(Exception):
    """A signature is missing, wrong or malformed. The message never repeats what was sent.

    Where the items of a delivery are signed one by one, ``signed`` are the events of those whose signature is right,
    and ``body`` is a delivery of these alone: nothing else may ever be read from it again.
    """

    def __init__(self, message: str, signed: Sequence[Notification] = (), body: bytes = b"") -> None:
        super().__init__(message)
        self.signed = signed
        self.body = body


class StaleTimestamp(Exception):
    """A valid signature over a time that is too far from ours: a replayed recording, or a broken clock."""


class Unparseable(Exception):
    """No item can be found in it, and so no signature of one. The message never repeats what was sent."""


class CannotRead(ValueError):
    """Why a signed item is not translated. The message never repeats what was sent."""


class Notification(Struct, frozen=True, kw_only=True):
    """One event of a provider, normalised. ``provider_event_id`` is the dedup marker, from the bytes alone.

    ``merchant_id``, ``payment_id``: ours, where the bytes carry them (metadata, merchant reference); else the payment
    is looked up by ``charge_reference``, the provider's name for the charge. ``mark``: whose the event's object is,
    where the bytes prove it; disputes and what was made in a dashboard prove nothing. ``notice`` is None for a type
    that does not concern money. ``digest``: SHA-256 of what the event says. ``item_digest``: SHA-256 of its own bytes,
    by which it is found again where it could not be read; None: it is the whole body. ``api_version``: of the
    provider's API, whose words these are. ``drift``: where it differs from what is read here.
    """

    provider_event_id: str
    type: str
    occurred_at: datetime | None = None
    charge_reference: str | None = None
    merchant_id: str | None = None
    payment_id: str | None = None
    mark: Mark | None = None
    traceparent: str | None = None
    notice: StoredNotice | None = None
    digest: bytes | None = None
    item_digest: bytes | None = None
    api_version: str | None = None
    drift: tuple[Drift, ...] = ()


class _Typed(Struct, frozen=True):
    type: str


_TYPED: Final = msgspec.json.Decoder(_Typed)


def type_in(body: bytes) -> str | None:
    """The type of an event, though the rest of it cannot be read; None where there is none."""
    try:
        return _TYPED.decode(body).type
    except ILL_FORMED:
        return None


def translated(
    compare: Callable[[], tuple[Drift, ...]],
    read: Callable[[], Notification],
    keep: Callable[[Exception], Notification],
) -> Notification:
    """A signed event as ``read`` reads it, with the differences that ``compare`` finds. Where ``read`` cannot, or a
    difference is in a field that decides, as ``keep`` keeps it. Raises nothing."""
    drift: tuple[Drift, ...] = ()
    try:
        drift = compare()
        found = read()
        _require_no_drift(drift)
    except Exception as error:  # a defect of a reader, too, costs the event its translation and not its place
        found = keep(error)
    return msgspec.structs.replace(found, drift=drift)


def _require_no_drift(found: Iterable[Drift]) -> None:
    """Raises CannotRead for a difference in a field that decides."""
    for drift in found:
        if drift.decides:
            raise CannotRead(str(drift))


def name_by_digest(item_digest: bytes) -> str:
    """The name of an event that is known by its bytes alone."""
    return f"digest:{item_digest.hex()}"


def unreadable(item_digest: bytes, error: Exception | str, foreign_charge: str | None = None) -> Notification:
    """A signed event that cannot be read. Of an error the type alone is kept: its text may repeat what was sent.
    ``foreign_charge``: the charge that the event is about, where its object certainly bears no mark of ours."""
    reason = str(error) if isinstance(error, CannotRead | str) else f"it cannot be read: {type(error).__name__}"
    found = _by_digest(item_digest, UNREADABLE_TYPE, Unreadable(reason=reason))
    if foreign_charge is None:
        return found
    return msgspec.structs.replace(found, mark="absent", charge_reference=foreign_charge)


def not_read(
    item_digest: bytes,
    code: str | None,
    codes: Mapping[str, EventMeaning],
    error: Exception,
    foreign_charge: str | None = None,
) -> Notification:
    """A signed event that cannot be read: one that moves no money, where its code certainly moves none, and else
    unreadable. ``codes``: the provider's table."""
    if code is not None and codes.get(code, "moves_money") != "moves_money":
        return not_about_money(item_digest, code)
    return unreadable(item_digest, error, foreign_charge)


def not_about_money(item_digest: bytes, event_type: str) -> Notification:
    """A signed event that cannot be read, of a type that is certainly not about payments."""
    return _by_digest(item_digest, event_type, None)


def _by_digest(item_digest: bytes, event_type: str, notice: Unreadable | None) -> Notification:
    return Notification(
        provider_event_id=name_by_digest(item_digest),
        type=event_type,
        notice=notice,
        digest=item_digest,
        item_digest=item_digest,
    )


class Receiver(Protocol):
    """The receiving half of a connector."""

    name: str
    account: str
    acknowledgement: bytes  # the body of the 200
    content_type: bytes

    def receive(self, body: bytes, headers: Mapping[str, str], now: datetime) -> Sequence[Notification]:
        """Every event of one delivery; header names are lower-case. An item of a right signature is always among them,
        as unreadable where it cannot be read.

        Raises BadSignature (with the events of the other items), StaleTimestamp and Unparseable, and nothing else for
        any bytes.
        """

    def translate(self, body: bytes) -> Sequence[Notification]:
        """Every event of a delivery whose signature was right when it came: kept bytes, read with today's code. Raises
        Unparseable, and nothing else."""
