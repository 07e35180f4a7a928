"""A settlement file is imported: known by its bytes, read by its format, stored in pieces, compared with earlier ones.

The same bytes of an account are imported once. An import that was cut off goes on where it was. A regenerated file adds
the rows that earlier ones lack, or is a conflict.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final

import asyncpg
from msgspec import Struct
from msgspec.structs import replace

from tallystick.domain.errors import TallystickError
from tallystick.domain.settlement_file import BadRow, SettlementBatch, SettlementFile, StatedTotal
from tallystick.domain.settlement_row import SettlementRow
from tallystick.flows.reconciliation.accounts import options_for, read_digest, read_options
from tallystick.flows.reconciliation.comparing import FileTotals, end_import
from tallystick.flows.reconciliation.formats.base import HEAD_BYTES, FileRefused, Format, ReadOptions
from tallystick.flows.reconciliation.registry import AUTO, OWN_FORMAT, format_of
from tallystick.flows.reconciliation.screening import RowScreen, screened
from tallystick.flows.reconciliation.unpacking import digest_of, unpacked
from tallystick.flows.runtime import Runtime
from tallystick.kit.card_mask import mask_cards
from tallystick.kit.ids import new_id
from tallystick.kit.logs import get_logger
from tallystick.providers.assembly import secret_values
from tallystick.record.postgres.settlement_files import LeaseLost, PartTaken, SettlementFiles
from tallystick.settings.load import Settings

log = get_logger("tallystick.flows.reconciliation.files")

#: Rows stored at a time: some 20 ms of reading, and a COPY that costs far more than its round trip.
PIECE_ROWS: Final = 5_000

#: More bad rows than this are no file of rows.
MAX_BAD_ROWS: Final = 10_000

#: Two imports that meet in one batch compare again; each time one of them has ended.
_TRIES: Final = 10

#: Longer names of files are cut.
_NAME_CHARS: Final = 200

#: Called with the bytes read so far, and those of the file.
Progress = Callable[[int, int], None]


class BeingImported(TallystickError):
    """Another process imports the file now."""


class NoSuchFile(TallystickError):
    """There is no such settlement file."""


class ImportAsked(Struct, frozen=True, kw_only=True):
    """What is to be imported. ``provider`` None: whose files the format's are. ``mapping``: a mapping file of its
    own."""

    path: Path
    name: str
    actor: str
    format: str = AUTO
    provider: str | None = None
    account: str = "main"
    mapping: Path | None = None
    zone: str | None = None


class Imported(Struct, frozen=True, kw_only=True):
    """What came of it. ``already``: the same bytes were imported before, and nothing happened."""

    file: SettlementFile
    batches: list[SettlementBatch]
    bad_rows: list[BadRow]
    already: bool


#: Parts and bad rows that are shown.
SHOWN: Final = 1_000


async def import_file(runtime: Runtime, asked: ImportAsked, progress: Progress | None = None) -> Imported:
    """Import a file. Raises FileRefused (nothing of it is stored), BeingImported, OSError, and what asyncpg raises:
    then the same call goes on from what is stored."""
    settings, files = runtime.settings, SettlementFiles(runtime.pool)
    digest, size = await asyncio.to_thread(digest_of, asked.path, settings.settlement_max_bytes)
    read_by, provider, options = await asyncio.to_thread(_identified, settings, asked)
    wanted = SettlementFile(
        file_id=new_id("stl"),
        provider=provider,
        account=asked.account,
        digest=digest,
        name=mask_cards(asked.name)[-_NAME_CHARS:],
        format=read_by.name,
        parser_version=read_by.version,
        purpose=read_by.purpose,
        zone=options.zone or "UTC",
        size_bytes=size,
        state="importing",
        rows=0,
        known_rows=0,
        bad_rows=0,
        lines=0,
        supplements=False,
        actor=asked.actor,
        created_at=runtime.clock.now(),
    )
    file = await _claimed(files, wanted)
    if file.state != "importing":
        return await shown(files, file, already=True)
    await _Import(runtime, files, file, read_by, options, asked.path, progress).run()
    return await shown(files, await _found(files, file.file_id), already=False)


async def shown(files: SettlementFiles, file: SettlementFile, *, already: bool) -> Imported:
    """A file with its batches and bad rows, as far as they are shown."""
    return Imported(
        file=file,
        batches=list(await files.batches(file.file_id, SHOWN)),
        bad_rows=list(await files.bad_rows(file.file_id, SHOWN)),
        already=already,
    )


def _identified(settings: Settings, asked: ImportAsked) -> tuple[Format, str, ReadOptions]:
    """What reads the file, whose it is, and how it is read. Raises FileRefused and OSError."""
    with unpacked(asked.path, settings.settlement_max_unpacked_bytes) as (source, _):
        head = source.read(HEAD_BYTES)
    accounts = settings.settlement_accounts
    known = options_for(accounts, asked.provider, asked.account) if asked.provider else None
    wanted = known.format if known is not None and asked.format == AUTO else asked.format
    read_by = format_of(wanted, head)
    provider = asked.provider or read_by.provider
    if provider is None:
        raise FileRefused("no_provider", f"a file of the format {read_by.name} does not say whose it is")
    known = known or options_for(accounts, provider, asked.account)
    named = (asked.format, AUTO if known is None else known.format)
    if (
        read_by.provider != provider
        and OWN_FORMAT.issuperset((read_by.provider, provider))
        and read_by.name not in named
    ):
        detail = f"it is a file of {read_by.provider}, and not of {provider}: name the format if it is meant"
        raise FileRefused("other_provider", detail)
    options = read_options(known, accounts, asked.mapping)
    if asked.zone is not None:
        options = replace(options, zone=asked.zone)
    options.tzinfo()
    return read_by, provider, options


async def _found(files: SettlementFiles, file_id: str) -> SettlementFile:
    found = await files.find(file_id)
    if found is None:
        raise NoSuchFile(f"there is no settlement file {file_id}")
    return found


async def _claimed(files: SettlementFiles, wanted: SettlementFile) -> SettlementFile:
    """The file that has these bytes: an earlier one that was neither withdrawn nor refused, or this one."""
    for _ in range(_TRIES):
        newest = await files.newest(wanted.provider, wanted.account, wanted.digest)
        if newest is not None and newest[1].state not in ("withdrawn", "refused"):
            return newest[1]
        if await files.claim(wanted, 1 if newest is None else newest[0] + 1):
            return wanted
    raise BeingImported("other processes import and withdraw the same file")


class _Piece(Struct, kw_only=True):
    """Rows that are stored together."""

    rows: list[SettlementRow]
    bad: list[tuple[int, BadRow]]
    stored_rows: int
    stored_bad: int
    line: int
    bytes_read: int


class _Import:
    """One import, from its lease to its end."""

    def __init__(
        self,
        runtime: Runtime,
        files: SettlementFiles,
        file: SettlementFile,
        read_by: Format,
        options: ReadOptions,
        path: Path,
        progress: Progress | None,
    ) -> None:
        self._runtime, self._files, self._file, self._format = runtime, files, file, read_by
        self._options, self._path, self._progress = options, path, progress or (lambda done, total: None)
        self._lease, self._lease_ms = new_id("lse"), runtime.settings.settlement_lease_ms
        self._screen = RowScreen(runtime.sealer, file.provider, list(secret_values(runtime.settings).values()))
        self._totals = FileTotals()

    async def run(self) -> None:
        """Raises FileRefused, BeingImported, and what asyncpg raises."""
        started = await self._files.lease(self._file.file_id, self._lease, self._lease_ms)
        if started is None:
            raise BeingImported("another process imports this file now")
        zone = self._options.zone or "UTC"
        read_as = read_digest(self._options)
        stored_rows, stored_bad = started.rows, started.bad_rows
        read_in_another_way = (self._format.name, self._format.version, zone, read_as) != (
            started.format,
            started.parser_version,
            started.zone,
            started.read_as,
        )
        try:
            if read_in_another_way:
                await self._files.restart(
                    self._file.file_id, self._lease, self._format.name, self._format.version, zone, read_as
                )
                stored_rows = stored_bad = 0
            await self._store(stored_rows, stored_bad)
            await self._end()
        except LeaseLost:
            raise BeingImported("another process took over this file") from None
        except FileRefused as error:
            with suppress(LeaseLost):
                await self._files.refuse(self._file.file_id, self._lease, error.detail)
            raise
        if self._screen.found:
            log.error(
                "card data or secrets in a settlement file",
                alert=True,
                provider=self._file.provider,
                account=self._file.account,
                file_id=self._file.file_id,
                rows=self._screen.found,
                next="tell the provider; replace a secret that was there",
            )

    async def _store(self, stored_rows: int, stored_bad: int) -> None:
        """While one piece is on its way to the database, a thread reads the next one."""
        with unpacked(self._path, self._runtime.settings.settlement_max_unpacked_bytes) as (source, told):
            pieces = self._pieces(source, told, stored_rows, stored_bad)
            following: Callable[[], _Piece | None] = partial(next, pieces, None)
            piece = await asyncio.to_thread(following)
            while piece is not None:
                adding = asyncio.create_task(self._add(piece))
                try:
                    piece = await asyncio.to_thread(following)
                finally:
                    await adding

    async def _add(self, piece: _Piece) -> None:
        await self._files.add(
            self._file.file_id,
            self._lease,
            piece.rows,
            piece.bad,
            stored_rows=piece.stored_rows,
            stored_bad=piece.stored_bad,
            line=piece.line,
            lease_ms=self._lease_ms,
        )
        self._progress(piece.bytes_read, self._file.size_bytes)

    def _pieces(self, source: BinaryIO, told: Callable[[], int], stored_rows: int, stored_bad: int) -> Iterator[_Piece]:
        """Raises FileRefused."""
        rows: list[SettlementRow] = []
        bad: list[tuple[int, BadRow]] = []
        position = number = line = 0
        for item in screened(self._format.read(source, self._options), self._screen):
            if isinstance(item, SettlementRow):
                position += 1
                item.position, line = position, max(line, item.line)
                self._totals.add(item)
                if position > stored_rows:
                    rows.append(item)
            elif isinstance(item, StatedTotal):
                self._totals.state(item)
            else:
                number, line = number + 1, max(line, item.line)
                if number > MAX_BAD_ROWS:
                    raise FileRefused("too_many_bad_rows", f"more than {MAX_BAD_ROWS} of its rows cannot be read")
                if number > stored_bad:
                    bad.append((number, item))
            if len(rows) >= PIECE_ROWS or len(bad) >= PIECE_ROWS:
                yield _Piece(rows=rows, bad=bad, stored_rows=position, stored_bad=number, line=line, bytes_read=told())
                rows, bad = [], []
        if position == 0 and number > 0:
            raise FileRefused("no_rows", f"none of its {number} rows can be read")
        yield _Piece(rows=rows, bad=bad, stored_rows=position, stored_bad=number, line=line, bytes_read=told())

    async def _end(self) -> None:
        complete = self._format.is_complete(self._options, self._totals.batches(), has_payouts=self._totals.has_payouts)
        for _ in range(_TRIES):
            try:
                async with self._files.ending(self._file.file_id, self._lease) as ending:
                    await end_import(ending, self._file, self._totals, complete=complete)
                return
            except (PartTaken, asyncpg.SerializationError, asyncpg.DeadlockDetectedError):
                continue
        raise BeingImported("other imports of the same batches go on: try again")
