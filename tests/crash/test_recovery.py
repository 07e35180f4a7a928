"""Recovery itself, killed at each of its points: the next one finishes, and nothing happens twice."""

from __future__ import annotations

from typing import Final, NamedTuple

import pytest

from tests.conftest import DEEP
from tests.crash.bank import Bank
from tests.crash.process import Graveyard, Process
from tests.crash.scene import INSTRUCTIONS, Case, Survivor, Time, judge, open_case, recover, survivor


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

#: The points that recovery has now, by instruction and story. Fewer mean that the enumeration lost sight of something.
POINTS: Final[dict[tuple[str, str], int]] = {}

EVERY: Final = [
    (name, story, forgetful) for forgetful in (False, True) for name in NOT_EXECUTED for story in STORIES
]
CHOSEN: Final = [
    ("create", "charged", False),
    ("create", "not charged, then charged", False),
    ("create", "not charged, then charged", True),
    ("create", "never charged", False),
    ("capture", "not charged, then charged", False),
    ("refund", "not charged, then charged", True),
]


@pytest.mark.parametrize(("name", "story", "forgetful"), EVERY if DEEP else CHOSEN)
def test_killed_at_every_point_of_recovery(
    own_url: str, fresh_merchant: str, name: str, story: str, forgetful: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    instruction, faults = INSTRUCTIONS[name], STORIES[story].faults
    bank, time = Bank(forgetful=forgetful), Time()
    cases: list[Case] = []

    def unanswered(healthy: Survivor, point: str) -> None:
        case = healthy.run(open_case(healthy.core, fresh_merchant, point, instruction))
        bank.expect(fresh_merchant, instruction.kind, *faults)
        assert healthy.run(case.send(healthy.core)).status == 202
        cases.append(case)

    with Graveyard() as graveyard, survivor(own_url, bank, time) as healthy:
        unanswered(healthy, "nobody dies")
        whole = Process(own_url, time.settings(), bank)
        graveyard.run(whole, lambda core: recover(core, time))
        for number, point in enumerate(whole.points):
            unanswered(healthy, f"{number}: {point}")
            victim = Process(own_url, time.settings(), bank, kill_at=number)
            graveyard.run(victim, lambda core: recover(core, time))
            assert victim.points == whole.points[: number + 1]
            healthy.run(recover(healthy.core, time))
        executed = STORIES[story].executed
        state = instruction.state if executed else NOT_EXECUTED[name]
        wrong = healthy.run(judge(healthy.core, bank, time, cases, state, instruction.effects if executed else 0))
    with capsys.disabled():
        print(f"\n  {name}, {story}: recovery killed at {len(whole.points)} points", end="")
    assert not wrong
    assert len(whole.points) >= POINTS.get((name, story), 0)
