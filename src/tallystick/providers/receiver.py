"""The receiving half of a connector: one delivery of webhooks, verified and translated.

A receiver verifies the signature over the bytes as they came, and translates. It decides nothing, reads no stored
state and does no I/O: whether something happened already, or can have happened, is decided later, from the record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from msgspec import Struct

from tallystick.domain.notices import Notice


class BadSignature(Exception):
    """The signature is missing, wrong or malformed. The message never repeats what was sent."""


class StaleTimestamp(Exception):
    """A valid signature over a time that is too far from ours: a replayed recording, or a broken clock."""


class Unparseable(Exception):
    """Signed, but not a delivery of this provider. The message never repeats what was sent."""


class Notification(Struct, frozen=True, kw_only=True):
    """One event of a provider, normalised. ``provider_event_id`` is the dedup marker, from the bytes alone.

    ``merchant_id``, ``payment_id``: ours, where the bytes carry them (metadata, merchant reference); else the payment
    is looked up by ``charge_reference``, the provider's name for the charge. ``notice`` is None for a type that
    does not concern money.
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
        """Every event of one delivery; header names are lower-case. One bad event rejects the whole delivery.

        Raises BadSignature, StaleTimestamp and Unparseable, and nothing else for any bytes.
        """

    def translate(self, body: bytes) -> Sequence[Notification]:
        """Every event of a delivery whose signature was right when it came: kept bytes, read with today's code. Raises
        Unparseable, and nothing else."""
