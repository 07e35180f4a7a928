"""What several guarantees share."""

from __future__ import annotations

from tests.support.demonstration import demonstration

__all__ = ["demonstration"]
