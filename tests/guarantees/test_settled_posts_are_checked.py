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
from tallystick.flows.reconciliation.worker import ReconciliationWorker
from tallystick.oversight.invariants import verify
from tests.guarantees.second_opinion.comparison import disagreements
from tests.guarantees.second_opinion.exported import history, stored_books
from tests.guarantees.second_opinion.interpreter import read as second_opinion
from tests.support.bank_statements import camt053
from tests.support.database import DEEP, Database, NewDatabase
from tests.support.inbox import WEBHOOK_SETTINGS
from tests.support.mutated_postings import MUTATIONS, SETTLED
from tests.support.runtime import BookedProvider, runtime_of
from tests.support.settlement_days import Acquirer, paid, settled
from tests.support.settlement_imports import imported

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


async def a_statement_twice(database: Database, where: Path) -> None:
    """A payout that is known, and one that is known later: entries are compared again."""
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        for number, amount in enumerate((900, 500)):
            file = Acquirer()
            file.of(await paid(runtime, MERCHANT, amount), "charge", amount)
            file.row("payout", -amount, effect=f"payout_{number}")
            await settled(runtime, file.text(), where, name=f"{number}.csv")
            if number == 0:
                text = camt053([(900, "payout_0"), (500, "payout_1")], 0)
                await imported(runtime, text, where, name="bank", account="eur")
            while await ReconciliationWorker(runtime).round():
                pass


#: What takes the edges of a machine that is not taken by two files.
STORIES = {"bank_statement": a_statement_twice}

#: All of a bank's postings have one form: by default one mutation of each leg.
CASES = [
    (*edge, mutation, at)
    for edge in EDGES
    for mutation in MUTATIONS
    for at in (0, 1)
    if DEEP or edge[0] != "bank_statement" or mutation == ("amount", "side")[at]
]


@pytest.mark.parametrize("story", [two_files_of_a_batch, a_statement_twice])
async def test_right_postings_are_clean(new_database: NewDatabase, tmp_path: Path, story: Any) -> None:
    database = new_database()
    await story(database, tmp_path)
    assert await found_wrong(database) == []


@pytest.mark.parametrize(("machine", "event", "mutation", "at"), CASES)
async def test_a_wrong_posting_is_found(
    new_database: NewDatabase,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    machine: str,
    event: str,
    mutation: str,
    at: int,
) -> None:
    """Each of these edges posts two legs here: to merchants and of fees; from the provider, and payable; or of a
    payout that arrived, and of what nothing explains."""
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
    await STORIES.get(machine, two_files_of_a_batch)(database, tmp_path)
    assert wronged and await found_wrong(database)
