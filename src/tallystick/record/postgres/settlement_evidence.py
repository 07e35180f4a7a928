"""Settlement rows beside what the record has of them, and the evidence of their comparison."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from typing import Any, Final

import asyncpg
import msgspec
from msgspec import Struct

from tallystick.decisions.settlement_matching import TAKES, PaymentKey
from tallystick.decisions.settlement_names import names_of
from tallystick.decisions.settlements import BatchName, EvidenceSum
from tallystick.domain.bank_statement import STATEMENT_FORMATS
from tallystick.domain.dispute_movement import Movement
from tallystick.domain.kinds import SETTLED_BATCH_KIND, SETTLEMENT_KIND
from tallystick.domain.ledger.accounts import provider_account
from tallystick.domain.ledger.settlement_postings import SETTLED_KINDS
from tallystick.domain.payment_reconciliation import ReconciledPart, ReconciliationState
from tallystick.domain.settlement import SettledBatch, Settlement
from tallystick.domain.settlement_evidence import LATE_KINDS, OF_PAYMENTS, Candidate, Evidence, kind_of_posting
from tallystick.domain.settlement_file import SettlementFile
from tallystick.domain.settlement_row import CLOSING, SettlementRow
from tallystick.record.postgres import sql
from tallystick.record.postgres.few_rows import Asked, OtherRows, few_rows
from tallystick.record.postgres.inbox_rows import EventName
from tallystick.record.postgres.plain_rows import PlainSum, roots, write_plain_rows
from tallystick.record.postgres.settlement_news import NewsRows
from tallystick.record.postgres.structs import structs_of
from tallystick.record.postgres.subject_reads import reader

STATEMENTS: Final = sql.load("reconciliation.sql")

#: Whole files are joined with whole tables, which the pool's connections would do row by row.
FOR_LISTS: Final = (
    "SET LOCAL enable_hashjoin = on",
    "SET LOCAL enable_seqscan = on",
    "SET LOCAL enable_mergejoin = on",
    "SET LOCAL work_mem = '64MB'",
)

_FOR_LONG_LISTS: Final = (
    "SET LOCAL enable_nestloop = off",
    "SET LOCAL jit = off",
    "SET LOCAL plan_cache_mode = force_custom_plan",  # a plan that was made for small tables reads large ones again
    "SET LOCAL work_mem = '128MB'",  # lists of a third of a million rows are larger than 64 MB
)

#: What a statement over a whole file may take.
_LONG_S: Final = 600.0

#: Rows that a cursor fetches at once.
_FETCHED: Final = 5_000

_COLUMNS: Final = Evidence.__struct_fields__
#: Columns with JSON.
_AS_JSON: Final = ("compared", "further")
_ENCODER: Final = msgspec.json.Encoder(order="deterministic")
_MOVEMENTS: Final = msgspec.json.Decoder(list[Movement])


class EvidenceSet(Struct, frozen=True, kw_only=True):
    """The evidence of one file about one batch: how many rows, what they come to, and a digest of all of it."""

    batch: str
    currency: str
    rows: int
    net: int
    root: str
    sums: Sequence[EvidenceSum]


class OpenRow(Struct, frozen=True, kw_only=True):
    """A row that somebody has to look at."""

    file_id: str
    position: int
    line: int
    batch: str
    currency: str
    kind: str
    status: str
    reason: str
    stage: str
    gross: int
    fee: int
    fee_expected: int | None
    difference: int
    merchant_id: str | None
    payment_id: str | None
    row_reference: str | None


class Total(Struct, frozen=True, kw_only=True):
    """A sum in one currency."""

    currency: str
    net: int


class ByReason(Struct, frozen=True, kw_only=True):
    """Rows of one status and reason. ``difference``: what they add to that of the balances, besides their fees.
    ``fee_off``: charged above the schedule, where that is known."""

    currency: str
    status: str
    reason: str
    rows: int
    difference: int
    absolute: int
    fee: int
    fee_off: int
    fee_off_absolute: int
    fees_wrong: int
    fees_unchecked: int


class Missing(Struct, frozen=True, kw_only=True):
    """Postings of ours that no row covers. ``converted``: rows have them, in another currency."""

    currency: str
    kind: str
    converted: bool
    postings: int
    amount: int
    absolute: int


class Explained(Struct, frozen=True, kw_only=True):
    """What a provider's files and our postings come to, and why they differ: of one snapshot."""

    files: Sequence[Total]
    record: Sequence[Total]
    reasons: Sequence[ByReason]
    missing: Sequence[Missing]


class StateSum(Struct, frozen=True, kw_only=True):
    """What of one account has one state: postings of ours that no row covers (``expected``, ``overdue``), or rows.
    ``amount``: signed, more than 0 is owed to the platform; of rows it is their net."""

    account: str
    state: ReconciliationState
    currency: str
    count: int
    amount: int
    oldest_at: datetime


class PartsOfPayment(Struct, frozen=True, kw_only=True):
    """A payment's postings to its provider's account, what rows say of them, and the account at the provider."""

    postings: Sequence[ReconciledPart]
    rows: Sequence[ReconciledPart]
    account: str | None


class Comparing:
    """One transaction in which a file's rows are read beside their candidates, and evidence is written. ``takes``: the
    reasons with which rows of other files have a posting."""

    def __init__(self, connection: Any, file_id: str, takes: Collection[str] = TAKES) -> None:
        self._connection, self._file_id, self._takes = connection, file_id, takes
        self._has_many_rows = False
        self._others: OtherRows | None = None  # the rows that are no plain ones, where they are known
        self.news = NewsRows(connection)

    async def is_held(self) -> bool:
        """Whether the file is one whose rows are posted; it stays so until this transaction ends. It waits for whoever
        compares the file."""
        held = await self._connection.fetchval(STATEMENTS["hold_file"], self._file_id, timeout=_LONG_S)
        return held is not None

    def part(self) -> AbstractAsyncContextManager[Any]:
        """A part of the transaction, of which nothing is left where it raises."""
        part: AbstractAsyncContextManager[Any] = self._connection.transaction()
        return part

    async def expect_many_rows(self) -> None:
        """Lists of a new file have no statistics, and the planner takes them for short: nothing is joined row by
        row."""
        self._has_many_rows = True
        for statement in _FOR_LONG_LISTS:
            await self._connection.execute(statement)

    async def take_turn(self, provider: str) -> None:
        """Wait until nobody else compares rows with postings of this provider: two that do not see each other's
        evidence would both take one posting."""
        await self._connection.execute(STATEMENTS["take_turn"], provider, timeout=_LONG_S)

    async def batches(self) -> Sequence[tuple[str, str]]:
        """The batches that add up and have no evidence yet, each with its currency."""
        found = await self._connection.fetch(STATEMENTS["balanced_batches"], self._file_id, timeout=_LONG_S)
        return [(row["batch"], row["currency"]) for row in found]

    async def rows(
        self, file: SettlementFile, batches: Sequence[tuple[str, str]]
    ) -> AsyncIterator[tuple[SettlementRow, list[Candidate]]]:
        """The rows of these batches that have no evidence yet, in the file's order, each with what it may be about."""
        asked = Asked(
            file_id=self._file_id,
            provider=file.provider,
            account=file.account,
            ledger=provider_account(file.provider),
            kinds=sorted(OF_PAYMENTS),
            takes=sorted(self._takes),
            of_their_charge=sorted(names_of(file.format, file.provider).of_their_charge),
        )
        few = await few_rows(self._connection, asked, batches, self._others, in_lists=self._has_many_rows)
        rows, candidates = few if few is not None else self._cursors(asked, batches)
        ahead = await anext(candidates, None)
        async for row in rows:
            found: dict[tuple[Any, ...], Candidate] = {}
            while ahead is not None and ahead["position"] <= row["position"]:
                if ahead["position"] == row["position"]:
                    each = candidate_of(ahead)
                    found.setdefault((each.found_by, *each.posting), each)
                ahead = await anext(candidates, None)
            yield row_in(row), list(found.values())

    async def with_named_captures(self, payments: Collection[PaymentKey]) -> frozenset[PaymentKey]:
        """Which of these payments have captures with names of their own at the provider."""
        if not payments:
            return frozenset()
        merchants, ids = zip(*sorted(payments), strict=True)
        found = await self._connection.fetch(STATEMENTS["named_captures"], list(merchants), list(ids), timeout=_LONG_S)
        return frozenset([(row["merchant_id"], row["payment_id"]) for row in found if row["named"]])

    def _cursors(
        self, asked: Asked, batches: Sequence[tuple[str, str]]
    ) -> tuple[AsyncIterator[Any], AsyncIterator[Any]]:
        """All rows of these batches without evidence, and all of their candidates."""
        names = ([batch for batch, _ in batches], [currency for _, currency in batches])
        at_once = {"prefetch": _FETCHED, "timeout": _LONG_S}
        rows = self._connection.cursor(STATEMENTS["compared_rows"], self._file_id, *names, **at_once)
        return aiter(rows), aiter(self._connection.cursor(STATEMENTS["candidates"], *asked.values(), **at_once))

    async def add_plain(
        self, file: SettlementFile, batches: Sequence[tuple[str, str]], actor: str, at: datetime
    ) -> Sequence[PlainSum]:
        """Compare the plain rows of these batches, and write their evidence; ``rows`` has the other ones then. No fee
        is checked."""
        plain = await write_plain_rows(self._connection, file, batches, actor, at)
        self._others = plain.others
        return plain.sums

    async def add(self, evidence: Sequence[Evidence]) -> None:
        """Write evidence."""
        await write_evidence(self._connection, evidence)

    async def roots(
        self, file: SettlementFile, batches: Sequence[tuple[str, str]], actor: str, at: datetime
    ) -> Mapping[tuple[str, str], tuple[int, str]]:
        """Of each batch: how many rows have evidence, and the digest of all of it."""
        return await roots(self._connection, file, batches, actor, at)

    async def close(self, provider: str, account: str, sets: Sequence[EvidenceSet], at: datetime) -> None:
        """Each set is whole. UniqueViolationError where another process has compared the file meanwhile."""
        for each in sets:
            name = (self._file_id, each.batch, each.currency)
            await self._connection.execute(
                STATEMENTS["insert_evidence_set"], *name, provider, account, each.rows, each.net, each.root, at
            )
            await self._connection.executemany(
                STATEMENTS["insert_evidence_sum"],
                [(*name, *msgspec.structs.astuple(s)) for s in each.sums],
            )


class EvidenceBook:
    """Over a pool of connections. Its methods raise what asyncpg raises."""

    def __init__(self, pool: asyncpg.Pool, merchant_id: str) -> None:
        self._pool = pool
        self.merchant_id = merchant_id

    @asynccontextmanager
    async def comparing(self, file_id: str) -> AsyncIterator[Comparing]:
        """The transaction in which a file is compared."""
        async with self._pool.acquire() as connection, connection.transaction():
            for statement in FOR_LISTS:
                await connection.execute(statement)
            yield Comparing(connection, file_id)

    async def files_to_compare(self) -> Sequence[str]:
        """Files of providers with batches that have no evidence yet."""
        given = list(STATEMENT_FORMATS)
        found = await self._pool.fetch(STATEMENTS["files_to_compare"], given, timeout=_LONG_S)
        return [row["file_id"] for row in found]

    async def taken_back(self, events: Sequence[EventName]) -> frozenset[EventName]:
        """Of these events, those that only withdrawn files told of."""
        return await NewsRows(self._pool).taken_back(events)

    async def batches_to_post(self) -> Sequence[BatchName]:
        """Batches with evidence that is not posted, or not wholly."""
        given = (self.merchant_id, list(STATEMENT_FORMATS))
        found = await self._pool.fetch(STATEMENTS["batches_to_post"], *given, timeout=_LONG_S)
        return structs_of(found, BatchName)

    async def batches_of(self, file_id: str) -> Sequence[BatchName]:
        """Batches about which a file's rows are evidence."""
        return structs_of(await self._pool.fetch(STATEMENTS["sets_of_file"], file_id), BatchName)

    async def roots(self, name: BatchName) -> Mapping[str, str]:
        """File -> digest of its evidence about a batch."""
        given = (name.provider, name.account, name.batch, name.currency)
        return {row["file_id"]: row["root"] for row in await self._pool.fetch(STATEMENTS["roots_of_batch"], *given)}

    async def sums(self, name: BatchName, files: Sequence[str]) -> Sequence[EvidenceSum]:
        """What the evidence of these files about a batch comes to."""
        found = await self._pool.fetch(STATEMENTS["sums_of_batch"], list(files), name.batch, name.currency)
        return structs_of(found, EvidenceSum)

    async def batch(self, batch_id: str) -> SettledBatch | None:
        """One batch as it is posted."""
        row = await self._pool.fetchrow(STATEMENTS["settled_batch"], self.merchant_id, batch_id)
        return None if row is None else reader(SETTLED_BATCH_KIND)(row)

    async def settlement(self, merchant_id: str, settlement_id: str) -> Settlement | None:
        """One merchant's part of a batch."""
        row = await self._pool.fetchrow(STATEMENTS["settlement"], merchant_id, settlement_id)
        return None if row is None else reader(SETTLEMENT_KIND)(row)

    async def explained(self, provider: str) -> Explained:
        """Everything about one provider, in one snapshot."""
        ledger, leaving = provider_account(provider), sorted(CLOSING)
        async with (
            self._pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            for statement in FOR_LISTS:
                await connection.execute(statement)

            async def read(name: str, *given: Any) -> Any:
                return await connection.fetch(STATEMENTS[name], *given, timeout=_LONG_S)

            return Explained(
                files=structs_of(await read("file_totals", provider, leaving), Total),
                record=structs_of(await read("record_totals", ledger, list(SETTLED_KINDS)), Total),
                reasons=structs_of(await read("differences_by_reason", provider, leaving), ByReason),
                missing=structs_of(
                    await read("postings_without_row", ledger, list(SETTLED_KINDS), sorted(TAKES)), Missing
                ),
            )

    async def open_rows(self, provider: str, limit: int) -> Sequence[OpenRow]:
        """Rows that somebody has to look at."""
        return structs_of(await self._pool.fetch(STATEMENTS["open_rows"], provider, limit, timeout=_LONG_S), OpenRow)

    async def states(self, provider: str, late: Mapping[str, datetime]) -> Sequence[StateSum]:
        """Everything of a provider by account, state and currency, in one snapshot. ``late``: account -> what was
        posted until then is overdue."""
        ledger = provider_account(provider)
        async with (
            self._pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            for statement in FOR_LISTS:
                await connection.execute(statement)
            given = (ledger, provider, list(late), list(late.values()), list(SETTLED_KINDS))
            waiting = await connection.fetch(STATEMENTS["waiting_postings"], *given, timeout=_LONG_S)
            rows = await connection.fetch(STATEMENTS["rows_by_state"], provider, timeout=_LONG_S)
        return structs_of([*waiting, *rows], StateSum)

    async def of_payment(self, merchant_id: str, payment_id: str) -> Sequence[Evidence]:
        """What settlement rows say of a payment."""
        found = await self._pool.fetch(STATEMENTS["evidence_of_payment"], merchant_id, payment_id)
        return [evidence_in(row) for row in found]

    async def parts_of_payment(self, merchant_id: str, payment_id: str, provider: str) -> PartsOfPayment:
        """How far a payment is reconciled: one read by its key."""
        found = await self._pool.fetch(
            STATEMENTS["parts_of_payment"], merchant_id, payment_id, provider_account(provider)
        )
        return PartsOfPayment(
            postings=[_part_of(row) for row in found if row["part"] == "posting"],
            rows=[_part_of(row) for row in found if row["part"] == "row"],
            account=next((row["subject_id"] for row in found if row["part"] == "account"), None),
        )


def _part_of(row: Any) -> ReconciledPart:
    return ReconciledPart(**{name: row[name] for name in ReconciledPart.__struct_fields__})


def digest_input(evidence: Evidence) -> bytes:
    """What the digest of evidence is made from."""
    return _ENCODER.encode(evidence)


def candidate_of(row: Any) -> Candidate:
    """What a row may be about, out of a row of ``candidates``."""
    posted_as = row["posted_as"]
    amount: int = row["amount"] or 0
    return Candidate(
        found_by=row["found_by"],
        merchant_id=row["merchant_id"],
        payment_id=row["payment_id"],
        subject_id=row["subject_id"],
        state=row["state"],
        kind=None if posted_as is None else kind_of_posting(posted_as, amount),
        version=row["version"] or 0,
        leg=row["leg"] or 0,
        amount=None if posted_as is None else amount,
        currency=row["currency"],
        late=posted_as in LATE_KINDS,
        attempt_id=row["attempt_id"],
        idempotency_key=row["idempotency_key"],
        provider_reference=row["provider_reference"],
        taken=row["taken"],
        name=row["name"],
        movements=() if (said := row["movements"]) is None else _names_in(said),
    )


def _names_in(movements: str) -> tuple[str, ...]:
    """The names of a dispute's movements, out of its row."""
    return tuple([each.reference for each in _MOVEMENTS.decode(movements)])


async def write_evidence(connection: Any, evidence: Sequence[Evidence]) -> None:
    """In the caller's transaction."""
    await connection.copy_records_to_table(
        "settlement_evidence", records=map(_record, evidence), columns=_COLUMNS, timeout=_LONG_S
    )


_values: Callable[[Evidence], tuple[Any, ...]] = msgspec.structs.astuple


def _record(evidence: Evidence) -> tuple[Any, ...]:
    return tuple(
        _ENCODER.encode(value).decode() if name in _AS_JSON and value is not None else value
        for name, value in zip(_COLUMNS, _values(evidence), strict=True)
    )


def row_in(stored: Mapping[str, Any]) -> SettlementRow:
    """A stored row as it is compared."""
    row = SettlementRow(**stored)
    if (parts := stored["fee_parts"]) is not None:
        row.fee_parts = msgspec.json.decode(parts)
    return row


def evidence_in(row: Any) -> Evidence:
    """The evidence in a stored row."""
    held = {name: row[name] for name in _COLUMNS}
    for name in _AS_JSON:
        held[name] = None if held[name] is None else msgspec.json.decode(held[name])
    return msgspec.convert(held, Evidence)
