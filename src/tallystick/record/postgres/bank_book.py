"""Bank statements beside providers' payouts: what is compared, the evidence of it, and what is posted of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import date, datetime
from typing import Any, Final

import asyncpg
from msgspec import Struct

from tallystick.decisions.bank_matching import Payout
from tallystick.decisions.bank_statements import StatementName, StatementSums
from tallystick.decisions.statement_continuity import ONE_DAY, is_same_statement
from tallystick.domain.bank_statement import STATEMENT_FORMATS, Arrived, BankStatement, StatementHead
from tallystick.domain.kinds import BANK_STATEMENT_KIND
from tallystick.domain.settlement_evidence import Evidence
from tallystick.domain.settlement_row import SettlementRow
from tallystick.record.postgres import sql
from tallystick.record.postgres.settlement_evidence import write_evidence
from tallystick.record.postgres.structs import structs_of
from tallystick.record.postgres.subject_reads import reader

STATEMENTS: Final = sql.load("bank.sql")

#: Entries are joined with whole lists, which the pool's connections would do row by row.
_FOR_LISTS: Final = ("SET LOCAL enable_hashjoin = on", "SET LOCAL enable_seqscan = on")

_FORMATS: Final = list(STATEMENT_FORMATS)
_ROW: Final = frozenset(SettlementRow.__struct_fields__)

#: What a statement over all files may take.
_LONG_S: Final = 600.0


class PayoutWithdrawn(Exception):
    """The file of a payout was taken back meanwhile: look again."""


class StatementFile(Struct, frozen=True, kw_only=True):
    """A file with statements that were not compared."""

    file_id: str
    provider: str
    account: str
    format: str
    parser_version: int


class NewStatement(Struct, frozen=True, kw_only=True):
    """A statement that was not compared."""

    batch: str
    currency: str
    sequence: str | None
    balance_account: str | None
    to_on: date | None
    opening: int
    closing: int


class CountedStatement(Struct, frozen=True, kw_only=True):
    """A statement that counts under a name."""

    name: str
    batch: str
    sequence: str | None
    to_on: date
    opening: int
    closing: int


class OpenEntry(Struct, frozen=True, kw_only=True):
    """An entry that nothing explains, and its newest evidence."""

    file_id: str
    version: int
    reason: str
    parser: str
    parser_version: int
    provider: str
    account: str
    row: SettlementRow


class ArrivalRow(Struct, frozen=True, kw_only=True):
    """A payout, or a part of it, arrived with an entry."""

    payout_file_id: str
    payout_position: int
    ordinal: int
    file_id: str
    position: int
    version: int
    batch: str
    currency: str
    provider: str
    amount: int


class ComparingEntries:
    """One transaction in which entries are read beside payouts, and evidence is written."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def is_held(self, file_id: str) -> bool:
        """Whether the file is one that is posted; it stays so until this transaction ends."""
        return await self._connection.fetchval(STATEMENTS["hold_statements"], file_id, timeout=_LONG_S) is not None

    async def statements(self, file_id: str) -> Sequence[NewStatement]:
        """Those that add up and have no evidence yet."""
        found = await self._connection.fetch(STATEMENTS["heads_of_file"], file_id, timeout=_LONG_S)
        return [
            NewStatement(**{**row, "opening": int(row["opening"] or 0), "closing": int(row["closing"] or 0)})
            for row in found
        ]

    async def counts(self, file: StatementFile, statement: NewStatement, name: str) -> bool:
        """Whether no other statement has this name; it has it from now on. A statement that an earlier version of its
        format gave another name is found by what it says. UniqueViolationError where another process writes one at
        once."""
        account = (file.provider, file.account, statement.currency)
        known = await self._connection.fetch(STATEMENTS["statement_names"], *account, name)
        if not known and (other := await self._other_name(account, statement)) is not None:
            name = other
            known = await self._connection.fetch(STATEMENTS["statement_names"], *account, name)
        mine = next((row["ordinal"] for row in known if row["batch"] == statement.batch), None)
        if mine is None:
            mine = len(known) + 1
            await self._connection.execute(
                STATEMENTS["insert_statement_name"], *account, name, mine, statement.batch, file.file_id
            )
        return mine == 1

    async def _other_name(self, account: tuple[str, str, str], statement: NewStatement) -> str | None:
        """The name under which the same statement counts already."""
        if statement.to_on is None:
            return None
        days = (statement.to_on - ONE_DAY, statement.to_on + ONE_DAY)
        found = await self._connection.fetch(
            STATEMENTS["counted_statements"], *account, *days, statement.opening, statement.closing
        )
        same = [each for each in structs_of(found, CountedStatement) if is_same_statement(statement, each)]
        own = [each for each in same if each.batch == statement.batch]
        return next((each.name for each in (*own, *same)), None)

    async def entries(self, file_id: str, names: Sequence[tuple[str, str]]) -> Sequence[SettlementRow]:
        """The entries of these statements of a file."""
        batches, currencies = [batch for batch, _ in names], [currency for _, currency in names]
        found = await self._connection.fetch(STATEMENTS["entries"], file_id, batches, currencies, timeout=_LONG_S)
        return [SettlementRow(**row) for row in found]

    async def open_entries(self) -> Sequence[OpenEntry]:
        """Entries that nothing explains yet."""
        found = await self._connection.fetch(STATEMENTS["open_entries"], _FORMATS, timeout=_LONG_S)
        return [
            OpenEntry(
                row=SettlementRow(**{name: value for name, value in row.items() if name in _ROW}),
                **{name: row[name] for name in OpenEntry.__struct_fields__ if name != "row"},
            )
            for row in found
        ]

    async def payouts(self) -> list[Payout]:
        """Every payout of a provider."""
        return payouts_of(await self._connection.fetch(STATEMENTS["payouts"], _FORMATS, None, None, timeout=_LONG_S))

    async def add(self, evidence: Sequence[Evidence], arrivals: Sequence[ArrivalRow]) -> None:
        """Write them. UniqueViolationError where another process has the entry, or the payout, at once; PayoutWithdrawn
        where a payout's file was taken back since it was read."""
        if files := sorted({each.payout_file_id for each in arrivals}):
            held = await self._connection.fetch(STATEMENTS["hold_payouts"], files)
            if len(held) != len(files):
                raise PayoutWithdrawn
        await write_evidence(self._connection, evidence)
        await self._connection.executemany(
            STATEMENTS["insert_arrival"],
            [tuple(getattr(each, name) for name in ArrivalRow.__struct_fields__) for each in arrivals],
            timeout=_LONG_S,
        )

    async def payout_of_entry(self, file_id: str, position: int) -> tuple[str, int]:
        """The payout row of which an entry has a part."""
        row = await self._connection.fetchrow(STATEMENTS["payout_of_entry"], file_id, position)
        return row["payout_file_id"], row["payout_position"]

    async def for_lists(self) -> None:
        """Lists are joined as lists from now on, in this transaction."""
        for statement in _FOR_LISTS:
            await self._connection.execute(statement)

    async def newest(self, name: StatementName) -> tuple[int, str]:
        """The number and root of a statement's newest comparison; 0 and "" before the first."""
        row = await self._connection.fetchrow(STATEMENTS["newest_comparison"], *_named(name))
        return (0, "") if row is None else (row["number"], row["root"])

    async def compared(self, name: StatementName, number: int, rows: int, root: str, at: datetime) -> None:
        """A comparison is complete. UniqueViolationError where another process compares the statement at once."""
        await self._connection.execute(STATEMENTS["insert_comparison"], *_named(name), number, rows, root, at)

    async def close(self, name: StatementName, file_id: str, rows: int, net: int, root: str, at: datetime) -> None:
        """The first evidence of a file about a statement is complete."""
        await self._connection.execute(
            STATEMENTS["insert_statement_set"],
            file_id,
            name.batch,
            name.currency,
            name.provider,
            name.account,
            rows,
            net,
            root,
            at,
        )


class BankBook:
    """Over a pool of connections. Its methods raise what asyncpg raises."""

    def __init__(self, pool: asyncpg.Pool, merchant_id: str) -> None:
        self._pool = pool
        self.merchant_id = merchant_id

    @asynccontextmanager
    async def comparing(self) -> AsyncIterator[ComparingEntries]:
        """The transaction in which entries are compared."""
        async with self._pool.acquire() as connection, connection.transaction():
            for statement in _FOR_LISTS:
                await connection.execute(statement)
            yield ComparingEntries(connection)

    async def files_to_compare(self) -> Sequence[StatementFile]:
        """Files with statements that were not compared."""
        found = await self._pool.fetch(STATEMENTS["statements_to_compare"], _FORMATS, timeout=_LONG_S)
        return structs_of(found, StatementFile)

    async def payouts_known(self) -> str:
        """Another text whenever a payout came, or was settled."""
        found: str = await self._pool.fetchval(STATEMENTS["payouts_known"], timeout=_LONG_S)
        return found

    async def statements_to_post(self) -> Sequence[StatementName]:
        """Statements with comparisons that are not posted."""
        found = await self._pool.fetch(STATEMENTS["statements_to_post"], self.merchant_id, timeout=_LONG_S)
        return structs_of(found, StatementName)

    async def sums(self, name: StatementName) -> StatementSums:
        """What the newest evidence of a statement comes to, in one snapshot."""
        async with (
            self._pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            number, root = await ComparingEntries(connection).newest(name)
            parts = await connection.fetch(STATEMENTS["parts_of_statement"], *_named(name), timeout=_LONG_S)
            arrivals = await connection.fetch(STATEMENTS["arrivals_of_statement"], *_named(name), timeout=_LONG_S)
        gross = {row["part"]: row["gross"] for row in parts}
        return StatementSums(
            comparisons=number,
            root=root,
            entries=sum(row["rows"] for row in parts),
            arrivals=structs_of(arrivals, Arrived),
            fees=-gross.get("bank_fees", 0),
            unexplained=gross.get("unexplained", 0),
            written_off=sum(row["written_off"] for row in parts),
        )

    async def statement(self, statement_id: str) -> BankStatement | None:
        """One statement as it is posted."""
        row = await self._pool.fetchrow(STATEMENTS["bank_statement"], self.merchant_id, statement_id)
        return None if row is None else reader(BANK_STATEMENT_KIND)(row)

    async def heads(self) -> Sequence[StatementHead]:
        """Every statement with its balances."""
        return await statement_heads(self._pool)

    async def payouts(self) -> Sequence[Payout]:
        """Every payout of a provider."""
        return payouts_of(await self._pool.fetch(STATEMENTS["payouts"], _FORMATS, None, None, timeout=_LONG_S))

    async def payouts_of_account(self, provider: str, account: str) -> Sequence[Payout]:
        """Every payout of one account."""
        return payouts_of(await self._pool.fetch(STATEMENTS["payouts"], _FORMATS, provider, account, timeout=_LONG_S))


async def statement_heads(pool: asyncpg.Pool) -> Sequence[StatementHead]:
    """Every statement of a bank with its balances. Raises what asyncpg raises."""
    return structs_of(await pool.fetch(STATEMENTS["heads"], _FORMATS, timeout=_LONG_S), StatementHead)


def _named(name: StatementName) -> tuple[str, str, str, str]:
    return name.provider, name.account, name.batch, name.currency


def payouts_of(rows: Sequence[Any]) -> list[Payout]:
    """Payouts of rows. One that the provider took back has a reversal of its name."""
    reversals = [row for row in rows if row["kind"] == "payout_reversal"]
    back = {(row["provider"], row["account"], name) for row in reversals for name in _names(row)}
    found = []
    for row in rows:
        if row["kind"] == "payout_reversal" and not row["batch"]:
            continue  # a report of payouts tells of it; the batch that it is paid out with has its money
        names = _names(row)
        sent_on = row["value_on"] or (None if row["sent_at"] is None else row["sent_at"].date())
        found.append(
            Payout(
                sent_on=sent_on,
                names=names,
                returned=any((row["provider"], row["account"], name) in back for name in names),
                **{
                    name: row[name]
                    for name in (
                        "file_id",
                        "position",
                        "provider",
                        "account",
                        "batch",
                        "currency",
                        "amount",
                        "settled",
                        "arrivals",
                        "arrived",
                    )
                },
            )
        )
    return found


def _names(row: Any) -> tuple[str, ...]:
    names = (row["reference"], row["payout_reference"], *(row["other_references"] or ()))
    return tuple(dict.fromkeys(name for name in names if name))
