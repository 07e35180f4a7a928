"""The database of the model test: its own, because recovery works for every merchant there is."""

from __future__ import annotations

from tests.guarantees.crash.conftest import own_url

__all__ = ["own_url"]
