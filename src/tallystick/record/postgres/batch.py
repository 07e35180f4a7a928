"""One batch of changes as one transaction, in as few round trips as its changes allow.

Order inside the transaction: take keys, append history (a version that exists already is a lost race), write states,
ledger, answers, and the contended balances last. Rows are sorted by primary key, so that two batches cannot deadlock.

All statements are sent at once, as if each went well, and what the server answers is compared before COMMIT. Where a
version is taken, or events wait for a charge, the transaction is rolled back, and the batch runs again step by step,
with the statements that find out whose loss it is (decision 0089). Where a key is taken it runs again, and asks first
which; so do the larger batches after it (decision 0203).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple, Protocol

import asyncpg

from tallystick.domain.change import Change
from tallystick.domain.instruction import StoredInstruction
from tallystick.kit.clock import Clock
from tallystick.record.postgres.inbox import take_up, unrouted
from tallystick.record.postgres.personal import instruction_of
from tallystick.record.postgres.pipeline import Answers, Call
from tallystick.record.postgres.repeated_keys import RepeatedKeys
from tallystick.record.postgres.results import Answer
from tallystick.record.postgres.rows import ChangeRows, balance_rows
from tallystick.record.postgres.subject_rows import STATEMENTS, Row, subject_writes

BEGIN: Final = Call("BEGIN")

#: The columns of ``claimed``, in its order.
_STORED: Final = (
    *(name for name in StoredInstruction.__struct_fields__ if name != "erased"),
    "description",
    "metadata",
    "erased_by",
)

#: Up to so many new instructions, a batch never asks first which keys are taken: to take them writes nothing where one
#: is. Larger ones do while there are replays: for one among them all that was written would be rolled back.
WRITES_UNASKED: Final = 4


class JournalConnection(Protocol):
    """The part of a database connection that the journal uses."""

    async def exchange(self, calls: Sequence[Call]) -> Answers:
        """What statements answer that are sent together, up to the first refusal."""

    async def fetch(self, query: str, *args: Any) -> list[tuple[Any, ...]]:
        """Rows of one statement."""

    async def execute(self, query: str, *args: Any) -> int:
        """How many rows one statement wrote."""

    def is_closed(self) -> bool:
        """Whether the connection is gone."""

    def terminate(self) -> None:
        """Drop the connection without a goodbye message."""

    async def close(self) -> None:
        """Close the connection properly."""


class Entry:
    """A change in the journal's queue, with its rows."""

    __slots__ = ("change", "key", "rows")

    def __init__(self, change: Change) -> None:
        self.change = change
        self.rows = ChangeRows(change)
        claim = change.claim
        self.key = (claim.merchant_id, claim.idempotency_key) if claim else None


class LostRace(Exception):
    """Some changes met a version that exists already; the whole transaction was rolled back."""

    def __init__(self, losers: Sequence[Entry]) -> None:
        super().__init__(f"{len(losers)} changes lost their race")
        self.losers = list(losers)


class GuardBroken(Exception):
    """A state row did not have the version of its history: a defect, or data changed by hand."""


class _NotAtOnce(Exception):
    """Something has to be looked at before the next statement: the batch goes step by step."""


class _KeyTaken(_NotAtOnce):
    """One of the keys is taken: the batch asks which, if it did not."""


class BatchResult:
    """The result for each entry of a committed batch."""

    __slots__ = ("existing", "fresh", "look_again")

    def __init__(self) -> None:
        self.fresh: list[Entry] = []
        self.existing: list[tuple[Entry, StoredInstruction]] = []
        #: Lost their key in this batch or to another process: to be read in a new transaction.
        self.look_again: list[Entry] = []


async def run_batch(
    connection: JournalConnection,
    entries: Sequence[Entry],
    clock: Clock,
    *,
    after_loss: bool,
    repeated: RepeatedKeys | None = None,
) -> BatchResult:
    """Commit ``entries`` in one transaction. ``after_loss``: a connection was lost before, so some may be
    committed already. ``repeated``: what the batches before it met; by default nothing.

    Raises LostRace (rolled back; the losers must decide again), and whatever the database raises.
    """
    if not after_loss and not _take_one_thing_twice(entries):
        result = await _at_once(connection, entries, clock, repeated or RepeatedKeys())
        if result is not None:
            return result
    return await _transaction(connection, _Batch(entries, clock, after_loss=after_loss), _write_in_steps)


async def _at_once(
    connection: JournalConnection, entries: Sequence[Entry], clock: Clock, repeated: RepeatedKeys
) -> BatchResult | None:
    """None for a batch that has to go step by step."""
    many = sum(entry.key is not None for entry in entries) > WRITES_UNASKED
    for asks in (True,) if many and repeated.are_expected() else (False, True):
        try:
            result = await _transaction(connection, _Batch(entries, clock, asks=asks), _write_at_once)
        except _KeyTaken:
            continue
        except (_NotAtOnce, asyncpg.UniqueViolationError):
            # The latter most often says that another transaction took a key or a version while this one ran.
            return None
        else:
            if result.existing:
                repeated.were_met()
            return result
    return None


def _take_one_thing_twice(entries: Sequence[Entry]) -> bool:
    """Whether two entries take the same key or the same version."""
    keys = [entry.key for entry in entries if entry.key is not None]
    versions = [row[:3] for entry in entries for row in entry.rows.transitions]
    return len(set(keys)) < len(keys) or len(set(versions)) < len(versions)


class _Batch:
    """One try at a batch. ``live``: the entries that it writes. ``asks``: first, which keys are taken."""

    def __init__(self, entries: Sequence[Entry], clock: Clock, *, after_loss: bool = False, asks: bool = False) -> None:
        self.claiming = [entry for entry in entries if entry.key is not None]
        self.live = [entry for entry in entries if entry.key is None]
        self.clock = clock
        self.after_loss = after_loss
        self.asks = asks
        self.result = BatchResult()


class _Step(NamedTuple):
    """A statement of a batch. ``check`` raises where its answer is not as it has to be."""

    call: Call
    check: Callable[[Answer], None] | None = None


async def _transaction(
    connection: JournalConnection, batch: _Batch, write: Callable[[JournalConnection, _Batch], Awaitable[None]]
) -> BatchResult:
    try:
        await write(connection, batch)
    except BaseException:
        if not connection.is_closed():
            await connection.execute("ROLLBACK")
        raise
    await connection.execute("COMMIT")
    batch.result.fresh.extend(batch.live)
    return batch.result


async def _write_at_once(connection: JournalConnection, batch: _Batch) -> None:
    steps = [_Step(BEGIN)]
    free = batch.claiming
    if batch.asks:
        answers = await _run(connection, [*steps, _Step(_claimed(free))])
        steps, free = [], _sort_out(answers[-1], batch)
    if free:
        rows = _instructions(free)
        steps.append(_Step(Call(STATEMENTS["take_free_keys"], _columns(rows)), _wrote(len(rows), _KeyTaken)))
    batch.live.extend(free)
    references = _rows(batch.live, lambda rows: rows.references)
    history = _rows(batch.live, lambda rows: rows.transitions)
    if history:
        steps.append(_Step(Call(STATEMENTS["append_transitions"], _columns(history))))
    steps += _until_references(batch)
    if references:
        steps.append(_Step(unrouted(references), _wrote(0, _NotAtOnce)))
    await _run(connection, [*steps, *_from_messages(batch)])


async def _write_in_steps(connection: JournalConnection, batch: _Batch) -> None:
    await connection.execute("BEGIN")
    if batch.claiming:
        (answer,) = await _run(connection, [_Step(_claimed(batch.claiming))])
        await _take_keys(connection, _sort_out(answer, batch), batch)
    if batch.after_loss:
        done = await committed(connection, batch.live)
        batch.result.fresh.extend(entry for entry in batch.live if entry.change.change_id in done)
        batch.live = [entry for entry in batch.live if entry.change.change_id not in done]
    await _run(connection, list(_history(batch.live)))  # alone: after a lost race the server refuses what follows
    await _run(connection, list(_until_references(batch)))
    references = _rows(batch.live, lambda rows: rows.references)
    if references:
        await take_up(connection, references, batch.clock.shift_ms)
    await _run(connection, list(_from_messages(batch)))


async def _run(connection: JournalConnection, steps: Sequence[_Step]) -> list[Answer]:
    """What the first statement that did not go well makes it raise: its check, or the server."""
    if not steps:
        return []
    done, refusal = await connection.exchange([step.call for step in steps])
    for step, answer in zip(steps, done, strict=False):
        if step.check is not None:
            step.check(answer)
    if refusal is not None:
        raise refusal
    return done


def _wrote(count: int, otherwise: type[_NotAtOnce]) -> Callable[[Answer], None]:
    def check(answer: Answer) -> None:
        if answer.count != count:
            raise otherwise

    return check


def _claimed(claiming: Sequence[Entry]) -> Call:
    keys = sorted({entry.key for entry in claiming if entry.key is not None})
    return Call(STATEMENTS["claimed"], _columns(keys))


def _sort_out(answer: Answer, batch: _Batch) -> list[Entry]:
    """The entries whose key is free, by what ``_claimed`` was answered."""
    found = (instruction_of(dict(zip(_STORED, row, strict=True))) for row in answer.rows())
    taken = {(stored.merchant_id, stored.idempotency_key): stored for stored in found}
    free: list[Entry] = []
    for entry in batch.claiming:
        stored = taken.get(entry.key) if entry.key else None
        if stored is None:
            free.append(entry)
        elif entry.change.claim is not None and stored.instruction_id == entry.change.claim.instruction_id:
            batch.result.fresh.append(entry)  # our own, committed before the connection was lost
        else:
            batch.result.existing.append((entry, stored))
    return free


async def _take_keys(connection: JournalConnection, free: Sequence[Entry], batch: _Batch) -> None:
    if not free:
        return
    returned = await connection.fetch(STATEMENTS["insert_instructions"], *_columns(_instructions(free)))
    won = {record[0] for record in returned}
    for entry in free:
        mine = entry.change.claim is not None and entry.change.claim.instruction_id in won
        (batch.live if mine else batch.result.look_again).append(entry)


def _instructions(entries: Sequence[Entry]) -> list[Row]:
    """By key; of two with one key the first one stays first. The third column may be null."""
    return sorted((row for entry in entries for row in entry.rows.instructions), key=lambda row: row[:2])


async def committed(connection: JournalConnection, entries: Sequence[Entry]) -> set[str]:
    """The ids of the changes that are committed already: a commit may succeed although its connection was lost."""
    # Of a change with steps one names the change: the lead, or every one.
    firsts = [next(row[:4] for row in entry.rows.transitions if row[3]) for entry in entries if entry.rows.transitions]
    if not firsts:
        return set()
    return {record[0] for record in await connection.fetch(STATEMENTS["committed"], *_columns(firsts))}


def _until_references(batch: _Batch) -> Iterator[_Step]:
    yield from _subjects(batch)
    yield from _write(batch, "insert_responses", lambda rows: rows.responses)
    yield from _write(batch, "insert_rejections", lambda rows: rows.rejections)
    yield from _acts(batch.live)
    yield from _news(batch.live)
    yield from _write(batch, "insert_answers", lambda rows: rows.answers)
    yield from _write(batch, "insert_answer_keys", lambda rows: rows.answer_keys)
    yield from _write(batch, "write_deadlines", lambda rows: rows.deadlines, (batch.clock.shift_ms,))
    yield from _write(batch, "insert_references", lambda rows: rows.references)


def _from_messages(batch: _Batch) -> Iterator[_Step]:
    yield from _write(batch, "insert_messages", lambda rows: rows.messages)
    yield from _write(batch, "insert_processing", lambda rows: rows.processing)
    yield from _write(batch, "acknowledge", lambda rows: rows.acknowledgements, (batch.clock.shift_ms,))
    yield from _write(batch, "insert_transfers", lambda rows: rows.transfers)
    transfers = _rows(batch.live, lambda rows: rows.transfers)
    if transfers:
        yield _Step(Call(STATEMENTS["add_balances"], _columns(balance_rows(transfers))))


def _history(live: Sequence[Entry]) -> Iterator[_Step]:
    rows = _rows(live, lambda rows: rows.transitions)

    def check(answer: Answer) -> None:
        if answer.count != len(rows):
            won = set(answer.rows())
            raise LostRace([entry for entry in live if any(row[:4] not in won for row in entry.rows.transitions)])

    if rows:
        yield _Step(Call(STATEMENTS["insert_transitions"], _columns(rows)), check)


def _acts(live: Sequence[Entry]) -> Iterator[_Step]:
    """An act whose key is taken already was done by somebody else meanwhile: its change decides again."""
    rows = _rows(live, lambda rows: rows.acts)

    def check(answer: Answer) -> None:
        if answer.count != len(rows):
            won = {row[0] for row in answer.rows()}
            raise LostRace([entry for entry in live if any(row[2] not in won for row in entry.rows.acts)])

    if rows:
        yield _Step(Call(STATEMENTS["insert_acts"], _columns(rows)), check)


def _news(live: Sequence[Entry]) -> Iterator[_Step]:
    """What only withdrawn files told of moves nothing: its change decides again."""
    rows = _rows(live, lambda rows: rows.told)

    def check(answer: Answer) -> None:
        told = set(answer.rows())
        if losers := [entry for entry in live if any(row not in told for row in entry.rows.told)]:
            raise LostRace(losers)

    if rows:
        yield _Step(Call(STATEMENTS["hold_news"], _columns(rows)), check)


def _subjects(batch: _Batch) -> Iterator[_Step]:
    by_write: dict[str, list[Row]] = {}
    for entry in batch.live:
        for name, rows in entry.rows.subjects.by_write.items():
            by_write.setdefault(name, []).extend(rows)
    for write in subject_writes():
        rows = _sorted(by_write.get(write.name, ()))
        if rows:
            shift = (batch.clock.shift_ms,) if write.takes_clock else ()
            yield _Step(Call(write.statement, [*_columns(rows), *shift]), _guard(write.name, len(rows)))


def _guard(name: str, rows: int) -> Callable[[Answer], None]:
    def check(answer: Answer) -> None:
        if answer.count != rows:
            raise GuardBroken(f"{name}: {answer.count} of {rows} rows")

    return check


def _write(
    batch: _Batch, name: str, pick: Callable[[ChangeRows], list[Row]], extra: tuple[Any, ...] = ()
) -> Iterator[_Step]:
    rows = _rows(batch.live, pick)
    if rows:
        yield _Step(Call(STATEMENTS[name], [*_columns(rows), *extra]))


def _rows(live: Sequence[Entry], pick: Callable[[ChangeRows], list[Row]]) -> list[Row]:
    return _sorted(row for entry in live for row in pick(entry.rows))


def _sorted(rows: Any) -> list[Row]:
    """By the first three columns: every primary key lies within them, or they are enough to order its rows."""
    return sorted(rows, key=lambda row: row[:3])


def _columns(rows: Sequence[Row]) -> list[tuple[Any, ...]]:
    return list(zip(*rows, strict=True))
