"""Settlement rows of which a person says what they are: their newest evidence, and the next one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final

import asyncpg
from msgspec import Struct

from tallystick.decisions.settlement_matching import TAKES
from tallystick.domain.ledger.accounts import provider_account
from tallystick.domain.ledger.settlement_postings import SETTLED_KINDS
from tallystick.domain.operator_act import OperatorAct
from tallystick.domain.settlement_evidence import LATE_KINDS, Candidate, Evidence, kind_of_posting
from tallystick.record.postgres.acts import insert_act
from tallystick.record.postgres.bank_book import ComparingEntries
from tallystick.record.postgres.moved_alone import MovedAlone
from tallystick.record.postgres.settlement_evidence import STATEMENTS, Comparing, EvidenceSet, evidence_in

#: What looking for the postings of one subject may take.
_LONG_S: Final = 60.0


class RowByHand(Struct, frozen=True, kw_only=True):
    """A row's newest evidence, and whose file it is in, in which ``format``."""

    provider: str
    account: str
    format: str
    evidence: Evidence


class RowsByHand:
    """One transaction: two at once about one row, or about one posting, do not both commit. Nor do a person and a file
    that is compared: a posting is said to be a row's in turns, by provider."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def newest(self, file_id: str, position: int) -> RowByHand | None:
        """What the row came to last; None: it was not compared."""
        row = await self._connection.fetchrow(STATEMENTS["newest_evidence"], file_id, position)
        if row is None:
            return None
        return RowByHand(
            provider=row["provider"], account=row["account"], format=row["format"], evidence=evidence_in(row)
        )

    async def postings(self, row: RowByHand, subject_id: str) -> Sequence[Candidate]:
        """The postings of a payment, refund or dispute to the row's provider, where its payment was sent through the
        row's account; taken: by another row."""
        of = row.evidence
        found = await self._connection.fetch(
            STATEMENTS["postings_of_subject"],
            subject_id,
            provider_account(row.provider),
            sorted(TAKES),
            of.file_id,
            of.position,
            list(SETTLED_KINDS),
            row.provider,
            row.account,
            timeout=_LONG_S,
        )
        return [_posting(each) for each in found]

    def entries(self) -> ComparingEntries:
        """Entries of bank statements, in this transaction."""
        return ComparingEntries(self._connection)

    def moved_alone(self) -> MovedAlone:
        """What operators moved alone, in this transaction."""
        return MovedAlone(self._connection)

    async def write_act(self, act: OperatorAct) -> None:
        """The act. UniqueViolationError where its key was used."""
        await insert_act(self._connection, act)

    async def take_turn(self, row: RowByHand) -> None:
        """Wait while rows of the provider are compared by others. SerializationError where that was so since this
        transaction began: what it read may be old."""
        await Comparing(self._connection, row.evidence.file_id).take_turn(row.provider)

    async def write(self, row: RowByHand, evidence: Evidence, counted: EvidenceSet, act: OperatorAct) -> None:
        """The next evidence, the set that it counts in, and the act. UniqueViolationError where another one is its
        next."""
        assert evidence.counted_in is not None, "it counts in a set of its own"
        at: datetime = act.at
        comparing = Comparing(self._connection, evidence.counted_in)
        await comparing.add([evidence])
        await comparing.close(row.provider, row.account, [counted], at)
        await insert_act(self._connection, act)


@asynccontextmanager
async def rows_by_hand(pool: asyncpg.Pool) -> AsyncIterator[RowsByHand]:
    """The transaction. SerializationError where another one is in its way: nothing was written."""
    async with pool.acquire() as connection, connection.transaction(isolation="serializable"):
        yield RowsByHand(connection)


def _posting(row: Any) -> Candidate:
    return Candidate(
        found_by="provider_reference",
        merchant_id=row["merchant_id"],
        payment_id=row["payment_id"],
        subject_id=row["subject_id"],
        state="",
        kind=kind_of_posting(row["posted_as"], row["amount"]),
        version=row["version"],
        leg=row["leg"],
        amount=row["amount"],
        currency=row["currency"],
        late=row["posted_as"] in LATE_KINDS,
        taken=row["taken"],
    )
