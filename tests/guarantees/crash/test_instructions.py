"""Each instruction, killed at each of its points: one outcome, whoever asks and however often."""

from __future__ import annotations

import pytest

from tests.support.crash.points import OF_EVERY_CHANGE, chosen, subjects
from tests.support.crash.process import Graveyard, Process
from tests.support.crash.provider import Bank
from tests.support.crash.scenario import INSTRUCTIONS, Case, Time, judge, open_case, survivor
from tests.support.database import DEEP

#: What the code has now. Fewer points mean that the enumeration lost sight of something; more are welcome.
POINTS = {"create": 34, "hold": 34, "capture": 34, "cancel": 34, "refund": 42, "refused": 13}


#: Without depth, a bank that forgets its keys meets only the instructions that move the most money, and only they, at a
#: bank that keeps its keys, are killed at every point.
MOST_MONEY = ("create", "refund")
STRIDE = 7

EVERY = [(name, False) for name in INSTRUCTIONS] + [(name, True) for name in (INSTRUCTIONS if DEEP else MOST_MONEY)]


@pytest.mark.parametrize(("name", "forgetful"), EVERY)
def test_killed_at_every_point(
    own_url: str, fresh_merchant: str, name: str, forgetful: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    instruction, at_every_point = INSTRUCTIONS[name], name in MOST_MONEY and not forgetful
    bank, time = Bank(forgetful=forgetful), Time()
    cases: list[Case] = []
    with Graveyard() as graveyard:
        with survivor(own_url, bank, time) as before:
            case = before.run(open_case(before.runtime, fresh_merchant, "after the answer", instruction))
            cases.append(case)
            whole = Process(own_url, time.settings(), bank)
            assert graveyard.run(whole, case.send).status == instruction.status
            for number in chosen(whole.points, 1 if at_every_point else STRIDE, elsewhere=OF_EVERY_CHANGE):
                point = f"{number}: {whole.points[number]}"
                case = before.run(open_case(before.runtime, fresh_merchant, point, instruction))
                cases.append(case)
                victim = Process(own_url, time.settings(), bank, kill_at=number)
                assert graveyard.run(victim, case.send) is None
                assert victim.points == whole.points[: number + 1]
        with survivor(own_url, bank, time) as after:
            after.recover(time, graveyard.server_pids())
            wrong = after.run(judge(after.runtime, bank, time, cases, instruction.state, instruction.effects))
    with capsys.disabled():
        print(f"\n  {name}: killed at {len(cases) - 1} of {len(whole.points)} points", end="")
    assert not wrong
    assert len(whole.points) >= POINTS[name]
    assert not at_every_point or subjects(whole.points) >= OF_EVERY_CHANGE
