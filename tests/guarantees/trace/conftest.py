"""The demonstration with faults, for all tests here: its record, and the books of the test acquirer."""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final, NamedTuple

import asyncpg
import pytest
import pytest_asyncio

from tallystick.record.postgres.connections import FIND_BY_KEY
from tallystick.record.postgres.embedded.server import DatabaseUrls
from tests.support.demonstration import Demonstration

#: The demonstration's merchant.
MERCHANT: Final = "demo"


class AtTheAcquirer(NamedTuple):
    """What the acquirer's books have of one payment. ``effects``: operations that it carried out; ``failed``: of them,
    those that failed later."""

    effects: dict[str, int]
    failed: dict[str, int]
    captured: int
    refunded: int
    withdrawn: int
    held: int


NOTHING: Final = AtTheAcquirer({}, {}, 0, 0, 0, 0)


class Demonstrated(NamedTuple):
    """What the demonstration leaves behind."""

    urls: DatabaseUrls
    said: str
    books: dict[str, AtTheAcquirer]


@pytest.fixture(scope="session")
def demonstrated(demonstration: Demonstration) -> Demonstrated:
    """The record, open, and the acquirer's books by payment."""
    return Demonstrated(demonstration.postgres.urls(), demonstration.said, _books(demonstration.books))


def _books(file: Path) -> dict[str, AtTheAcquirer]:
    books = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
    try:
        effects: dict[str, Counter[str]] = defaultdict(Counter)
        failed: dict[str, Counter[str]] = defaultdict(Counter)
        for payment_id, operation, status, number in books.execute(
            "SELECT c.payment_id, o.operation, o.status, count(*) FROM operation o JOIN charge c ON c.id = o.charge_id"
            " WHERE o.status IN ('approved', 'failed') GROUP BY 1, 2, 3"
        ):
            effects[payment_id][operation] += number
            if status == "failed":
                failed[payment_id][operation] += number
        withdrawn = dict(
            books.execute(
                "SELECT c.payment_id, sum(d.withdrawn) FROM dispute d JOIN charge c ON c.id = d.charge_id GROUP BY 1"
            )
        )
        rows = books.execute(
            "SELECT payment_id, sum(captured), sum(refunded),"
            " sum(CASE WHEN status = 'authorized' THEN authorized ELSE 0 END) FROM charge GROUP BY 1"
        )
        return {
            payment_id: AtTheAcquirer(
                dict(effects[payment_id]),
                dict(failed[payment_id]),
                captured,
                refunded,
                withdrawn.get(payment_id, 0),
                held,
            )
            for payment_id, captured, refunded, held in rows
        }
    finally:
        books.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def owner(demonstrated: Demonstrated) -> AsyncIterator[asyncpg.Connection]:
    """The owner's connection, who breaks things and rolls back."""
    connection = await asyncpg.connect(demonstrated.urls.owner_url, server_settings=FIND_BY_KEY)
    yield connection
    await connection.close()
