"""Signatures of messages: Standard Webhooks 1.0.0, by its own library."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from standardwebhooks import Webhook

#: How long a secret is, by the specification.
SECRET_BYTES: Final = range(24, 65)

#: How long ours are.
_NEW_SECRET_BYTES: Final = 32

SECRET_PREFIX: Final = "whsec_"

#: Which version of the API a message is in. Not signed.
VERSION_HEADER: Final = "tallystick-version"


def new_secret() -> str:
    """A signing secret as shown to the merchant: ``whsec_`` and base64."""
    return SECRET_PREFIX + base64.b64encode(os.urandom(_NEW_SECRET_BYTES)).decode()


def signed_headers(message_id: str, at: datetime, body: bytes, secrets: Sequence[str]) -> Mapping[str, str]:
    """The three headers of one try: the id stays the same over all tries, ``at`` (aware) is this one's. Every secret
    signs: during a rotation the receiver may know the old one or the new one."""
    # The library drops the zone instead of converting, so the time must be in UTC.
    moment, text = at.astimezone(UTC), body.decode()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": " ".join(Webhook(secret).sign(message_id, moment, text) for secret in secrets),
    }
