"""The books as the record has them, beside what the second opinion makes of its history."""

from __future__ import annotations

import psycopg

from tallystick.access.key_store import OPERATORS
from tests.guarantees.second_opinion.comparison import disagreements
from tests.guarantees.second_opinion.exported import history, stored_books
from tests.guarantees.second_opinion.interpreter import read
from tests.support.database import Database
from tests.support.inbox import assert_invariants


def books_agree(database: Database, *merchant_ids: str) -> None:
    """Those of each of them agree with a second opinion, which has seen something. ``OPERATORS``: the platform's."""
    with psycopg.connect(database.owner_url, autocommit=True) as owner:
        for each in merchant_ids:
            opinion = read(history(owner, each))
            assert opinion.seen and disagreements(opinion, stored_books(owner, each)) == []


async def books_hold(database: Database, merchant_id: str) -> None:
    """The merchant's and the platform's agree with a second opinion, and every invariant of the merchant holds."""
    books_agree(database, merchant_id, OPERATORS)
    await assert_invariants(database, merchant_id)
