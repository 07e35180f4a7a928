"""Rows that agree with one posting, and that no other row has to do with: compared and evidenced by one statement.

Nearly all rows of a provider's file are of this kind. What the statement writes is what ``FileMatcher`` would make of
the row, to the byte; what it is not sure of it leaves alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec import Struct

from tallystick.decisions.settlement_matching import TAKES
from tallystick.domain.ledger.accounts import provider_account
from tallystick.domain.settlement import PART_OF_KIND, Part
from tallystick.domain.settlement_evidence import LATE_KINDS, OF_PAYMENTS, POSTING_KINDS
from tallystick.domain.settlement_file import SettlementFile
from tallystick.record.postgres import sql
from tallystick.record.postgres.structs import structs_of

STATEMENTS: Final = sql.load("plain_rows.sql")

#: What a statement over a whole file may take.
_LONG_S: Final = 600.0

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


async def write_plain_rows(
    connection: Any, file: SettlementFile, batches: Sequence[tuple[str, str]], actor: str, at: datetime
) -> Sequence[PlainSum]:
    """Write the evidence of the plain rows of these batches, none of which has evidence, in the caller's transaction.
    No fee is checked: where there is a schedule, this must not be asked."""
    kinds = sorted(OF_PAYMENTS)
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
        timeout=_LONG_S,
    )
    return structs_of(found, PlainSum)


async def roots(
    connection: Any, file: SettlementFile, batches: Sequence[tuple[str, str]], actor: str, at: datetime
) -> Mapping[tuple[str, str], tuple[int, str]]:
    """Of each batch: how many rows have evidence, and the digest of all of it, which ``actor`` compared at ``at``."""
    read_by = {"parser": file.format, "parser_version": file.parser_version, "actor": actor}
    found = await connection.fetch(
        STATEMENTS["roots"],
        file.file_id,
        *_named(batches),
        [_json(batch) for batch, _ in batches],
        f",{_json(read_by)[1:-1]}",
        _json(at),
        timeout=_LONG_S,
    )
    return {(row["batch"], row["currency"]): (row["rows"], row["root"]) for row in found}


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _named(batches: Sequence[tuple[str, str]]) -> tuple[list[str], list[str]]:
    return [batch for batch, _ in batches], [currency for _, currency in batches]
