"""The whole stack as it runs in earnest: PostgreSQL, the API under granian, recovery, the acquirer: all processes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.api import Merchant, Stack, stack
from tests.support.letters import new_letters

__all__ = ["merchant", "other_merchant", "stack"]


@pytest.fixture
def merchant(stack: Stack, fresh_merchant: str) -> Iterator[Merchant]:
    """A merchant of this test alone."""
    someone = Merchant(stack, fresh_merchant)
    yield someone
    someone.client.close()


@pytest.fixture
def other_merchant(stack: Stack) -> Iterator[Merchant]:
    """Another one."""
    someone = Merchant(stack, "o" + new_letters())
    yield someone
    someone.client.close()
