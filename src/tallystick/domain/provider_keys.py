"""The idempotency keys that providers see."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any


@lru_cache(maxsize=1024)  # a new attempt's key is asked for by its decision, its step and its row, one after another
def provider_key(merchant_id: str, idempotency_key: str, operation: str, ordinal: int) -> str:
    """The idempotency key that the provider sees: the same even if our own row was lost. Rows leave it out where it
    follows from the others, so the rule must never change."""
    text = "\n".join((merchant_id, idempotency_key, operation, str(ordinal)))
    return hashlib.sha256(text.encode()).hexdigest()


def key_of_instruction(attempt: Mapping[str, Any]) -> str | None:
    """The provider key of the attempt that an instruction opened, from the attempt's fields; None for an attempt of the
    platform itself. Raises KeyError for a missing field."""
    idempotency_key = attempt.get("idempotency_key")
    if idempotency_key is None:
        return None
    return provider_key(attempt["merchant_id"], idempotency_key, attempt["operation"], 1)
