"""Rows that agree with one posting, and that no other row has to do with: compared and evidenced by one statement.

Nearly all rows of a provider's file are of this kind. What the statement writes is what ``FileMatcher`` would make of
the row, to the byte; what it is not sure of it leaves alone.
"""

from __future__ import annotations

import asyncio
import hashlib
import operator
from array import array
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, Final

import asyncpg
import msgspec
from msgspec import Struct

from tallystick.decisions.settlement_matching import TAKES
from tallystick.decisions.settlement_names import names_of
from tallystick.domain.ledger.accounts import provider_account
from tallystick.domain.settlement import PART_OF_KIND, Part
from tallystick.domain.settlement_evidence import LATE_KINDS, OF_PAYMENTS, POSTING_KINDS
from tallystick.domain.settlement_file import SettlementFile
from tallystick.record.postgres import few_rows, sql
from tallystick.record.postgres.few_rows import OtherRows
from tallystick.record.postgres.structs import structs_of

STATEMENTS: Final = sql.load("plain_rows.sql")

#: What a statement over a whole file may take.
_LONG_S: Final = 600.0

#: Rows whose text is fetched at once: some 6 MB.
_FETCHED: Final = 5_000

#: Kinds of postings that a plain row may be; of late money a person decides what becomes of it.
_POSTED: Final = {posted_as: kind for posted_as, kind in POSTING_KINDS.items() if posted_as not in LATE_KINDS}


class PlainSum(Struct, frozen=True, kw_only=True):
    """What the plain rows of one batch, merchant and part come to."""

    batch: str
    currency: str
    merchant_id: str
    part: Part
    rows: int
    gross: int
    fee: int
    net: int


class PlainRows(Struct, frozen=True, kw_only=True):
    """What came of looking for plain rows. ``others``: all other rows of these batches, where they are few; None: they
    are many."""

    sums: Sequence[PlainSum]
    others: OtherRows | None


async def write_plain_rows(
    connection: Any, file: SettlementFile, batches: Sequence[tuple[str, str]], actor: str, at: datetime
) -> PlainRows:
    """Write the evidence of the plain rows of these batches, none of which has evidence, in the caller's transaction.
    No fee is checked: where there is a schedule, this must not be asked."""
    kinds, names = sorted(OF_PAYMENTS), names_of(file.format, file.provider)
    found = await connection.fetch(
        STATEMENTS["insert_plain_rows"],
        file.file_id,
        file.provider,
        file.account,
        provider_account(file.provider),
        kinds,
        [PART_OF_KIND[kind] for kind in kinds],
        *_named(batches),
        sorted(TAKES),
        list(_POSTED),
        list(_POSTED.values()),
        file.format,
        file.parser_version,
        actor,
        at,
        sorted(names.of_their_charge),
        sorted(names.in_doubt),
        few_rows.FEW + 1,
        timeout=_LONG_S,
    )
    others = [row for row in found if row["position"] is not None]
    places = sorted({row["position"] for row in others})
    named = [tuple([row[name] for name in few_rows.NAMED]) for row in others if row["stage"] is not None]
    return PlainRows(
        sums=structs_of([row for row in found if row["position"] is None], PlainSum),
        others=OtherRows(places=places, named=named) if len(places) <= few_rows.FEW else None,
    )


async def roots(
    connection: Any, file: SettlementFile, batches: Sequence[tuple[str, str]], actor: str, at: datetime
) -> Mapping[tuple[str, str], tuple[int, str]]:
    """Of each batch: how many rows have evidence, and the digest of all of it, which ``actor`` compared at ``at``. A
    thread digests the text of some rows, while the database writes that of the next ones."""
    read_by = {"parser": file.format, "parser_version": file.parser_version, "actor": actor}
    cursor = await connection.cursor(
        STATEMENTS["digested"],
        file.file_id,
        *_named(batches),
        [f',"batch":{_json(batch)},"currency":{_json(currency)},"kind":"' for batch, currency in batches],
        f",{_json(read_by)[1:-1]}",
        _json(at),
        list(range(len(batches))),
        f'{{"file_id":{_json(file.file_id)},"position":',
        timeout=_LONG_S,
    )
    found = [Digests() for _ in batches]
    rows = await cursor.fetch(_FETCHED, timeout=_LONG_S)
    while rows:
        following = asyncio.create_task(cursor.fetch(_FETCHED, timeout=_LONG_S))
        try:
            await asyncio.to_thread(_digest, rows, found)
        finally:
            rows = await following
    return {
        name: (len(each.positions), each.root()) for name, each in zip(batches, found, strict=True) if each.positions
    }


class Digests:
    """The digests of a batch's rows, 32 bytes each, as they come, and their places in the file."""

    def __init__(self) -> None:
        self.positions, self._digests = array("l"), bytearray()

    def add(self, position: int, said: bytes) -> None:
        self.positions.append(position)
        self._digests += hashlib.sha256(said).digest()

    def root(self) -> str:
        """The digest of all of them, in the order of their places."""
        places = self.positions
        if all(map(operator.lt, places, islice(places, 1, None))):  # as an index has them
            return hashlib.sha256(self._digests).hexdigest()
        ordered = sorted(range(len(places)), key=places.__getitem__)
        return hashlib.sha256(b"".join([self._digests[32 * at : 32 * at + 32] for at in ordered])).hexdigest()


def _digest(rows: Sequence[asyncpg.Record], found: Sequence[Digests]) -> None:
    for number, position, said in rows:
        found[number].add(position, said)


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _named(batches: Sequence[tuple[str, str]]) -> tuple[list[str], list[str]]:
    return [batch for batch, _ in batches], [currency for _, currency in batches]
