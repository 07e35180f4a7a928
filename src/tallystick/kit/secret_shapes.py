"""What only secrets look like, wherever they stand: our API keys and signing secrets, Stripe's keys and client secrets,
private keys, bearer headers, tokens in JWS form."""

from __future__ import annotations

import re
from typing import Final

#: Each secret has one of these, in small letters: they are looked for first.
_SIGNS: Final = ("tsk_", "whsec_", "k_live_", "k_test_", "_secret_", "private key", "bearer", "eyj")

#: A character of a token in JWS form.
_OF_JWS: Final = "[A-Za-z0-9_-]"

#: A token in JWS form is found from the beginning of its word, with what a dash joins to it: a word of many beginnings
#: is read once, and not from each of them.
SECRETS: Final = re.compile(
    r"\btsk_[a-z0-9-]+_[A-Za-z0-9_-]{8,}|\bwhsec_[A-Za-z0-9+/=_-]{8,}|\b[srp]k_(?:live|test)_[A-Za-z0-9]{8,}"
    r"|\b[a-z]{2,8}_[A-Za-z0-9]{6,}_secret_[A-Za-z0-9]{8,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY|\bbearer\s+[A-Za-z0-9._~+/-]{16,}"
    rf"|(?<!{_OF_JWS})(?>{_OF_JWS}*?\beyJ){_OF_JWS}{{8,}}+\.{_OF_JWS}{{8,}}+\.{_OF_JWS}*",
    re.IGNORECASE,
)


def has_secret(text: str) -> bool:
    """Whether something in the text looks like a secret."""
    small = text.lower()
    for sign in _SIGNS:
        if sign in small:
            return SECRETS.search(text) is not None
    return False
