"""What a process opens, it closes, whatever fails meanwhile."""

from __future__ import annotations

import pytest

from tallystick.flows.runtime import Runtime
from tests.support.database import Database
from tests.support.runtime import BookedProvider, runtime_of


class Unclosable(BookedProvider):
    """Cannot be closed."""

    async def close(self) -> None:
        raise ConnectionResetError("while closing")


async def test_a_provider_that_cannot_be_closed_leaves_nothing_else_open(database: Database) -> None:
    opened: list[Runtime] = []
    with pytest.raises(ConnectionResetError, match="while closing"):
        async with runtime_of(database.app_url, Unclosable()) as runtime:
            opened.append(runtime)
    assert opened[0].pool.is_closing()
