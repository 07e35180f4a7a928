"""Settlement files in the record: claimed by their bytes, filled by COPY, ended with the parts of their batches.

An import is one transaction for its claim, one for each piece of rows, and one for its end. The file says how many rows
it has, in the transaction that adds them; so an import that was cut off goes on from there. Who imports has a lease.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import asyncpg
import msgspec
from msgspec import Struct
from msgspec.structs import astuple

from tallystick.domain.settlement_file import BadRow, SettlementBatch, SettlementFile
from tallystick.domain.settlement_row import CLOSING, ROW_FIELDS, SettlementRow
from tallystick.record.postgres import sql
from tallystick.record.postgres.statement_accounts import require_same_account
from tallystick.record.postgres.structs import structs_of

STATEMENTS: Final = sql.load("settlements.sql")

#: Comparing files joins lists of a million rows, which the pool's connections would do row by row. The memory is for
#: the hash table of the keys of such a list.
_FOR_LISTS: Final = (
    "SET LOCAL enable_hashjoin = on",
    "SET LOCAL enable_seqscan = on",
    "SET LOCAL work_mem = '64MB'",
)

#: What a statement over a whole file may take.
_LONG_S: Final = 600.0

_COLUMNS: Final = ("file_id", *ROW_FIELDS)
_FEE_PARTS: Final = ROW_FIELDS.index("fee_parts")

_SUMS: Final = ("gross", "fee", "net", "paid_out", "stated", "difference", "opening", "closing")


class LeaseLost(Exception):
    """Another process imports the file by now; nothing was written."""


class PartTaken(Exception):
    """Another file has got a part of one of the batches, or was withdrawn, meanwhile: compare again."""


class FileStarted(Struct, frozen=True, kw_only=True):
    """What is stored of a file so far, and how it was read. ``read_as``: a digest of the options; None where none was
    noted."""

    rows: int
    bad_rows: int
    format: str
    parser_version: int
    zone: str
    read_as: str | None


class Compared(Struct, frozen=True, kw_only=True):
    """What earlier files say of a file's batches. ``changed``: batch and line of the first rows with other money, and
    how many there are; ``gone``: rows that the file lacks, by batch."""

    changed: Sequence[tuple[str, int]] = ()
    changed_rows: int = 0
    gone: Mapping[str, int] = {}


class SettlementFiles:
    """Reads and writes over a pool of connections. They raise what asyncpg raises."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def newest(self, provider: str, account: str, digest: str) -> tuple[int, SettlementFile] | None:
        """The file that had these bytes last, and the how-manieth with them it is."""
        found = await self._pool.fetchrow(STATEMENTS["newest_digest"], provider, account, digest)
        if found is None:
            return None
        file = await self.find(found["file_id"])
        return None if file is None else (found["generation"], file)

    async def claim(self, file: SettlementFile, generation: int) -> bool:
        """Begin a file. False where another one has its bytes by now; then nothing was written."""
        async with self._pool.acquire() as connection, connection.transaction():
            taken = await connection.fetchval(
                STATEMENTS["claim_digest"], file.provider, file.account, file.digest, generation, file.file_id
            )
            if taken is None:
                return False
            given = [getattr(file, name) for name in _CLAIMED]
            await connection.execute(STATEMENTS["insert_file"], *given)
        return True

    async def lease(self, file_id: str, lease: str, for_ms: int) -> FileStarted | None:
        """Take the lease of a file that is importing. None where another process has it, or the import has ended."""
        found = await self._pool.fetchrow(STATEMENTS["lease_file"], file_id, lease, for_ms)
        return None if found is None else msgspec.convert(dict(found), FileStarted)

    async def restart(
        self, file_id: str, lease: str, format: str, parser_version: int, zone: str, read_as: str
    ) -> None:
        """Take back what was made of the file in another way, and note how it is read. Raises LeaseLost."""
        async with self._pool.acquire() as connection, connection.transaction():
            _require(
                await connection.fetchval(
                    STATEMENTS["restart_file"], file_id, lease, format, parser_version, zone, read_as
                )
            )
            await delete_rows(connection, file_id)

    async def add(
        self,
        file_id: str,
        lease: str,
        rows: Sequence[SettlementRow],
        bad: Sequence[tuple[int, BadRow]],
        *,
        stored_rows: int,
        stored_bad: int,
        line: int,
        lease_ms: int,
    ) -> None:
        """Add rows and bad rows (each with its number among them), after which the file has so many. Raises
        LeaseLost."""
        async with self._pool.acquire() as connection, connection.transaction():
            _require(
                await connection.fetchval(
                    STATEMENTS["note_rows"], file_id, lease, stored_rows, stored_bad, line, lease_ms
                )
            )
            if rows:
                await connection.copy_records_to_table(
                    "settlement_row", records=_records(file_id, rows), columns=_COLUMNS, timeout=_LONG_S
                )
            if bad:
                await connection.execute(
                    STATEMENTS["insert_bad_rows"],
                    file_id,
                    [each.line for _, each in bad],
                    [number for number, _ in bad],
                    [each.reason for _, each in bad],
                    [each.detail for _, each in bad],
                )

    async def refuse(self, file_id: str, lease: str, detail: str) -> None:
        """Nothing of the file is imported. Raises LeaseLost."""
        async with self._pool.acquire() as connection, connection.transaction():
            _require(await connection.fetchval(STATEMENTS["refuse_file"], file_id, lease, detail))
            await delete_rows(connection, file_id)

    def ending(self, file_id: str, lease: str) -> FileEnding:
        """The transaction that ends an import."""
        return FileEnding(self._pool, file_id, lease)

    async def find(self, file_id: str) -> SettlementFile | None:
        """One file."""
        return next(iter(structs_of(await self._pool.fetch(STATEMENTS["file"], file_id), SettlementFile)), None)

    async def page(
        self,
        before: str | None,
        limit: int,
        *,
        provider: str | None = None,
        account: str | None = None,
        state: str | None = None,
    ) -> Sequence[SettlementFile]:
        """Files before this id, the newest first; None matches all."""
        found = await self._pool.fetch(STATEMENTS["files"], before, provider, account, state, limit)
        return structs_of(found, SettlementFile)

    async def batches(self, file_id: str, limit: int) -> Sequence[SettlementBatch]:
        """The parts of batches that a file has, by their names."""
        return _parts(await self._pool.fetch(STATEMENTS["batches_of_file"], file_id, limit))

    async def bad_rows(self, file_id: str, limit: int) -> Sequence[BadRow]:
        """The first rows that could not be read."""
        return structs_of(await self._pool.fetch(STATEMENTS["bad_rows_of_file"], file_id, limit), BadRow)

    async def rows(self, file_id: str, after: int, limit: int) -> Sequence[SettlementRow]:
        """Rows after this place, in the file's order."""
        found = [dict(row) for row in await self._pool.fetch(STATEMENTS["rows_of_file"], file_id, after, limit)]
        for row in found:
            row["fee_parts"] = None if row["fee_parts"] is None else msgspec.json.decode(row["fee_parts"])
        return [msgspec.convert(row, SettlementRow) for row in found]


class FileEnding:
    """One transaction: rows are numbered, compared with earlier files, and the parts of batches written."""

    def __init__(self, pool: asyncpg.Pool, file_id: str, lease: str) -> None:
        self._pool, self._file_id, self._lease = pool, file_id, lease
        self._connection: Any = None
        self._transaction: Any = None
        self.last_parts: Mapping[tuple[str, str], int] = {}

    async def __aenter__(self) -> FileEnding:
        self._connection = await self._pool.acquire()
        try:
            self._transaction = self._connection.transaction()
            await self._transaction.start()
            for statement in _FOR_LISTS:
                await self._connection.execute(statement)
        except BaseException:
            await self._leave(failed=True)
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        await self._leave(failed=kind is not None)

    async def _leave(self, *, failed: bool) -> None:
        try:
            if failed:
                with suppress(asyncpg.InterfaceError, OSError, asyncpg.PostgresError):
                    await self._transaction.rollback()
            else:
                await self._transaction.commit()
        finally:
            await self._pool.release(self._connection)

    async def number_rows(self) -> None:
        """Tell rows of one key apart."""
        await self._connection.execute(STATEMENTS["number_rows"], self._file_id, timeout=_LONG_S)

    async def parts(self, provider: str, account: str, batches: Collection[str]) -> Sequence[SettlementBatch]:
        """What earlier files have of these batches, by name, currency and part; not of withdrawn ones. They stay as
        they are until this transaction commits. Raises PartTaken where one of them is being withdrawn."""
        found = _parts(await self._connection.fetch(STATEMENTS["parts"], provider, account, list(batches)))
        ids = {each.file_id for each in found}
        states = {row["file_id"]: row["state"] for row in await self._connection.fetch(STATEMENTS["states"], list(ids))}
        valid = {each for each in ids if states.get(each) == "imported"}
        rows = await self._connection.fetch(STATEMENTS["hold_files"], sorted(valid), timeout=_LONG_S)
        held = {row["file_id"] for row in rows}
        if held != valid:
            raise PartTaken
        self.last_parts = {(each.batch, each.currency): each.part for each in found}
        return [each for each in found if each.file_id in valid]

    async def compare(
        self, batches: Collection[str], whole: Collection[str], earlier: Collection[str], elsewhere: Collection[str]
    ) -> Compared:
        """The file with earlier ones, in these batches; ``whole``: those that it claims to have all rows of, but for
        the kinds ``elsewhere``."""
        given = (self._file_id, list(batches), list(earlier))
        changed = await self._connection.fetch(STATEMENTS["changed_rows"], *given, timeout=_LONG_S)
        gone = await self._connection.fetch(
            STATEMENTS["gone_rows"],
            self._file_id,
            list(whole),
            list(earlier),
            sorted(elsewhere),
            timeout=_LONG_S,
        )
        return Compared(
            changed=[(row["batch"], row["line"]) for row in changed],
            changed_rows=changed[0]["n"] if changed else 0,
            gone={row["batch"]: row["n"] for row in gone},
        )

    async def delete_known(self, batches: Collection[str], earlier: Collection[str]) -> int:
        """Rows that earlier files have are not kept twice. Returns how many."""
        done = await self._connection.execute(
            STATEMENTS["delete_known_rows"], self._file_id, list(batches), list(earlier), timeout=_LONG_S
        )
        return int(done.rpartition(" ")[2])

    async def sums(self, batches: Collection[str]) -> Mapping[tuple[str, str], Mapping[str, int]]:
        """What the rows that are left come to, by batch and currency."""
        found = await self._connection.fetch(
            STATEMENTS["sums"], self._file_id, list(batches), sorted(CLOSING), timeout=_LONG_S
        )
        return {
            (row["batch"], row["currency"]): {name: int(row[name]) for name in ("rows", *_SUMS[:4])} for row in found
        }

    async def end(
        self,
        state: str,
        parts: Sequence[SettlementBatch],
        *,
        known_rows: int = 0,
        supplements: bool = False,
        detail: str | None = None,
    ) -> None:
        """Write the parts, and that the import has ended. Raises PartTaken, LeaseLost, and FileRefused for statements
        of another bank account than those before."""
        await require_same_account(self._connection, self._file_id, parts)
        try:
            await self._connection.executemany(
                STATEMENTS["insert_part"], [[getattr(each, name) for name in _PART] for each in parts]
            )
        except asyncpg.UniqueViolationError:
            raise PartTaken from None
        _require(
            await self._connection.fetchval(
                STATEMENTS["end_file"], self._file_id, self._lease, state, detail, known_rows, supplements
            )
        )


_CLAIMED: Final = (
    "file_id",
    "provider",
    "account",
    "digest",
    "name",
    "format",
    "parser_version",
    "purpose",
    "zone",
    "size_bytes",
    "actor",
)

_PART: Final = SettlementBatch.__struct_fields__


def _require(held: object) -> None:
    if held is None:
        raise LeaseLost


async def delete_rows(connection: Any, file_id: str) -> None:
    """All rows of a file, in the caller's transaction."""
    await connection.execute(STATEMENTS["delete_rows"], file_id, timeout=_LONG_S)
    await connection.execute(STATEMENTS["delete_bad_rows"], file_id, timeout=_LONG_S)


def _records(file_id: str, rows: Iterable[SettlementRow]) -> Iterable[tuple[Any, ...]]:
    for row in rows:
        values = astuple(row)
        if values[_FEE_PARTS] is not None:
            parts = msgspec.json.encode(values[_FEE_PARTS]).decode()
            values = (*values[:_FEE_PARTS], parts, *values[_FEE_PARTS + 1 :])
        yield (file_id, *values)


def _parts(found: Iterable[asyncpg.Record]) -> list[SettlementBatch]:
    rows = [dict(row) for row in found]
    for row in rows:
        for name in _SUMS:
            row[name] = None if row[name] is None else int(row[name])
    return [msgspec.convert(row, SettlementBatch) for row in rows]
