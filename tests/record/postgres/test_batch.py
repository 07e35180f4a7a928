"""A batch whose statements are sent together: each entry has the answer that it would have had one by one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import asyncpg
import pytest
from msgspec.structs import replace

from tallystick.decisions.kept_answers import with_answer
from tallystick.domain.change import Change
from tallystick.domain.provider_answer import ProviderAnswer
from tallystick.domain.subjects import Payment
from tallystick.kit.clock import Clock, utc_now
from tallystick.kit.ids import new_id
from tallystick.lab.bench.ceiling import record_batch
from tallystick.lab.bench.workload import create_change, new_instruction, new_payment
from tallystick.record.postgres.batch import (
    WRITES_UNASKED,
    BatchResult,
    Entry,
    GuardBroken,
    LostRace,
    run_batch,
)
from tallystick.record.postgres.connections import connect_journal
from tallystick.record.postgres.pipeline import Answers, Call, PipelineConnection
from tallystick.record.postgres.repeated_keys import ASKED_BATCHES, RepeatedKeys
from tallystick.record.postgres.subject_rows import STATEMENTS
from tests.support.database import Database
from tests.support.polling import eventually_async

#: What a provider answered, of no matter what.
ANSWER = ProviderAnswer(
    attempt_id="att_1",
    asked="call",
    status=402,
    size_bytes=6,
    at=utc_now(),
    sealed=b"sealed",
    raw_key=bytes(16),
)

SIZES = [1, WRITES_UNASKED, WRITES_UNASKED + 1, 20]

#: The same, and whether a batch before met a taken key: then larger ones ask first.
WAYS = [*((size, False) for size in SIZES), (WRITES_UNASKED + 1, True), (20, True)]


@pytest.fixture
async def journal(database: Database) -> AsyncIterator[PipelineConnection]:
    opened = await connect_journal(database.app_url, command_timeout_ms=30_000)
    yield opened
    await opened.close()


def intents(count: int) -> list[Change]:
    return [create_change(new_instruction(new_id("req")), new_id("pay")) for _ in range(count)]


async def run(
    connection: Any, changes: Sequence[Change], *, after_loss: bool = False, asks: bool = False
) -> BatchResult:
    repeated = RepeatedKeys()
    if asks:
        repeated.were_met()
    entries = [Entry(change) for change in changes]
    return await run_batch(connection, entries, Clock(), after_loss=after_loss, repeated=repeated)


def replay_of(create: Change) -> Change:
    """Another request under its key."""
    assert create.claim is not None
    again = create_change(new_instruction(create.claim.idempotency_key), new_id("pay"))
    return replace(again, claim=replace(create.claim, instruction_id=new_id("ins"), payment_id=again.stream_id))


def of(entries: Sequence[Entry]) -> list[Change]:
    return [entry.change for entry in entries]


async def count(journal: PipelineConnection, table: str, changes: Sequence[Change]) -> int:
    streams = [change.stream_id for change in changes]
    asked = f"SELECT count(*) FROM {table} WHERE payment_id = ANY($1::text[])"
    return int((await journal.fetch(asked, streams))[0][0])


@pytest.mark.parametrize(("changes", "outcomes"), [(1, 0), (4, 0), (5, 0), (50, 0), (0, 1), (0, 50)])
async def test_a_batch_is_two_exchanges(changes: int, outcomes: int) -> None:
    sent = await record_batch(
        [*intents(changes), *(outcome for _, outcome in (new_payment() for _ in range(outcomes)))]
    )
    assert len(sent) == 2 and sent[-1] == (Call("COMMIT", ()),)


async def test_larger_batches_ask_first_for_a_while_after_one_that_met_a_taken_key(
    journal: PipelineConnection,
) -> None:
    """Three exchanges then; the one that meets it is rolled back, and asks. Small ones never ask first."""
    create, repeated, heard = intents(1)[0], RepeatedKeys(), Heard(journal)

    async def exchanges(changes: Sequence[Change]) -> int:
        before = heard.exchanges
        await run_batch(heard, [Entry(change) for change in changes], Clock(), after_loss=False, repeated=repeated)
        return heard.exchanges - before

    many, few = WRITES_UNASKED + 1, WRITES_UNASKED
    assert [await exchanges([create]), await exchanges(intents(many))] == [1, 1]
    assert await exchanges([*intents(many), replay_of(create)]) == 3, "in vain, asked, written"
    assert await exchanges(intents(few)) == 1
    for left in range(ASKED_BATCHES):
        assert await exchanges(intents(many)) == 2, f"after {left}"
    assert await exchanges(intents(many)) == 1
    assert await exchanges([replay_of(create)]) == 2, "in vain, and then there is nothing to be written"
    assert await exchanges([*intents(many), replay_of(create)]) == await exchanges(intents(many)) == 2


@pytest.mark.parametrize(("size", "asks"), WAYS)
async def test_a_taken_key_is_answered_and_the_others_are_written(
    journal: PipelineConnection, size: int, asks: bool
) -> None:
    first, others = intents(1), intents(size - 1)
    assert of((await run(journal, first)).fresh) == first
    assert first[0].claim is not None
    again = replay_of(first[0])
    result = await run(journal, [*others, again], asks=asks)
    [(entry, stored)] = result.existing
    assert entry.change == again and stored.instruction_id == first[0].claim.instruction_id
    assert of(result.fresh) == others and result.look_again == []
    assert await count(journal, "payment", [*others, again]) == len(others), "nothing is left of the replay"


@pytest.mark.parametrize("size", SIZES[1:])
async def test_of_one_key_twice_in_a_batch_one_entry_has_it(journal: PipelineConnection, size: int) -> None:
    changes = intents(size)
    assert changes[0].claim is not None and changes[1].claim is not None
    changes[1] = replace(changes[1], claim=replace(changes[1].claim, idempotency_key=changes[0].claim.idempotency_key))
    result = await run(journal, changes)
    assert len(result.fresh) == size - 1 and len(result.look_again) == 1
    assert of(result.look_again)[0] in changes[:2]
    assert await count(journal, "payment", changes) == size - 1


class Rival:
    """Another process takes a key after it was seen free, before it is written."""

    def __init__(self, inner: PipelineConnection, other: PipelineConnection, change: Change) -> None:
        self._inner, self._other, self._change = inner, other, change
        self.is_done = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def exchange(self, calls: Sequence[Call]) -> Answers:
        at = next((n for n, call in enumerate(calls) if call.query == STATEMENTS["take_free_keys"]), None)
        if at is None or self.is_done:
            return await self._inner.exchange(calls)
        self.is_done = True
        before = await self._inner.exchange(calls[:at]) if at else Answers([], None)
        await run(self._other, [self._change])
        after = await self._inner.exchange(calls[at:])
        return Answers([*before.done, *after.done], after.refusal)


@pytest.mark.parametrize(("size", "asks"), WAYS)
async def test_a_key_that_another_process_takes_meanwhile(
    database: Database, journal: PipelineConnection, size: int, asks: bool
) -> None:
    changes = intents(size)
    claim = changes[-1].claim
    assert claim is not None
    theirs = intents(1)[0]
    theirs = replace(theirs, claim=replace(claim, instruction_id=new_id("ins"), payment_id=theirs.stream_id))
    other = await connect_journal(database.app_url, command_timeout_ms=30_000)
    rival = Rival(journal, other, theirs)
    result = await run(rival, changes, asks=asks)
    await other.close()
    assert rival.is_done and of(result.fresh) == changes[:-1]
    assert [entry.change for entry, _ in result.existing] == changes[-1:]
    assert await count(journal, "payment", changes) == size - 1


@pytest.mark.parametrize(("size", "asks"), WAYS)
async def test_a_lost_race_comes_before_what_it_leads_to(journal: PipelineConnection, size: int, asks: bool) -> None:
    """The loser's payment is refused too, as a duplicate: the batch would be taken for one that nothing can write."""
    changes = intents(size)
    await run(journal, changes[:1])
    clash = replace(changes[0], claim=None)
    with pytest.raises(LostRace) as lost:
        await run(journal, [*changes[1:], clash], asks=asks)
    assert of(lost.value.losers) == [clash]
    assert await count(journal, "payment", changes[1:]) == 0, "rolled back"
    assert of((await run(journal, changes[1:])).fresh) == changes[1:]


class Heard:
    """A connection, and what the server refused on it."""

    def __init__(self, inner: PipelineConnection) -> None:
        self._inner = inner
        self.refused: list[Exception] = []
        self.exchanges = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def exchange(self, calls: Sequence[Call]) -> Answers:
        answers = await self._inner.exchange(calls)
        self.exchanges += 1
        self.refused += [answers.refusal] if answers.refusal else []
        return answers


@pytest.mark.parametrize(("size", "asks"), WAYS)
async def test_a_replay_is_no_error_of_the_server(journal: PipelineConnection, size: int, asks: bool) -> None:
    """Clients repeat themselves: that must not fill its log, nor must two of a kind in one batch."""
    create, heard = intents(1)[0], Heard(journal)
    assert create.claim is not None
    replays = intents(2)
    replays = [
        replace(each, claim=replace(create.claim, instruction_id=new_id("ins"), payment_id=each.stream_id))
        for each in replays
    ]
    result = await run(heard, [*intents(size - 1), create, replays[0]], asks=asks)
    assert len(result.fresh) == size and of(result.look_again) == replays[:1]
    assert len((await run(heard, [*intents(size - 1), replays[1]], asks=asks)).existing) == 1
    assert heard.refused == []


@pytest.mark.parametrize(("size", "asks"), WAYS)
@pytest.mark.parametrize("taken", ["key", "version"])
async def test_what_another_transaction_takes_at_the_same_time(
    database: Database, journal: PipelineConnection, size: int, asks: bool, taken: str
) -> None:
    """It is not seen before it is written, and the insert waits for it: the answer is the same."""
    [create, theirs] = intents(2)
    claim = create.claim
    assert claim is not None
    if taken == "key":
        theirs = replace(theirs, claim=replace(claim, instruction_id=new_id("ins"), payment_id=theirs.stream_id))
    else:
        theirs = replace(create, change_id=new_id("chg"), claim=None)
    other = await connect_journal(database.app_url, command_timeout_ms=30_000)
    [exchange, *_] = await record_batch([theirs])
    await other.exchange(exchange)  # BEGIN, and all that it writes
    heard, others = Heard(journal), intents(size - 1)
    running = asyncio.create_task(run(heard, [*others, create], asks=asks))
    await eventually_async(lambda: _blocked(other, journal.server_pid), until=bool)
    await other.execute("COMMIT")
    await other.close()
    if taken == "key":
        result = await running
        assert of(result.fresh) == others and [entry.change for entry, _ in result.existing] == [create]
    else:
        with pytest.raises(LostRace) as lost:
            await running
        assert of(lost.value.losers) == [create]
    assert [type(error) for error in heard.refused] == [asyncpg.UniqueViolationError]
    assert await count(journal, "payment", others) == (size - 1 if taken == "key" else 0)


async def _blocked(connection: PipelineConnection, pid: int) -> bool:
    return bool((await connection.fetch("SELECT cardinality(pg_blocking_pids($1::int)) > 0", pid))[0][0])


async def test_a_state_without_its_history_stops_the_batch(journal: PipelineConnection) -> None:
    """Its row is not there: what the batch wrote before is rolled back."""
    _, outcome = new_payment()
    others = intents(2)
    with pytest.raises(GuardBroken):
        await run(journal, [*others, outcome])
    assert await count(journal, "payment", others) == 0


@pytest.mark.parametrize("size", SIZES)
async def test_after_a_loss_what_is_committed_is_not_written_again(journal: PipelineConnection, size: int) -> None:
    create, outcome = new_payment()
    changes = [create, *intents(size)]
    await run(journal, changes[:2])
    result = await run(journal, changes, after_loss=True)
    assert sorted(each.stream_id for each in of(result.fresh)) == sorted(each.stream_id for each in changes)
    outcome = with_answer(outcome, ANSWER)
    await run(journal, [outcome])
    assert of((await run(journal, [outcome], after_loss=True)).fresh) == [outcome]
    assert await count(journal, "provider_answer", [outcome]) == 1
    assert await count(journal, "provider_answer_key", [outcome]) == 1


async def test_an_answer_is_written_with_its_change_or_not_at_all(journal: PipelineConnection) -> None:
    """Whoever loses the race for the version leaves none."""
    create, outcome = new_payment()
    first, second = with_answer(outcome, ANSWER), with_answer(replace(outcome, change_id=new_id("chg")), ANSWER)
    await run(journal, [create])
    await run(journal, [first])
    with pytest.raises(LostRace):
        await run(journal, [second])
    asked = "SELECT change_id FROM provider_answer WHERE payment_id = $1"
    assert [row[0] for row in await journal.fetch(asked, outcome.stream_id)] == [first.change_id]


def test_a_payment_is_changed_in_every_outcome() -> None:
    """What the guard above needs."""
    _, outcome = new_payment()
    assert any(isinstance(subject, Payment) for subject in outcome.subjects)
