"""Intake: durable before it is acknowledged, told apart by name and bytes, whatever races and faults do."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from structlog.testing import capture_logs

from tallystick.domain.errors import Overloaded
from tallystick.domain.notices import ChargeNotice
from tallystick.domain.verdicts import RequiresAction
from tallystick.flows.webhooks.inbound import intake as intake_module
from tallystick.flows.webhooks.inbound.intake import FAIRNESS_SPACING_MS, Arrival, Intake, IntakeUnavailable
from tallystick.kit.ids import new_id
from tallystick.record.postgres.batch import JournalConnection
from tallystick.record.postgres.connections import connect_journal
from tallystick.record.postgres.pipeline import Answers, Call, PipelineConnection
from tallystick.record.postgres.results import Answer
from tests.support.crash.killable import NAMES
from tests.support.database import Database
from tests.support.dump import dump
from tests.support.inbox import accept, again, arrival, envelope, intake_on
from tests.support.polling import one_turn


def rows(database: Database, query: str, *values: Any) -> list[tuple[Any, ...]]:
    """What the record holds."""
    with psycopg.connect(database.owner_url) as connection:
        return connection.execute(query, values).fetchall()


def results(database: Database, name: str) -> list[str]:
    """How each delivery of an event was taken, sorted."""
    return sorted(r[0] for r in rows(database, "SELECT result FROM delivery WHERE provider_event_id = %s", name))


async def test_a_redelivery_is_a_row_beside_the_envelope(database: Database) -> None:
    name = new_id("req")
    first = envelope(name)
    await accept(database, [first])
    await accept(database, [again(first), again(first)])
    assert results(database, name) == ["first", "redelivery", "redelivery"]
    assert rows(database, "SELECT event_id FROM inbox WHERE provider_event_id = %s", name) == [(first.event_id,)]


async def test_what_a_payer_has_to_do_is_not_kept_unsealed(database: Database) -> None:
    """Not even where whoever hands it over forgot to seal it."""
    name, action = new_id("req"), {"type": "redirect", "url": "https://bank.example/?token=plain_to_see"}
    notice = ChargeNotice(verdict=RequiresAction(next_action=action))
    await accept(database, [envelope(name, notice)])
    [(kept,)] = rows(database, "SELECT notice FROM inbox WHERE provider_event_id = %s", name)
    assert kept["verdict"]["next_action"] == {"type": "redirect"}
    assert "plain_to_see" not in await dump(database)


async def test_duplicates_inside_one_batch(database: Database) -> None:
    name = new_id("req")
    first = envelope(name)
    async with intake_on(database) as intake:
        await intake.accept([arrival(first), *(arrival(again(first)) for _ in range(9))])
    assert results(database, name) == ["first", *["redelivery"] * 9]


async def test_other_bytes_under_a_known_id_are_kept_and_told_apart(database: Database) -> None:
    name = new_id("req")
    first = envelope(name)
    await accept(database, [first])
    await accept(database, [again(first, digest=b"other", type="charge.declined")])
    assert results(database, name) == ["first", "other_bytes"]
    assert rows(database, "SELECT type, digest FROM inbox WHERE provider_event_id = %s", name) == [
        ("charge.captured", first.digest)
    ]


async def test_a_flood_of_other_bytes_is_a_row_each_and_few_lines(database: Database) -> None:
    name = new_id("req")
    first = envelope(name)
    with capture_logs() as logged:
        async with intake_on(database) as intake:
            await intake.accept([arrival(first)])
            for number in range(300):
                await intake.accept([arrival(again(first, digest=b"%d" % number))])
    assert results(database, name) == ["first", *["other_bytes"] * 300]
    lines = [line for line in logged if line["event"] == "other bytes under a known event id"]
    assert len(lines) < 30 and sum(line["since_last_line"] for line in lines) == 300
    assert all(line["alert"] and line["provider_event_id"] == name for line in lines)
    in_the_record = first.event_id  # what arrived later has ids that are in no row
    assert {line["event_id"] for line in lines} == {in_the_record}
    assert {line["next"] for line in lines} == {f"tallystick provider-events show {in_the_record}"}


async def test_one_name_at_two_accounts_is_two_events(database: Database) -> None:
    name = new_id("req")
    await accept(database, [envelope(name), envelope(name, account="other"), envelope(name, provider="stripe")])
    assert len(rows(database, "SELECT 1 FROM inbox WHERE provider_event_id = %s", name)) == 3


async def test_racing_processes_agree_on_who_was_first(database: Database) -> None:
    names = [new_id("req") for _ in range(40)]
    async with intake_on(database) as one, intake_on(database) as other:
        await asyncio.gather(
            *(intake.accept([arrival(envelope(name))]) for name in names for intake in (one, other) for _ in range(3))
        )
    for name in names:
        assert results(database, name) == ["first", *["redelivery"] * 5]
    assert len(rows(database, "SELECT 1 FROM inbox WHERE provider_event_id = ANY(%s)", names)) == len(names)


class Severed:
    """A connection that is cut around one statement: the server may or may not have carried it out. Each statement goes
    alone, as a server may have run any number of those that are sent together."""

    def __init__(self, inner: PipelineConnection, statement: int, *, after: bool) -> None:
        self._inner = inner
        self._left = statement
        self._after = after

    async def exchange(self, calls: Sequence[Call]) -> Answers:
        done: list[Answer] = []
        for call in calls:
            answers = await self._cut(call)
            done += answers.done
            if answers.refusal is not None:
                return Answers(done, answers.refusal)
        return Answers(done, None)

    async def fetch(self, query: str, *args: Any) -> list[tuple[Any, ...]]:
        return await self._inner.fetch(query, *args)

    async def execute(self, query: str, *args: Any) -> int:
        return await self._inner.execute(query, *args)

    async def _cut(self, call: Call) -> Answers:
        self._left -= 1
        if self._left == 0 and not self._after:
            self._inner.terminate()
        answers = await self._inner.exchange([call])
        if self._left == 0:
            self._inner.terminate()
            raise ConnectionResetError("cut")
        return answers

    def is_closed(self) -> bool:
        return self._inner.is_closed()

    def terminate(self) -> None:
        self._inner.terminate()

    async def close(self) -> None:
        await self._inner.close()


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("statement", [1, 2, 3, 4, 5])
async def test_a_connection_lost_at_any_statement_loses_nothing(
    database: Database, statement: int, after: bool
) -> None:
    """BEGIN, events, known events, deliveries, COMMIT: whatever became of it, each delivery is there once."""
    name, cuts = new_id("req"), iter([statement])

    async def severed() -> JournalConnection:
        inner = await connect_journal(database.app_url, command_timeout_ms=5_000)
        cut = next(cuts, None)
        return inner if cut is None else Severed(inner, cut, after=after)

    first = envelope(name)
    await accept(database, [first])
    with capture_logs() as logged:
        async with intake_on(database, connect_with=severed) as intake:
            changed = arrival(again(first, digest=b"other"))
            await intake.accept([arrival(again(first)), arrival(envelope(name + "b")), changed])
    assert results(database, name) == ["first", "other_bytes", "redelivery"]
    assert results(database, name + "b") == ["first"]
    assert [line["event"] for line in logged if line.get("alert")] == ["other bytes under a known event id"]


async def test_an_arrival_is_never_dropped_for_a_row_that_is_there(database: Database) -> None:
    """The id of a delivery is its own; only after a lost connection may its row be there already."""
    first = envelope(new_id("req"))
    await accept(database, [first])
    with pytest.raises(IntakeUnavailable, match="refused"):
        await accept(database, [first])
    assert results(database, first.provider_event_id) == ["first"]


async def test_an_arrival_without_its_event_is_not_kept(database: Database) -> None:
    class Losing(Severed):
        async def exchange(self, calls: Sequence[Call]) -> Answers:
            lost = [Call("SELECT WHERE false") if "INTO inbox" in call.query else call for call in calls]
            return await self._inner.exchange(lost)

    async def losing() -> JournalConnection:
        return Losing(await connect_journal(database.app_url, command_timeout_ms=5_000), 0, after=False)

    name = new_id("req")
    with capture_logs() as logged, pytest.raises(IntakeUnavailable, match="refused"):
        async with intake_on(database, connect_with=losing) as intake:
            await intake.accept([arrival(envelope(name))])
    assert results(database, name) == []
    assert "NotKept" in {line.get("error") for line in logged}


async def test_a_batch_is_two_round_trips(database: Database) -> None:
    exchanges: list[list[str]] = []

    class Counted(Severed):
        async def exchange(self, calls: Sequence[Call]) -> Answers:
            exchanges.append([NAMES.get(call.query, call.query) for call in calls])
            return await self._inner.exchange(calls)

    async def counted() -> JournalConnection:
        return Counted(await connect_journal(database.app_url, command_timeout_ms=5_000), 0, after=False)

    first = envelope(new_id("req"))
    async with intake_on(database, connect_with=counted) as intake:
        await intake.accept([arrival(first), arrival(again(first))])
    assert exchanges == [["BEGIN", "insert_events", "known_events"], ["insert_deliveries", "COMMIT"]]


async def test_a_database_that_is_away_is_said_so_and_nothing_is_acknowledged(database: Database) -> None:
    async def away() -> JournalConnection:
        raise ConnectionRefusedError("away")

    async with intake_on(database, connect_with=away, commit_timeout_ms=200) as intake:
        with pytest.raises(IntakeUnavailable):
            await intake.accept([arrival(envelope(new_id("req")))])


async def test_a_database_that_hangs_is_said_so_in_time(database: Database) -> None:
    """It neither answers nor refuses. Who waits behind others that wait is told as soon as those are."""
    gate, hung = asyncio.Event(), 0

    async def hanging() -> JournalConnection:
        nonlocal hung
        hung += 1
        await gate.wait()
        return await connect_journal(database.app_url, command_timeout_ms=5_000)

    names = [new_id("req") for _ in range(6)]
    async with intake_on(database, connect_with=hanging, commit_timeout_ms=200) as intake:
        try:
            async with asyncio.timeout(20):
                for name in names:
                    with pytest.raises(IntakeUnavailable):
                        await intake.accept([arrival(envelope(name))])
            assert 1 <= hung <= 2
        finally:
            gate.set()
    async with intake_on(database) as intake:
        await intake.accept([arrival(envelope(name)) for name in names])
    assert len(rows(database, "SELECT 1 FROM inbox WHERE provider_event_id = ANY(%s)", names)) == len(names)


async def test_a_full_queue_takes_nothing(database: Database) -> None:
    gate = asyncio.Event()

    async def slow() -> JournalConnection:
        await gate.wait()
        return await connect_journal(database.app_url, command_timeout_ms=5_000)

    names = [new_id("req") for _ in range(30)]
    async with intake_on(database, connect_with=slow, queue_limit=5) as intake:
        tasks = [asyncio.create_task(intake.accept([arrival(envelope(name))])) for name in names]
        await one_turn()  # every one of them has come to the queue
        gate.set()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    kept = [name for name, outcome in zip(names, outcomes, strict=True) if outcome is None]
    assert kept and any(isinstance(outcome, Overloaded) for outcome in outcomes)
    found = rows(database, "SELECT provider_event_id FROM inbox WHERE provider_event_id = ANY(%s)", names)
    assert sorted(kept) == sorted(row[0] for row in found)


async def test_the_bytes_that_wait_are_bounded(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large deliveries fill the queue long before their number does, and every batch stays small."""
    monkeypatch.setattr(intake_module, "QUEUE_BYTES", 10_000)
    monkeypatch.setattr(intake_module, "BATCH_BYTES", 3_000)
    names = [new_id("req") for _ in range(30)]
    async with intake_on(database) as intake:
        large = [Arrival(envelope(name), datetime.now(UTC), bytes(1_000)) for name in names]
        tasks = [asyncio.create_task(intake.accept([each])) for each in large]
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        kept = [name for name, outcome in zip(names, outcomes, strict=True) if outcome is None]
        assert 10 <= len(kept) < 30 and all(isinstance(each, Overloaded) for each in outcomes if each is not None)
        await intake.accept([Arrival(envelope(new_id("req")), datetime.now(UTC), bytes(9_000))])  # room again
    assert len(rows(database, "SELECT 1 FROM inbox WHERE provider_event_id = ANY(%s)", names)) == len(kept)


async def test_only_the_culprit_fails(database: Database) -> None:
    names = [new_id("req") for _ in range(20)]
    bad = envelope("nul\x00byte")
    async with intake_on(database) as intake:
        tasks = [intake.accept([arrival(one)]) for one in [*(envelope(name) for name in names[:10]), bad]]
        tasks += [intake.accept([arrival(envelope(name))]) for name in names[10:]]
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes if outcome is not None] == [IntakeUnavailable]
    assert len(rows(database, "SELECT 1 FROM inbox WHERE provider_event_id = ANY(%s)", names)) == len(names)


async def test_turns_spread_a_flood_and_leave_others_alone(database: Database) -> None:
    async with intake_on(database) as intake:
        flood = [intake.fair_place_ms("loud", 1_000_000) for _ in range(500)]
        assert flood == [1_000_000 + n * FAIRNESS_SPACING_MS for n in range(500)]
        assert intake.fair_place_ms("quiet", 1_000_100) == 1_000_100
        assert intake.fair_place_ms("loud", 2_000_000) == 2_000_000  # the past is forgotten


async def test_closing_writes_what_is_queued(database: Database) -> None:
    names = [new_id("req") for _ in range(50)]
    intakes: list[Intake] = []
    async with intake_on(database) as intake:
        intakes.append(intake)
        tasks = [asyncio.create_task(intake.accept([arrival(envelope(name))])) for name in names]
        await one_turn()
    await asyncio.gather(*tasks)
    with pytest.raises(Overloaded):
        await intakes[0].accept([arrival(envelope(new_id("req")))])
