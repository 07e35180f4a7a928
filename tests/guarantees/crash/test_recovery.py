"""Recovery itself, killed at each of its points: the next one finishes, and nothing happens twice."""

from __future__ import annotations

from typing import Final, NamedTuple

import pytest

from tests.support.crash.points import OF_ANSWERS, OF_EVERY_CHANGE, OF_RECOVERY, chosen, subjects
from tests.support.crash.process import Graveyard, Process
from tests.support.crash.provider import Bank
from tests.support.crash.scenario import INSTRUCTIONS, Case, Survivor, Time, judge, open_case, recover, survivor
from tests.support.database import DEEP


class Story(NamedTuple):
    """What the bank does with the sends of one instruction, the first of them the client's own."""

    faults: tuple[str, ...]
    executed: bool = True


STORIES: Final = {
    "charged": Story(("timeout_charged",)),
    "not charged": Story(("timeout_not_charged",)),
    "not charged, then charged": Story(("timeout_not_charged", "timeout_charged")),
    "refused, then charged": Story(("refused", "timeout_charged")),
    "never charged": Story(("timeout_not_charged",) * 4, executed=False),
}

#: Where an instruction that the bank never executed leaves its subject.
NOT_EXECUTED: Final = {
    "create": "failed",
    "hold": "failed",
    "capture": "authorized",
    "cancel": "authorized",
    "refund": "failed",
}

#: What the code has now. Fewer points mean that the enumeration lost sight of something; more are welcome.
POINTS: Final = {
    ("create", "charged"): 35,
    ("create", "not charged, then charged"): 84,
    ("create", "never charged"): 144,
    ("capture", "not charged, then charged"): 84,
    ("refund", "not charged, then charged"): 86,
}

EVERY: Final = [
    (name, story, forgetful, 1) for forgetful in (False, True) for name in NOT_EXECUTED for story in STORIES
]

#: Without depth: one story at every point, the others at every so many-th.
CHOSEN: Final = [
    ("create", "charged", False, 1),
    ("create", "not charged, then charged", False, 15),
    ("create", "never charged", False, 25),
    ("capture", "not charged, then charged", False, 15),
    ("refund", "not charged, then charged", True, 15),
]


@pytest.mark.parametrize(("name", "story", "forgetful", "every"), EVERY if DEEP else CHOSEN)
def test_killed_at_every_point_of_recovery(
    own_url: str,
    fresh_merchant: str,
    name: str,
    story: str,
    forgetful: bool,
    every: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    instruction, faults = INSTRUCTIONS[name], STORIES[story].faults
    bank, time = Bank(forgetful=forgetful), Time()
    cases: list[Case] = []

    def unanswered(healthy: Survivor, point: str) -> None:
        case = healthy.run(open_case(healthy.runtime, fresh_merchant, point, instruction))
        bank.expect(fresh_merchant, case.key, instruction.kind, *faults)
        assert healthy.run(case.send(healthy.runtime)).status == 202
        cases.append(case)

    with Graveyard() as graveyard, survivor(own_url, bank, time) as healthy:
        unanswered(healthy, "nobody dies")
        whole = Process(own_url, time.settings(), bank)
        graveyard.run(whole, lambda runtime: recover(runtime, time))
        for number in chosen(whole.points, every, elsewhere=OF_EVERY_CHANGE | OF_RECOVERY | OF_ANSWERS):
            point = whole.points[number]
            unanswered(healthy, f"{number}: {point}")
            victim = Process(own_url, time.settings(), bank, kill_at=number)
            graveyard.run(victim, lambda runtime: recover(runtime, time))
            assert victim.points == whole.points[: number + 1]
            healthy.recover(time, victim.server_pids)
        executed = STORIES[story].executed
        state = instruction.state if executed else NOT_EXECUTED[name]
        wrong = healthy.run(judge(healthy.runtime, bank, time, cases, state, instruction.effects if executed else 0))
    with capsys.disabled():
        print(f"\n  {name}, {story}: recovery killed at {len(cases) - 1} of {len(whole.points)} points", end="")
    assert not wrong
    assert len(whole.points) >= POINTS.get((name, story), 0)
    assert every > 1 or subjects(whole.points) >= OF_RECOVERY
