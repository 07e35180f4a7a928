"""A process dies at each statement of an operator's act. The same act is asked for again: its effect is there once, and
so is its record, never one without the other."""

from __future__ import annotations

from typing import Any, Final

import pytest

from tallystick.domain.operator_act import AskedAct, OperatorAct
from tallystick.flows.deployments import mark_release
from tallystick.flows.operations import late_money
from tallystick.flows.operations.acts import annotate, once, recorded
from tallystick.flows.rejections import cases
from tallystick.flows.runtime import Runtime
from tallystick.kit.ids import new_id
from tests.support.acts import KIM, asked
from tests.support.crash.late_stories import Scene
from tests.support.crash.points import OF_EVERY_PROCESS, chosen
from tests.support.crash.process import Graveyard, Process, Work
from tests.support.crash.provider import Bank
from tests.support.crash.scenario import Survivor, Time, gone, survivor

#: Statements that each act has now. Fewer mean that the enumeration lost sight of something; more are welcome.
POINTS: Final = {
    "late_money.accept": 20,
    "case.ignore": 12,
    "dead_letter.discard": 12,
    "release.mark": 8,
    "annotate": 4,
}


async def _do(runtime: Runtime, act: AskedAct) -> OperatorAct:
    match act.act:
        case "late_money.accept":
            await late_money.accept(runtime, act.target, act, actor=act.operator, reason=act.reason)
            return await recorded(runtime.stores.acts, act)
        case "dead_letter.discard":
            letters = runtime.stores.dead_letters
            await letters.discard(act.target, act, actor=act.operator, reason=act.reason)
            return await recorded(runtime.stores.acts, act)
        case "case.ignore":
            return await cases.ignore(runtime, act)
        case "release.mark":
            return await mark_release(runtime, act)
    return await annotate(runtime, act)


#: Without depth the act that moves money is killed at every point, the others at every fifth.
STRIDES: Final = {"late_money.accept": 1}

#: How often an act had its effect, by the target.
EFFECTS: Final = {
    "late_money.accept": "SELECT count(*) FROM history WHERE subject_id = $1 AND event = 'late_money_accepted'",
    "case.ignore": "SELECT count(*) FROM history WHERE subject_id = $1 AND event = 'ignore'",
    "dead_letter.discard": "SELECT count(*) FROM inbox e JOIN processing p USING (provider, account, provider_event_id)"
    " WHERE e.event_id = $1 AND p.result = 'discarded'",
    "release.mark": "SELECT count(*) FROM deployment WHERE version = $1",
    "annotate": "SELECT count(*) FROM operator_act WHERE target = $1",
}


async def _target(scene: Scene, name: str) -> str:
    """What the act is done to, as a process that nobody kills prepares it."""
    if name == "release.mark":
        return new_id("req")
    if name == "annotate":
        return new_id("pay")
    if name == "dead_letter.discard":
        payment_id = await scene.create(new_id("req"))
        await scene.told(payment_id)
        event_id = new_id("evt")
        await scene.runtime.pool.execute(
            "INSERT INTO inbox (provider, account, provider_event_id, event_id, type, received_at, digest, state, turn,"
            " tries, replays, closed_at) VALUES ('simulator', 'main', $1, $1, 'x', now(), '', 'dead', 0, 1, 0, now())",
            event_id,
        )
        return event_id
    payment_id = await scene.late(new_id("req"))
    if name == "late_money.accept":
        return payment_id
    found: str = await scene.runtime.pool.fetchval(
        "SELECT case_id FROM rejected_case WHERE from_stream_id = $1 AND state <> 'resolved'", payment_id
    )
    return found


@pytest.mark.parametrize("name", POINTS)
def test_killed_in_an_act(own_url: str, fresh_merchant: str, name: Any, capsys: pytest.CaptureFixture[str]) -> None:
    bank, time = Bank(), Time()
    wrong: dict[str, object] = {}
    number_of_cases = 0

    def asked_of(target: str, key: str) -> AskedAct:
        return asked(name, target, key)

    async def act(runtime: Runtime, target: str, key: str) -> OperatorAct:
        wanted = asked_of(target, key)
        done, _ = await once(runtime.stores.acts, wanted, lambda: _do(runtime, wanted))
        return done

    def work_on(target: str, key: str) -> Work:
        return lambda runtime: act(runtime, target, key)

    def prepared(healthy: Survivor) -> str:
        target = healthy.run(_target(Scene(healthy.runtime, bank, fresh_merchant, own_url), name))
        time.shift_ms = max(time.shift_ms, healthy.runtime.clock.shift_ms)
        return str(target)

    async def left(runtime: Runtime, target: str, key: str) -> tuple[int, int]:
        effects = await runtime.pool.fetchval(EFFECTS[name], target)
        return effects, int(await runtime.stores.acts.find(KIM, key) is not None)

    with Graveyard() as graveyard, survivor(own_url, bank, time) as healthy:
        target, key = prepared(healthy), new_id("req")
        whole = Process(own_url, time.settings(), bank)
        graveyard.run(whole, work_on(target, key))
        assert healthy.run(left(healthy.runtime, target, key)) == (1, 1)
        for number in chosen(whole.points, STRIDES.get(name, 5), elsewhere=OF_EVERY_PROCESS):
            target, key = prepared(healthy), new_id("req")
            victim = Process(own_url, time.settings(), bank, kill_at=number)
            graveyard.run(victim, work_on(target, key))
            healthy.run(gone(healthy.runtime, victim.server_pids))
            effects, records = healthy.run(left(healthy.runtime, target, key))
            done = healthy.run(act(healthy.runtime, target, key))
            after = healthy.run(left(healthy.runtime, target, key))
            number_of_cases += 1
            if (effects, records) not in ((0, 0), (1, 1)) or after != (1, 1) or done.idempotency_key != key:
                wrong[f"{number}: {victim.points[-1]}"] = ((effects, records), after)
    with capsys.disabled():
        print(f"\n  {name}: killed at {number_of_cases} of {len(whole.points)} points", end="")
    assert wrong == {}
    assert len(whole.points) >= POINTS[name]
