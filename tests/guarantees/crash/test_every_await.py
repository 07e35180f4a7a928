"""Each time that any task of the process goes on after waiting, it may be the last time: finer than statements.

How often tasks wait depends on how the answers of the database arrive, so these points are found anew by each run:
the process is killed at its first step, at its second, and so on, until one lives through its work.
"""

from __future__ import annotations

import pytest

from tests.support.crash.process import Graveyard, Process
from tests.support.crash.provider import Bank
from tests.support.crash.scenario import INSTRUCTIONS, Case, Time, judge, open_case, survivor
from tests.support.database import DEEP

#: Below what the code has now; how the database's answers are cut into pieces moves the number by a few.
FEWEST = {"create": 30, "capture": 30, "cancel": 30, "refund": 30, "hold": 30, "refused": 10}


@pytest.mark.parametrize("name", INSTRUCTIONS if DEEP else ["create", "capture"])
def test_killed_whenever_a_task_goes_on(
    own_url: str, fresh_merchant: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    instruction = INSTRUCTIONS[name]
    bank, time = Bank(), Time()
    cases: list[Case] = []
    with Graveyard() as graveyard:
        with survivor(own_url, bank, time) as before:
            answer = None
            while answer is None:
                number = len(cases)
                cases.append(before.run(open_case(before.runtime, fresh_merchant, f"step {number}", instruction)))
                victim = Process(own_url, time.settings(), bank, kill_at=number, every_await=True)
                answer = graveyard.run(victim, cases[-1].send)
                assert answer is not None or len(victim.points) == number + 1
        with survivor(own_url, bank, time) as after:
            after.recover(time, graveyard.server_pids())
            wrong = after.run(judge(after.runtime, bank, time, cases, instruction.state, instruction.effects))
    with capsys.disabled():
        print(f"\n  {name}: killed at {len(cases)} steps", end="")
    assert answer.status == instruction.status
    assert not wrong
    assert len(cases) >= FEWEST[name]
