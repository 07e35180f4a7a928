"""One cause of a difference between what others say and our record."""

from __future__ import annotations

from msgspec import Struct


class Cause(Struct, frozen=True, kw_only=True):
    """``amount`` is signed: more than 0 is more with the provider or bank than in our record. ``absolute``: the sum of
    the amounts without their signs. ``count``: rows, postings, payouts or statements."""

    cause: str
    detail: str
    count: int
    amount: int
    absolute: int
