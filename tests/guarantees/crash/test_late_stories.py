"""What may still become of a payment after its answer, killed at each statement and at each step of a task: whoever
comes next finishes, and each effect is there once."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any, Final, cast

import asyncpg
import pytest

from tallystick.flows.runtime import Runtime
from tallystick.kit.ids import new_id
from tallystick.oversight.invariants import verify
from tests.support.crash.late_stories import STORIES, Case, Scene
from tests.support.crash.points import (
    OF_ANSWERS,
    OF_EVERY_CHANGE,
    OF_EVERY_PROCESS,
    OF_RECOVERY,
    OF_THE_INBOX,
    chosen,
)
from tests.support.crash.process import Graveyard, Process, Work
from tests.support.crash.provider import Bank
from tests.support.crash.scenario import Survivor, Time, gone, survivor
from tests.support.database import DEEP

#: Statements that the code has now. Fewer mean that the enumeration lost sight of something; more are welcome.
POINTS: Final = {
    "late money is accepted": 25,
    "late money is returned": 44,
    "the return is refused": 40,
    "the answer to the return is lost": 71,
    "what was returned came back": 33,
    "a charge is closed": 73,
    "a charge that was paid is not closed": 61,
    "a key was used before a restore": 60,
    "a hold is captured in parts": 70,
    "a hold is ended, and then its capture is told": 31,
    "a declined charge is captured": 41,
    "a declined hold is held and released": 58,
    "late money is refunded in the dashboard": 70,
    "a cancel that was refused was executed": 30,
    "a refund that failed was executed": 39,
}

#: Without depth: of each story every so many-th statement, and of every third one every so many-th step of a task.
STRIDES: Final = {
    "late money is accepted": 1,
    "late money is returned": 5,
    "a charge is closed": 15,
    "a key was used before a restore": 15,
}
STRIDE: Final = 25
STRIDE_OF_STEPS: Final = 45

#: Statements and tasks that the other suites here kill at.
ELSEWHERE: Final = OF_EVERY_CHANGE | OF_RECOVERY | OF_THE_INBOX | OF_EVERY_PROCESS | OF_ANSWERS


#: What is in doubt waits for a person, and nobody comes while the clock is shifted from death to death.
NOBODY_LOOKS_MS: Final = 365 * 86_400_000


async def left_of(runtime: Runtime, bank: Bank, merchant_id: str, payment_id: str) -> dict[str, Any]:
    """All that is left of a payment's life, without names and times, as a story says it."""
    steps = await runtime.pool.fetch(
        "SELECT event FROM history WHERE merchant_id = $1 AND stream_id = $2 AND subject = 'payment' ORDER BY version",
        merchant_id,
        payment_id,
    )
    legs = await runtime.pool.fetch(
        "SELECT debit, credit, amount FROM transfer WHERE merchant_id = $1 AND stream_id = $2", merchant_id, payment_id
    )
    messages = await runtime.pool.fetch(
        "SELECT type FROM outbox WHERE merchant_id = $1 AND stream_id = $2 ORDER BY version, type",
        merchant_id,
        payment_id,
    )
    loaded = await runtime.reads.load(merchant_id, payment_id)
    assert loaded is not None
    balances: Counter[str] = Counter()
    for leg in legs:
        balances[leg["debit"]] += leg["amount"]
        balances[leg["credit"]] -= leg["amount"]
    effects = bank.effects(payment_id)
    assert max(effects.values(), default=0) <= 1, f"executed twice: {effects}"
    return {
        "steps": " ".join(row["event"] for row in steps),
        "attempts": " ".join(each.state for each in loaded.stored.attempts),
        "messages": " ".join(row["type"] for row in messages),
        "balances": {account: balance for account, balance in balances.items() if balance},
        "executed": " ".join(sorted(kind for kind, _ in effects)),
        "marked": [(each.key_taken, each.late_effect) for each in loaded.stored.attempts],
    }


async def payment_of(runtime: Runtime, case: Case) -> str:
    """The payment's id, where the work made the payment."""
    found = await runtime.reads.instruction(case.merchant_id, case.key)
    assert found is not None
    return case.payment_id or found.payment_id


async def come_to(runtime: Runtime, merchant_id: str, event: str) -> list[int]:
    """How often each attempt of a merchant went over one edge."""
    rows = await runtime.pool.fetch(
        "SELECT count(*) FROM history WHERE merchant_id = $1 AND subject = 'attempt' AND event = $2"
        " GROUP BY subject_id",
        merchant_id,
        event,
    )
    return [row[0] for row in rows]


@pytest.mark.parametrize(
    ("name", "every_await"),
    [pytest.param(name, False, id=f"{name}-statements") for name in STORIES]
    + [pytest.param(name, True, id=f"{name}-steps") for name in list(STORIES)[:: 1 if DEEP else 3]],
)
def test_killed_on_the_way(
    own_url: str, fresh_merchant: str, name: str, every_await: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    story = STORIES[name]
    bank, time = Bank(), Time()
    stride = STRIDE_OF_STEPS if every_await else STRIDES.get(name, STRIDE)
    wrong: dict[str, dict[str, Any]] = {}
    cases = 0

    def prepared(healthy: Survivor) -> Case:
        key = new_id("req")
        scene = Scene(healthy.runtime, bank, fresh_merchant, own_url)
        payment_id = healthy.run(story.prepare(scene, key))
        time.shift_ms = max(time.shift_ms, healthy.runtime.clock.shift_ms)
        return Case(key, fresh_merchant, payment_id, time)

    def work_on(case: Case) -> Work:
        return lambda runtime: story.work(runtime, case)

    def finished(healthy: Survivor, case: Case, server_pids: list[int]) -> dict[str, Any]:
        """The next process does the same, after the dead are gone and their leases have run out."""
        healthy.run(gone(healthy.runtime, server_pids))
        time.pass_on(healthy.runtime)
        healthy.run(story.work(healthy.runtime, case))
        return healthy.run(left(healthy.runtime, case))

    async def left(runtime: Runtime, case: Case) -> dict[str, Any]:
        return await left_of(runtime, bank, fresh_merchant, await payment_of(runtime, case))

    with Graveyard() as graveyard, survivor(own_url, bank, time) as healthy:
        case = prepared(healthy)
        whole = Process(own_url, time.settings(), bank, every_await=every_await)
        graveyard.run(whole, work_on(case))
        expected = healthy.run(left(healthy.runtime, case))
        assert expected == {
            "steps": story.steps,
            "attempts": story.attempts,
            "messages": story.messages,
            "balances": story.balances,
            "executed": story.executed,
            "marked": expected["marked"],
        }
        for number in chosen(whole.points, stride, elsewhere=ELSEWHERE):
            case = prepared(healthy)
            victim = Process(own_url, time.settings(), bank, kill_at=number, every_await=every_await)
            graveyard.run(victim, work_on(case))
            if not every_await:  # how often tasks wait depends on how the database's answers arrive
                assert victim.points == whole.points[: number + 1]
            found = finished(healthy, case, victim.server_pids)
            cases += 1
            if found != expected:
                wrong[f"{number}: {victim.points[-1]}"] = found
        for event in ("key_taken", "parked"):
            assert set(healthy.run(come_to(healthy.runtime, fresh_merchant, event))) <= {1}
        healthy.run(_verified(healthy.runtime, time, fresh_merchant))
    with capsys.disabled():
        print(f"\n  {name}: killed at {cases} of {len(whole.points)} points", end="")
    assert wrong == {}
    assert len(whole.points) >= POINTS[name]


async def _verified(runtime: Runtime, time: Time, merchant_id: str) -> None:
    async with runtime.pool.acquire() as connection:
        assert await connection.fetchval("SELECT count(*) FROM attempt WHERE next_check_at IS NOT NULL") == 0
        settings = replace(time.settings(), in_doubt_alarm_age_ms=NOBODY_LOOKS_MS)
        report = await verify(cast(asyncpg.Connection, connection), settings=settings, merchant_id=merchant_id)
    assert not report.violations, report.violations
