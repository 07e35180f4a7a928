"""One batch of changes as one transaction: a dozen statements, whatever the number of changes.

Order inside the transaction: look up keys that are taken, take the others, append history (a version that exists
already is a lost race), write states, ledger, answers, and the contended balances last. Rows are sorted by primary
key, so that two batches cannot deadlock.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from tallystick.domain.change import Change
from tallystick.domain.instruction import StoredInstruction
from tallystick.kit.clock import Clock
from tallystick.record.postgres.inbox import take_up
from tallystick.record.postgres.rows import ChangeRows, balance_rows
from tallystick.record.postgres.subject_rows import STATEMENTS, Row, subject_writes


class WriteConnection(Protocol):
    """The part of a database connection that batch writers use."""

    async def fetch(self, query: str, *args: Any) -> list[Any]:
        """Rows of one statement."""

    async def execute(self, query: str, *args: Any) -> str:
        """Command tag of one statement."""

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


class BatchResult:
    """The result for each entry of a committed batch."""

    __slots__ = ("existing", "fresh", "look_again")

    def __init__(self) -> None:
        self.fresh: list[Entry] = []
        self.existing: list[tuple[Entry, StoredInstruction]] = []
        #: Lost their key in this batch or to another process: to be read in a new transaction.
        self.look_again: list[Entry] = []


async def run_batch(
    connection: WriteConnection, entries: Sequence[Entry], clock: Clock, *, after_loss: bool
) -> BatchResult:
    """Commit ``entries`` in one transaction. ``after_loss``: a connection was lost before, so some may be
    committed already.

    Raises LostRace (rolled back; the losers must decide again), and whatever the database raises.
    """
    result = BatchResult()
    await connection.execute("BEGIN")
    try:
        live = await _take_keys(connection, entries, result)
        if after_loss:
            live = await _leave_out_committed(connection, live, result)
        await _append_history(connection, live)
        await _write_subjects(connection, live, clock)
        await _write_rest(connection, live, clock)
    except BaseException:
        if not connection.is_closed():
            await connection.execute("ROLLBACK")
        raise
    await connection.execute("COMMIT")
    result.fresh.extend(live)
    return result


async def _take_keys(connection: WriteConnection, entries: Sequence[Entry], result: BatchResult) -> list[Entry]:
    live = [entry for entry in entries if entry.key is None]
    claiming = [entry for entry in entries if entry.key is not None]
    if not claiming:
        return live
    keys = sorted({entry.key for entry in claiming if entry.key is not None})
    taken = await _taken(connection, keys)
    free: list[Entry] = []
    for entry in claiming:
        stored = taken.get(entry.key) if entry.key else None
        if stored is None:
            free.append(entry)
        elif entry.change.claim is not None and stored.instruction_id == entry.change.claim.instruction_id:
            result.fresh.append(entry)  # our own, committed before the connection was lost
        else:
            result.existing.append((entry, stored))
    if free:
        rows = _sorted(row for entry in free for row in entry.rows.instructions)
        returned = await connection.fetch(STATEMENTS["insert_instructions"], *_columns(rows))
        won = {record[0] for record in returned}
        for entry in free:
            mine = entry.change.claim is not None and entry.change.claim.instruction_id in won
            (live if mine else result.look_again).append(entry)
    return live


async def _taken(
    connection: WriteConnection, keys: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], StoredInstruction]:
    records = await connection.fetch(STATEMENTS["claimed"], [k[0] for k in keys], [k[1] for k in keys])
    return {(record[0], record[1]): StoredInstruction(**dict(record)) for record in records}


async def committed(connection: WriteConnection, entries: Sequence[Entry]) -> set[str]:
    """The ids of the changes that are committed already: a commit may succeed although its connection was lost."""
    # Of a change with steps one names the change: the lead, or every one.
    firsts = [next(row[:4] for row in entry.rows.transitions if row[3]) for entry in entries if entry.rows.transitions]
    if not firsts:
        return set()
    return {record[0] for record in await connection.fetch(STATEMENTS["committed"], *_columns(firsts))}


async def _leave_out_committed(connection: WriteConnection, live: Sequence[Entry], result: BatchResult) -> list[Entry]:
    done = await committed(connection, live)
    result.fresh.extend(entry for entry in live if entry.change.change_id in done)
    return [entry for entry in live if entry.change.change_id not in done]


async def _append_history(connection: WriteConnection, live: Sequence[Entry]) -> None:
    rows = _sorted(row for entry in live for row in entry.rows.transitions)
    if not rows:
        return
    returned = await connection.fetch(STATEMENTS["insert_transitions"], *_columns(rows))
    if len(returned) == len(rows):
        return
    won = {tuple(record) for record in returned}
    losers = [entry for entry in live if any(row[:4] not in won for row in entry.rows.transitions)]
    raise LostRace(losers)


async def _write_subjects(connection: WriteConnection, live: Sequence[Entry], clock: Clock) -> None:
    by_write: dict[str, list[Row]] = {}
    for entry in live:
        for name, rows in entry.rows.subjects.by_write.items():
            by_write.setdefault(name, []).extend(rows)
    for write in subject_writes():
        rows = _sorted(by_write.get(write.name, ()))
        if not rows:
            continue
        shift = (clock.shift_ms,) if write.takes_clock else ()
        tag = await connection.execute(write.statement, *_columns(rows), *shift)
        if tag.rpartition(" ")[2] != str(len(rows)):
            raise GuardBroken(f"{write.name}: {tag} for {len(rows)} rows")


async def _write_rest(connection: WriteConnection, live: Sequence[Entry], clock: Clock) -> None:
    await _write(connection, "insert_responses", live, lambda rows: rows.responses)
    await _write(connection, "insert_rejections", live, lambda rows: rows.rejections)
    await _write(connection, "write_deadlines", live, lambda rows: rows.deadlines, (clock.shift_ms,))
    references = await _write(connection, "insert_references", live, lambda rows: rows.references)
    if references:
        await take_up(connection, references, clock.shift_ms)
    await _write(connection, "insert_messages", live, lambda rows: rows.messages)
    await _write(connection, "insert_processing", live, lambda rows: rows.processing)
    await _write(connection, "acknowledge", live, lambda rows: rows.acknowledgements, (clock.shift_ms,))
    transfers = await _write(connection, "insert_transfers", live, lambda rows: rows.transfers)
    if transfers:
        await connection.execute(STATEMENTS["add_balances"], *_columns(balance_rows(transfers)))


async def _write(
    connection: WriteConnection,
    name: str,
    live: Sequence[Entry],
    pick: Callable[[ChangeRows], list[Row]],
    extra: tuple[Any, ...] = (),
) -> list[Row]:
    rows = _sorted(row for entry in live for row in pick(entry.rows))
    if rows:
        await connection.execute(STATEMENTS[name], *_columns(rows), *extra)
    return rows


def _sorted(rows: Any) -> list[Row]:
    """By the first three columns: every primary key lies within them, or they are enough to order its rows."""
    return sorted(rows, key=lambda row: row[:3])


def _columns(rows: Sequence[Row]) -> list[tuple[Any, ...]]:
    return list(zip(*rows, strict=True))
