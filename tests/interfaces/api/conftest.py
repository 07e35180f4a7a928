"""The whole stack as it runs in earnest: PostgreSQL, the API under granian, recovery, the acquirer: all processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.api import Merchant, Stack, running_stack
from tests.support.database import NewDatabase
from tests.support.letters import new_letters


@pytest.fixture(scope="package")
def stack(new_database: NewDatabase, data_dir: Path) -> Iterator[Stack]:
    """Once for all tests here: starting it takes longer than any of them. ``tests/support/needs.py`` keeps the files
    that use it on one worker, and it ends with them."""
    with running_stack(new_database, data_dir) as running:
        yield running


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
