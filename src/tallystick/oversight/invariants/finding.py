"""The result of a check: a subject, and what is wrong with it."""

from __future__ import annotations

from typing import NamedTuple


class Finding(NamedTuple):
    """One breach. ``detail`` has the found and the expected value, and no customer data."""

    subject_id: str
    detail: str
