"""Postings of settlements that are wrong are found: on a real record, by ``verify`` or by the second opinion."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import asyncpg
import psycopg
import pytest

from tallystick.access.key_store import OPERATORS
from tallystick.domain.ledger.postings import Posting
from tallystick.domain.lifecycles.machines import MACHINES
from tallystick.domain.lifecycles.table import Posts
from tallystick.oversight.invariants import verify
from tests.guarantees.second_opinion.comparison import disagreements
from tests.guarantees.second_opinion.exported import history, stored_books
from tests.guarantees.second_opinion.interpreter import read as second_opinion
from tests.guarantees.test_posts_are_checked import MUTATIONS, SETTLED
from tests.support.database import Database, NewDatabase
from tests.support.inbox import WEBHOOK_SETTINGS
from tests.support.runtime import BookedProvider, runtime_of
from tests.support.settlement_days import Acquirer, paid, settled

MERCHANT = "shop"

EDGES = sorted(
    {
        (name, event)
        for name in SETTLED
        for _, event, edge in MACHINES[name].live_edges()
        if edge.posts is not None
    }
)  # fmt: skip


async def found_wrong(database: Database) -> list[str]:
    """What is wrong with the merchant's part and the platform's side of its batches."""
    found = []
    connection = await asyncpg.connect(database.owner_url)
    try:
        for merchant_id in (MERCHANT, OPERATORS):
            report = await verify(connection, settings=WEBHOOK_SETTINGS, merchant_id=merchant_id)
            found += [each.invariant for each in report.violations]
    finally:
        await connection.close()
    with psycopg.connect(database.owner_url, autocommit=True) as owner:
        for merchant_id in (MERCHANT, OPERATORS):
            opinion = second_opinion(history(owner, merchant_id))
            found += [str(each) for each in disagreements(opinion, stored_books(owner, merchant_id))]
    return found


async def two_files_of_a_batch(database: Database, where: Path) -> None:
    """The second is a supplement of the first."""
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        file = Acquirer()
        file.of(await paid(runtime, MERCHANT), "charge", 1_000, 30)
        await settled(runtime, file.text(), where)
        file.of(await paid(runtime, MERCHANT, 500), "charge", 500, 20)
        await settled(runtime, file.text(), where, name="again.csv")


async def test_right_postings_are_clean(new_database: NewDatabase, tmp_path: Path) -> None:
    database = new_database()
    await two_files_of_a_batch(database, tmp_path)
    assert await found_wrong(database) == []


@pytest.mark.parametrize("at", [0, 1])
@pytest.mark.parametrize("mutation", MUTATIONS)
@pytest.mark.parametrize(("machine", "event"), EDGES)
async def test_a_wrong_posting_is_found(
    new_database: NewDatabase,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    machine: str,
    event: str,
    mutation: str,
    at: int,
) -> None:
    """Each of these edges posts two legs here: to merchants and of fees; or from the provider, and payable."""
    wronged = 0

    def wrong(posts: Posts) -> Callable[[Any, Any], Sequence[Posting]]:
        def mutated(before: Any, after: Any) -> Sequence[Posting]:
            nonlocal wronged
            legs = posts(before, after)
            assert len(legs) == 2
            wronged += 1
            return MUTATIONS[mutation](legs, at)

        return mutated

    for edges in MACHINES[machine].edges.values():
        edge = edges.get(event)
        if edge is not None and edge.posts is not None:
            monkeypatch.setitem(edges, event, edge._replace(posts=wrong(edge.posts)))
    database = new_database()
    await two_files_of_a_batch(database, tmp_path)
    assert wronged and await found_wrong(database)
