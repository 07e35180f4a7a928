"""What a check hands back: which subject, and what is wrong with it."""

from __future__ import annotations

from typing import NamedTuple


class Finding(NamedTuple):
    """One breach. ``detail`` says what was seen and what must be; it holds no customer's words."""

    subject_id: str
    detail: str
