"""Which of a merchant's payments a list shows."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct


class PaymentFilter(Struct, frozen=True, kw_only=True):
    """All that is given must hold. ``created_gte`` and ``created_lt`` are aware; ``metadata`` is a key and a value."""

    state: str | None = None
    created_gte: datetime | None = None
    created_lt: datetime | None = None
    provider_reference: str | None = None
    idempotency_key: str | None = None
    amount: int | None = None
    metadata: tuple[str, str] | None = None
