"""Codes of authenticator apps: time-based one-time passwords (RFC 6238), as every app makes them. No I/O."""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import datetime
from typing import Final
from urllib.parse import quote

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP

#: What apps assume where nothing is said; many ignore what is.
DIGITS: Final = 6
STEP_S: Final = 30

#: RFC 4226 asks for 160 bits.
SECRET_BYTES: Final = 20

#: A code of the step before or after is taken too: clocks differ, and people type.
_STEPS_APART: Final = 1

ISSUER: Final = "Tallystick"


def enrolment_secret(form_secret: str) -> bytes:
    """The secret that a form shows whoever enrols. It follows from the form's own random cookie, so that the form can
    be loaded again and the page need not send it back."""
    return hmac.new(form_secret.encode(), b"second factor", hashlib.sha256).digest()[:SECRET_BYTES]


def matching_step(secret: bytes, code: str, now: datetime) -> int | None:
    """The time step whose code this is, around now; None for a wrong code."""
    digits = "".join(code.split())
    current = int(now.timestamp()) // STEP_S
    found = None
    for step in range(current - _STEPS_APART, current + _STEPS_APART + 1):
        if hmac.compare_digest(code_at(secret, step).encode(), digits.encode()):
            found = step
    return found


def code_at(secret: bytes, step: int) -> str:
    """The code of a time step."""
    return TOTP(secret, DIGITS, SHA1(), STEP_S).generate(step * STEP_S).decode()  # SHA-1 as apps have it, in an HMAC


def shown_secret(secret: bytes) -> str:
    """For people who type it: base32 in groups of four."""
    text = base64.b32encode(secret).decode()
    return " ".join(text[start : start + 4] for start in range(0, len(text), 4))


def otpauth_url(secret: bytes, operator_id: str) -> str:
    """For apps that open links."""
    text = base64.b32encode(secret).decode()
    return f"otpauth://totp/{ISSUER}:{quote(operator_id)}?secret={text}&issuer={ISSUER}"


def totp_row(operator_id: str) -> bytes:
    """What a sealed secret is bound to."""
    return f"operator second factor {operator_id}".encode()
