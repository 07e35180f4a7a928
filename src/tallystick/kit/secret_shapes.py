"""What only secrets look like, wherever they stand: our API keys and signing secrets, Stripe's keys and client secrets,
private keys, bearer headers, tokens in JWS form."""

from __future__ import annotations

import re
from typing import Final

#: Each secret has one of these, in small letters: they are looked for first.
_SIGNS: Final = ("tsk_", "whsec_", "k_live_", "k_test_", "_secret_", "private key", "bearer", "eyj")

SECRETS: Final = re.compile(
    r"\btsk_[a-z0-9-]+_[A-Za-z0-9_-]{8,}|\bwhsec_[A-Za-z0-9+/=_-]{8,}|\b[srp]k_(?:live|test)_[A-Za-z0-9]{8,}"
    r"|\b[a-z]{2,8}_[A-Za-z0-9]{6,}_secret_[A-Za-z0-9]{8,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY|\bbearer\s+[A-Za-z0-9._~+/-]{16,}"
    # Whether two long words with points behind them follow is seen at the first one's beginning, and at no other place.
    r"|(?<![A-Za-z0-9_-])(?=[A-Za-z0-9_-]++\.[A-Za-z0-9_-]{8,}+\.)"
    r"[A-Za-z0-9_-]*?\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*",
    re.IGNORECASE,
)


def has_secret(text: str) -> bool:
    """Whether something in the text looks like a secret."""
    small = text.lower()
    for sign in _SIGNS:
        if sign in small:
            return SECRETS.search(text) is not None
    return False
