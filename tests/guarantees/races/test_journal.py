"""The door itself: poison, lost connections, bounded queues."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, NoReturn, cast

import asyncpg
import pytest
from msgspec.structs import replace

from tallystick.decisions import instructions as decide
from tallystick.decisions.change_builder import Cause
from tallystick.decisions.terms import Terms
from tallystick.domain.change import Change
from tallystick.domain.errors import ChangeRefused, OutcomeUnknown, Overloaded
from tallystick.domain.subjects import Payment
from tallystick.kit.clock import Clock
from tallystick.kit.ids import new_id
from tallystick.record.journal import Existing, Fresh, Journal, JournalLimits, Stale
from tallystick.record.postgres.connections import connect, connect_journal
from tallystick.record.postgres.pipeline import Answers, Call
from tests.support.database import Database
from tests.support.polling import eventually_async
from tests.support.runtime import BookedProvider, Client, read, runtime_of

TERMS = Terms(account="main", send_window_ms=1_000, request_timeout_ms=1_000, settling_ms=1_000)
LIMITS = JournalLimits(
    connections=2,
    second_batch_changes=100,
    spacing_ms=10,
    batch_changes=400,
    batch_rows=4_000,
    batch_bytes=4_194_304,
    queue_limit=1_000,
    commit_timeout_ms=60_000,  # bounds failure alone: a busy machine takes its time
)


def intent(merchant_id: str, key: str, **fields: Any) -> Change:
    """The first commit of a new payment."""
    client = Client(None, merchant_id)  # type: ignore[arg-type]  # only its instructions are used
    instruction = client.instruction(key, "POST /v1/payments", "/v1/payments", {"amount": 1_000})
    values: dict[str, Any] = {
        "amount": 1_000,
        "currency": "EUR",
        "payment_method": "sim_ok",
        "automatic": True,
        "provider": "simulator",
        "description": None,
        "metadata": {},
        "terms": TERMS,
    }
    return decide.create_payment(instruction, new_id("pay"), **(values | fields))


class Wire:
    """A connection that breaks where it is told to: ``(before or after, the n-th statement that starts with)``. Of
    statements that are sent together, the server has then run those before it."""

    def __init__(self, inner: Any, plan: dict[str, Any]) -> None:
        self._inner = inner
        self._plan = plan

    async def exchange(self, calls: Sequence[Call]) -> Answers:
        hits = [number for number, call in enumerate(calls) if self._is_hit(call.query)]
        if not hits:
            return cast(Answers, await self._inner.exchange(calls))
        run = hits[0] + (self._plan["when"] == "after")
        if run:
            await self._inner.exchange(calls[:run])
        return self._break()

    async def fetch(self, query: str, *args: Any) -> Any:
        return await self._run("fetch", query, *args)

    async def execute(self, query: str, *args: Any) -> Any:
        return await self._run("execute", query, *args)

    async def _run(self, method: str, query: str, *args: Any) -> Any:
        hit = self._is_hit(query)
        if hit and self._plan["when"] == "before":
            self._break()
        answer = await getattr(self._inner, method)(query, *args)
        if hit and self._plan["when"] == "after":
            self._break()
        return answer

    def _is_hit(self, query: str) -> bool:
        return self._plan.get("left", 0) > 0 and query.startswith(self._plan["statement"])

    def _break(self) -> NoReturn:
        self._plan["left"] -= 1
        if "error" in self._plan:
            raise self._plan["error"]
        self._inner.terminate()
        raise ConnectionResetError("the wire was cut")

    def is_closed(self) -> bool:
        return bool(self._inner.is_closed())

    def terminate(self) -> None:
        self._inner.terminate()

    async def close(self) -> None:
        await self._inner.close()


async def journal_on(url: str, plan: dict[str, Any] | None = None, limits: JournalLimits = LIMITS) -> Journal:
    """A running journal; with ``plan`` its wires are cut."""

    async def wire() -> Any:
        inner = await connect_journal(url, command_timeout_ms=LIMITS.commit_timeout_ms)
        return inner if plan is None else Wire(inner, plan)

    journal = Journal(wire, limits, Clock())
    await journal.start()
    return journal


async def count(url: str, table: str, merchant_id: str) -> int:
    connection = await connect(url, command_timeout_ms=5_000)
    try:
        return int(await connection.fetchval(f"SELECT count(*) FROM {table} WHERE merchant_id = $1", merchant_id))
    finally:
        await connection.close()


def with_payment(change: Change, **fields: Any) -> Change:
    """The change with other amounts in its payment than it decided."""
    subjects = (replace(each, **fields) if isinstance(each, Payment) else each for each in change.subjects)
    return replace(change, subjects=tuple(subjects))


async def test_one_poisonous_change_among_two_hundred(database: Database, fresh_merchant: str) -> None:
    journal = await journal_on(database.app_url)
    changes = [intent(fresh_merchant, f"key-{n}") for n in range(200)]
    poison = changes[137]
    changes[137] = with_payment(poison, amount=2**70)
    outcomes = await asyncio.gather(*(journal.commit(change) for change in changes), return_exceptions=True)
    await journal.stop()
    assert isinstance(outcomes[137], ChangeRefused)
    assert all(isinstance(outcome, Fresh) for n, outcome in enumerate(outcomes) if n != 137)
    assert await count(database.app_url, "payment", fresh_merchant) == 199
    assert await count(database.app_url, "instruction", fresh_merchant) == 199


async def test_poison_that_only_the_server_notices(database: Database, fresh_merchant: str) -> None:
    journal = await journal_on(database.app_url)
    changes = [intent(fresh_merchant, f"key-{n}") for n in range(50)]
    poison = changes[7]
    changes[7] = with_payment(poison, amount_captured=5)
    outcomes = await asyncio.gather(*(journal.commit(change) for change in changes), return_exceptions=True)
    await journal.stop()
    assert [n for n, outcome in enumerate(outcomes) if not isinstance(outcome, Fresh)] == [7]


async def test_a_lost_race_takes_its_claim_with_it(database: Database, fresh_merchant: str) -> None:
    journal = await journal_on(database.app_url)
    first = intent(fresh_merchant, "key-1")
    rival = intent(fresh_merchant, "key-2")
    clash = replace(
        rival, transitions=(replace(rival.transitions[0], subject_id=first.stream_id), rival.transitions[1])
    )
    outcomes = [await journal.commit(first), await journal.commit(clash)]
    assert isinstance(outcomes[1], Stale)
    assert await count(database.app_url, "instruction", fresh_merchant) == 1, "the loser's key stays free"
    assert isinstance(await journal.commit(rival), Fresh)
    await journal.stop()


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("statement", ["BEGIN", "INSERT INTO transition", "INSERT INTO payment", "COMMIT"])
async def test_a_connection_lost_at_any_statement(
    database: Database, fresh_merchant: str, statement: str, when: str
) -> None:
    """Also during COMMIT: read back, and compare the instruction's own id. The caller sees one clean outcome."""
    journal = await journal_on(database.app_url, {"statement": statement, "when": when, "left": 1})
    changes = [intent(fresh_merchant, f"key-{n}") for n in range(20)]
    outcomes = await asyncio.gather(*(journal.commit(change) for change in changes))
    again = await journal.commit(intent(fresh_merchant, "key-3"))
    await journal.stop()
    assert all(isinstance(outcome, Fresh) for outcome in outcomes)
    assert isinstance(again, Existing)
    for table in ("instruction", "payment", "attempt"):
        assert await count(database.app_url, table, fresh_merchant) == 20


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_commit_whose_completion_is_unknown_is_read_back(
    database: Database, fresh_merchant: str, when: str
) -> None:
    """SQLSTATE 40003, from a proxy or a database that lost its primary: no refusal, whatever became of the commit."""
    plan = {"statement": "COMMIT", "when": when, "left": 1, "error": asyncpg.StatementCompletionUnknownError()}
    journal = await journal_on(database.app_url, plan)
    outcome = await journal.commit(intent(fresh_merchant, "key"))
    await journal.stop()
    assert isinstance(outcome, Fresh)
    for table in ("instruction", "payment", "attempt"):
        assert await count(database.app_url, table, fresh_merchant) == 1


async def test_outcomes_without_a_key_survive_a_lost_commit(database: Database, fresh_merchant: str) -> None:
    provider = BookedProvider()
    async with runtime_of(database.app_url, provider) as runtime:
        payment = read(await Client(runtime, fresh_merchant).create("key", manual=True))
        loaded = await runtime.reads.load(fresh_merchant, payment["id"])
    assert loaded is not None
    step = Cause(change_id=new_id("chg"), at=loaded.stored.payment.updated_at, trigger="test", actor="test")
    change = decide.expire_payment(loaded.stored.payment, new_id("att"), step, TERMS)
    journal = await journal_on(database.app_url, {"statement": "COMMIT", "when": "after", "left": 1})
    assert isinstance(await journal.commit(change), Fresh)
    other = decide.expire_payment(loaded.stored.payment, new_id("att"), replace(step, change_id=new_id("chg")), TERMS)
    assert isinstance(await journal.commit(other), Stale), "the version was taken by someone else's change"
    await journal.stop()


async def test_an_unreachable_record_is_an_unknown_outcome(database: Database, fresh_merchant: str) -> None:
    plan = {"statement": "COMMIT", "when": "before", "left": 10_000}
    journal = await journal_on(database.app_url, plan, replace(LIMITS, commit_timeout_ms=500))
    with pytest.raises(OutcomeUnknown):
        await journal.commit(intent(fresh_merchant, "key"))
    await journal.stop()
    other = await journal_on(database.app_url)
    assert isinstance(await other.commit(intent(fresh_merchant, "key")), Fresh)
    await other.stop()


async def test_a_full_queue_refuses_intents_and_never_outcomes(database: Database, fresh_merchant: str) -> None:
    journal = await journal_on(database.app_url, limits=replace(LIMITS, queue_limit=10, connections=1))
    intents = [asyncio.create_task(journal.commit(intent(fresh_merchant, f"key-{n}"))) for n in range(50)]
    outcome = replace(intent(fresh_merchant, "outcome"), must_not_be_shed=True)
    outcomes = [asyncio.create_task(journal.commit(outcome))]
    done = await asyncio.gather(*intents, return_exceptions=True)
    assert sum(isinstance(result, Overloaded) for result in done) == 40
    assert isinstance(await outcomes[0], Fresh)
    await journal.stop()
    assert await count(database.app_url, "instruction", fresh_merchant) == 11


WAITING_FOR_A_LOCK = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


async def test_a_deadlock_is_run_again(database: Database, fresh_merchant: str) -> None:
    """Another session holds the balance row that the batch needs, and waits for one that the batch holds."""
    provider = BookedProvider()
    async with runtime_of(database.app_url, provider) as runtime:
        client = Client(runtime, fresh_merchant)
        await client.create("first")
        owner = await asyncpg.connect(database.owner_url)
        try:
            transaction = owner.transaction()
            await transaction.start()
            await owner.execute("UPDATE balance SET debits = debits WHERE merchant_id = $1", fresh_merchant)
            waiting = asyncio.create_task(client.create("second"))
            await eventually_async(lambda: owner.fetchval(WAITING_FOR_A_LOCK))
            held = await runtime.reads.instruction(fresh_merchant, "second")
            assert held is not None, "the intent is in the record; its outcome waits for the balance"
            try:
                async with asyncio.timeout(60):
                    await owner.execute(
                        "UPDATE payment SET version = version WHERE merchant_id = $1 AND payment_id = $2",
                        fresh_merchant,
                        held.payment_id,
                    )
                await transaction.commit()
            except asyncpg.DeadlockDetectedError:
                await transaction.rollback()
            reply = await waiting
        finally:
            await owner.close()
    assert reply.status == 201
    assert read(reply)["state"] == "captured"
