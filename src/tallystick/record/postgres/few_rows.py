"""The rows of a file that are left to be compared one by one, where they are few: found by key, and read at once.

Nearly all rows are plain ones. What is left of a file of a million rows is a thousand, and must not cost another look
at everything that the record has of a provider.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

from msgspec import Struct

from tallystick.record.postgres import sql

_STATEMENTS: Final = sql.load("few_rows.sql")

#: Up to so many rows are found by key; more are read with cursors, from lists that are joined whole.
FEW: Final = 5_000

#: What a statement over a whole file may take.
_LONG_S: Final = 600.0

_BY_KEY: Final = "SET LOCAL enable_nestloop = on"
_IN_LISTS: Final = "SET LOCAL enable_nestloop = off"


class Asked(Struct, frozen=True, kw_only=True):
    """What candidates are asked for. ``ledger``: the account of the provider in our books; ``kinds``: of rows that are
    about payments; ``takes``: reasons with which a row takes a posting; ``of_their_charge``: kinds of rows whose
    reference is that of their charge."""

    file_id: str
    provider: str
    account: str
    ledger: str
    kinds: Sequence[str]
    takes: Sequence[str]
    of_their_charge: Sequence[str]

    def values(self) -> tuple[Any, ...]:
        """In the order of the statements."""
        lists = (list(self.kinds), list(self.takes), list(self.of_their_charge))
        return (self.file_id, self.provider, self.account, self.ledger, *lists)


#: What a row names: its place in the file, the stage at which it does, and what it is; which name its posting must
#: have, and the movements of a dispute.
NAMED: Final = (
    "position",
    "stage",
    "merchant_id",
    "payment_id",
    "subject_id",
    "state",
    "attempt_id",
    "idempotency_key",
    "provider_reference",
    "own_name",
    "movements",
)


class OtherRows(Struct, frozen=True, kw_only=True):
    """Rows of which each is compared by itself: their places in the file, and what they name in the record, each with
    the values of ``NAMED``."""

    places: Sequence[int]
    named: Sequence[tuple[Any, ...]]

    def columns(self) -> Sequence[list[Any]]:
        """What they name, as a list of each value."""
        return [[each[at] for each in self.named] for at in range(len(NAMED))]


async def few_rows(
    connection: Any,
    asked: Asked,
    batches: Sequence[tuple[str, str]],
    others: OtherRows | None,
    *,
    in_lists: bool,
) -> tuple[AsyncIterator[Any], AsyncIterator[Any]] | None:
    """Rows of these batches that have no evidence, and their candidates, each in the order of the rows; None where they
    are many. ``others``: all such rows, where they are known. ``in_lists``: the transaction joins nothing row by row,
    and does not afterwards."""
    if others is None:
        names = ([batch for batch, _ in batches], [currency for _, currency in batches])
        left = await connection.fetch(_STATEMENTS["left_rows"], asked.file_id, *names, FEW + 1, timeout=_LONG_S)
        if len(left) > FEW:
            return None
        places: Sequence[int] = [row["position"] for row in left]
        statement, given = _STATEMENTS["candidates_at"], (*asked.values(), places)
    else:
        places = others.places
        statement, given = _STATEMENTS["candidates_named"], (asked.ledger, list(asked.takes), *others.columns())
    rows = await connection.fetch(_STATEMENTS["rows_at"], asked.file_id, places, timeout=_LONG_S)
    if in_lists:
        await connection.execute(_BY_KEY)
    candidates = await connection.fetch(statement, *given, timeout=_LONG_S)
    if in_lists:
        await connection.execute(_IN_LISTS)
    return _each(rows), _each(candidates)


async def _each(rows: Sequence[Any]) -> AsyncIterator[Any]:
    for row in rows:
        yield row
