"""What a demonstration with faults leaves behind: its record, and the test acquirer's books by payment."""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from pathlib import Path
from typing import Final, NamedTuple

from tallystick.record.postgres.embedded.server import DatabaseUrls

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


#: A payment of which the acquirer never heard.
NOTHING: Final = AtTheAcquirer({}, {}, 0, 0, 0, 0)


class Demonstrated(NamedTuple):
    """What the demonstration leaves behind."""

    urls: DatabaseUrls
    said: str
    books: dict[str, AtTheAcquirer]


def books_in(file: Path) -> dict[str, AtTheAcquirer]:
    """The books by payment."""
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
