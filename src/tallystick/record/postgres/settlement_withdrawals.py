"""Settlement files that are taken back: what was compared of them is superseded, and counts for nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from itertools import groupby
from typing import Any, Final

import asyncpg
import msgspec
from msgspec import Struct

from tallystick.decisions.settlements import EvidenceSum
from tallystick.domain.operator_act import OperatorAct
from tallystick.domain.settlement import MERCHANTS_PARTS
from tallystick.domain.settlement_file import SettlementFile
from tallystick.record.postgres import sql
from tallystick.record.postgres.acts import insert_act
from tallystick.record.postgres.bank_book import ComparingEntries
from tallystick.record.postgres.moved_alone import MovedAlone
from tallystick.record.postgres.settlement_evidence import FOR_LISTS, Comparing, EvidenceSet
from tallystick.record.postgres.settlement_files import STATEMENTS as OF_FILES
from tallystick.record.postgres.settlement_files import delete_rows
from tallystick.record.postgres.settlement_rows_by_hand import RowByHand, RowsByHand
from tallystick.record.postgres.structs import structs_of

_STATEMENTS: Final = sql.load("settlement_withdrawals.sql")

#: What a statement over a whole file may take.
_LONG_S: Final = 600.0


class ComparedAmount(Struct, frozen=True, kw_only=True):
    """What compared rows come to in one currency, each by its amount whichever way it goes. ``by_hand``: of how many a
    person said what they are."""

    currency: str
    rows: int
    by_hand: int
    amount: int


class ArrivedPart(Struct, frozen=True, kw_only=True):
    """What of an entry is one payout. ``ordinal``: the payout's last one."""

    file_id: str
    position: int
    payout_file_id: str
    payout_position: int
    provider: str
    batch: str
    currency: str
    amount: int
    ordinal: int


class ArrivedEntry(Struct, frozen=True, kw_only=True):
    """An entry of a bank statement by its newest evidence, and the payouts that arrived with it."""

    row: RowByHand
    parts: Sequence[ArrivedPart]

    @property
    def name(self) -> str:
        """File and place."""
        return f"{self.row.evidence.file_id}/{self.row.evidence.position}"


class Withdrawing:
    """One transaction in which files are looked at, and taken back."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def take_turn(self, provider: str) -> None:
        """Wait until nobody else compares rows of the provider with its postings. Whatever else this transaction holds,
        it holds after this."""
        await Comparing(self._connection, "").take_turn(provider)

    async def file(self, file_id: str) -> SettlementFile | None:
        """One file."""
        return next(iter(structs_of(await self._connection.fetch(OF_FILES["file"], file_id), SettlementFile)), None)

    async def proved_by(self, file_id: str) -> Sequence[str]:
        """The file, and every earlier one whose compared rows only the totals of these files prove."""
        found = [file_id]
        while more := await self._ids("proved_files", found):
            found += more
        return found

    async def hold(self, file_ids: Sequence[str]) -> None:
        """The files stay as they are until this transaction ends, and so does what is looked for of them from now on:
        nobody adds to their batches, or lets their payouts arrive."""
        await self._connection.fetch(_STATEMENTS["hold_withdrawn"], sorted(file_ids))

    async def newer(self, file_ids: Sequence[str]) -> Sequence[str]:
        """Other files that were compared with these: they have newer parts of their batches."""
        return await self._ids("newer_files", file_ids)

    async def arrived(self, file_ids: Sequence[str]) -> Sequence[ArrivedEntry]:
        """Entries of banks with which payouts of these files arrived."""
        parts = structs_of(await self._connection.fetch(_STATEMENTS["arrivals_of"], list(file_ids)), ArrivedPart)
        rows, found = RowsByHand(self._connection), []
        for (file_id, position), group in groupby(parts, key=lambda each: (each.file_id, each.position)):
            row = await rows.newest(file_id, position)
            assert row is not None, "it arrived with its evidence"
            found.append(ArrivedEntry(row=row, parts=list(group)))
        return found

    def entries(self) -> ComparingEntries:
        """Entries of bank statements, in this transaction."""
        return ComparingEntries(self._connection)

    async def amounts(self, file_ids: Sequence[str]) -> Sequence[ComparedAmount]:
        """What is compared of these files."""
        found = await self._connection.fetch(_STATEMENTS["compared_amounts"], list(file_ids), timeout=_LONG_S)
        return structs_of(found, ComparedAmount)

    async def drop(self, file_id: str, reason: str) -> bool:
        """Take back a file of which nothing is compared: its rows go. False where it cannot be."""
        if await self._connection.fetchval(OF_FILES["withdraw_file"], file_id, reason) is None:
            return False
        await delete_rows(self._connection, file_id)
        return True

    async def supersede(self, file: SettlementFile, reason: str, set_id: str, actor: str, at: datetime) -> bool:
        """Take back a file that is compared: each of its rows gets its next evidence, which counts for nothing. What
        that takes back counts in the set ``set_id``. False where the file is not imported any more.
        UniqueViolationError where another process has written a row's next evidence."""
        if await self._connection.fetchval(_STATEMENTS["withdraw_compared"], file.file_id, reason) is None:
            return False
        sums = await self._connection.fetch(
            _STATEMENTS["sums_taken_back"], file.file_id, list(MERCHANTS_PARTS), timeout=_LONG_S
        )
        by_batch: dict[tuple[str, str], list[EvidenceSum]] = {}
        for row in sums:
            said = {name: row[name] for name in EvidenceSum.__struct_fields__}
            by_batch.setdefault((row["batch"], row["currency"]), []).append(EvidenceSum(**said))
        await self._connection.execute(
            _STATEMENTS["insert_withdrawn"], file.file_id, set_id, actor, at, timeout=_LONG_S
        )
        roots = await self._connection.fetch(
            _STATEMENTS["withdrawn_roots"], file.file_id, set_id, _json(actor), _json(at), timeout=_LONG_S
        )
        sets = [
            EvidenceSet(
                batch=row["batch"],
                currency=row["currency"],
                rows=row["rows"],
                net=0,
                root=row["root"],
                sums=by_batch[row["batch"], row["currency"]],
            )
            for row in roots
        ]
        await Comparing(self._connection, set_id).close(file.provider, file.account, sets, at)
        return True

    async def withdraw_news(self, file_ids: Sequence[str]) -> None:
        """What these files told of is no news of theirs any more: a decision on it that is not written yet is stale.
        The last of all, for such decisions wait until this transaction ends."""
        await self._connection.execute(_STATEMENTS["withdraw_news"], list(file_ids), timeout=_LONG_S)

    def moved_alone(self) -> MovedAlone:
        """What operators moved alone, in this transaction."""
        return MovedAlone(self._connection)

    async def write_act(self, act: OperatorAct) -> None:
        """The act. UniqueViolationError where its key was used."""
        await insert_act(self._connection, act)

    async def _ids(self, name: str, file_ids: Sequence[str]) -> list[str]:
        found = await self._connection.fetch(_STATEMENTS[name], list(file_ids), timeout=_LONG_S)
        return [row["file_id"] for row in found]


@asynccontextmanager
async def withdrawing(pool: asyncpg.Pool) -> AsyncIterator[Withdrawing]:
    """The transaction. It raises what asyncpg raises; then nothing is written."""
    async with pool.acquire() as connection, connection.transaction():
        for statement in FOR_LISTS:
            await connection.execute(statement)
        yield Withdrawing(connection)


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
