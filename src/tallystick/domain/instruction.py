"""An instruction as it is stored."""

from __future__ import annotations

from msgspec import Struct


class StoredInstruction(Struct, frozen=True, kw_only=True):
    """An instruction as found under its key, with its recorded answer if it is final. ``api_version``:
    the version that the answer is recorded in, as stored. ``erased``: its personal values are erased, and request and
    answer have ``domain.personal.ERASED`` in their place; the fingerprint is that of such a request."""

    merchant_id: str
    idempotency_key: str
    instruction_id: str
    operation: str
    path: str
    fingerprint: bytes
    fingerprint_version: int
    request: bytes
    payment_id: str
    subject_id: str
    status: int | None = None
    body: bytes | None = None
    api_version: str | None = None
    erased: bool = False
