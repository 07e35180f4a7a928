"""Each time that any task of the process goes on after waiting, it may be the last time: finer than statements.

How often tasks wait depends on how the answers of the database arrive, so these points are found anew by each run:
the process is killed at its first step, at its second, and so on, until one lives through its work. Without depth it is
every so many-th step, and the first one of each task that these do not meet.
"""

from __future__ import annotations

import pytest

from tallystick.flows.payments.idempotency import Reply
from tests.support.crash.points import OF_EVERY_PROCESS, chosen, stride, subjects
from tests.support.crash.process import Graveyard, Process
from tests.support.crash.provider import Bank
from tests.support.crash.scenario import INSTRUCTIONS, Case, Time, judge, open_case, survivor
from tests.support.database import DEEP

#: Below what the code has now; how the database's answers are cut into pieces moves the number by a few.
FEWEST = {"create": 30, "capture": 30, "cancel": 30, "refund": 30, "hold": 30, "refused": 10}

STRIDE = 9


@pytest.mark.parametrize("name", INSTRUCTIONS if DEEP else ["create", "capture"])
def test_killed_whenever_a_task_goes_on(
    own_url: str, fresh_merchant: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    instruction = INSTRUCTIONS[name]
    bank, time = Bank(), Time()
    cases: list[Case] = []
    with Graveyard() as graveyard:
        with survivor(own_url, bank, time) as before:

            def lived(number: int) -> tuple[Process, Reply | None]:
                cases.append(before.run(open_case(before.runtime, fresh_merchant, f"step {number}", instruction)))
                process = Process(own_url, time.settings(), bank, kill_at=number, every_await=True)
                return process, graveyard.run(process, cases[-1].send)

            number, (process, answer) = 0, lived(0)
            while answer is None:
                assert len(process.points) == number + 1
                number += stride(STRIDE)
                process, answer = lived(number)
            for unmet in set(chosen(process.points, STRIDE)) - set(range(0, number, stride(STRIDE))):
                lived(unmet)
        with survivor(own_url, bank, time) as after:
            after.recover(time, graveyard.server_pids())
            wrong = after.run(judge(after.runtime, bank, time, cases, instruction.state, instruction.effects))
    with capsys.disabled():
        print(f"\n  {name}: killed at {len(cases) - 1} of some {number} steps", end="")
    assert answer.status == instruction.status
    assert not wrong
    assert number >= FEWEST[name]
    assert name != "capture" or subjects(process.points) >= OF_EVERY_PROCESS
