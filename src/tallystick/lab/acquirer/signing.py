"""Signatures of events, and forged events. Pure."""

from __future__ import annotations

import hashlib
import hmac
import uuid
from typing import Any, Final

import msgspec

#: The header of every webhook: ``t=<unix seconds>,v1=<hex HMAC-SHA256 of "t.body">``.
SIGNATURE_HEADER: Final = "Acquirer-Signature"

#: A forger knows the scheme, and not the secret.
_FORGERS_SECRET: Final = b"not the secret"


def signature(secret: str, body: bytes, at: float) -> str:
    """The header's value for a body that leaves now."""
    return _signed(secret.encode(), body, at)


def forgers_signature(body: bytes, at: float) -> str:
    """A value of the right form that no secret of ours made."""
    return _signed(_FORGERS_SECRET, body, at)


def forgery(body: bytes) -> bytes:
    """An event of the forger's own that claims another outcome than the real one."""
    event = msgspec.json.decode(body)
    data: dict[str, Any] = event["data"]
    if data.get("status") == "approved":
        other = {"status": "declined", "effect": None, "decline_code": "card_declined"}
        kind = "charge.declined"
    else:
        other = {"status": "approved", "effect": "captured", "decline_code": None, "decline_message": None}
        kind = "charge.captured"
    return msgspec.json.encode(event | {"id": f"evt_sim_{uuid.uuid4().hex}", "type": kind, "data": data | other})


def twin(body: bytes) -> bytes:
    """Other bytes under the same event id: one minor unit more."""
    event = msgspec.json.decode(body)
    data: dict[str, Any] = event["data"]
    return msgspec.json.encode(event | {"data": data | {"amount": data["amount"] + 1}})


def _signed(secret: bytes, body: bytes, at: float) -> str:
    second = str(int(at))
    return f"t={second},v1={hmac.new(secret, second.encode() + b'.' + body, hashlib.sha256).hexdigest()}"
