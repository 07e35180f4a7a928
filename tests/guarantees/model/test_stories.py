"""Each instruction with each story of the bank, once and by name; the state machine then mixes them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import pytest

from tests.guarantees.model.machine import AFTER_CREATE, machine
from tests.support.database import DEEP


@pytest.mark.parametrize("forgetful", [False, True], ids=["deduplicates", "forgetful"])
def test_create(own_url: str, forgetful: bool) -> None:
    with machine(own_url, forgetful=forgetful) as driven:
        for story, manual in product([*AFTER_CREATE, "action_required"], (False, True)):
            driven.create(1_000, manual, story)
            driven.views_agree()
        driven.time_passes()
        driven.views_agree()


@pytest.mark.parametrize("forgetful", [False, True], ids=["deduplicates", "forgetful"])
@pytest.mark.parametrize("kind", ["capture", "cancel", "refund"])
def test_follow_up(own_url: str, kind: str, forgetful: bool) -> None:
    """Full and partial; while it is open, nothing else on the payment is."""
    with machine(own_url, forgetful=forgetful) as driven:
        for number, (story, amount) in enumerate(product(AFTER_CREATE, (None, 600))):
            driven.create(1_000, kind != "refund", "ok")
            driven.follow_up(kind, number, amount, story)
            driven.follow_up("refund", number, 600, "ok")
            driven.follow_up("cancel", number, None, "ok")
            driven.views_agree()
        driven.time_passes()
        driven.views_agree()


@pytest.mark.parametrize("hangs_up", [False, True], ids=["waits", "hangs up"])
@pytest.mark.parametrize("found_out", [False, True], ids=["in time", "after recovery"])
def test_a_late_answer(own_url: str, found_out: bool, hangs_up: bool) -> None:
    with machine(own_url, forgetful=False) as driven:
        for number, manual in enumerate((True, True, False)):
            driven.create(1_000, manual, "ok")
            driven.follow_up_with_a_late_answer(number, 600, hangs_up)
            driven.same_again(2 * number + 1)
        driven.create_with_a_late_answer(1_000, True, hangs_up)
        driven.views_agree()
        if found_out:
            driven.time_passes()
            driven.views_agree()
        driven.late_answers_arrive()
        driven.views_agree()


def _stories(begin_with_the_second: bool) -> Sequence[str]:
    """At full depth every story; else every second one, and the others at the next value of a test's parameters."""
    return list(AFTER_CREATE) if DEEP else list(AFTER_CREATE)[int(begin_with_the_second) :: 2]


@pytest.mark.parametrize("completes", [True, False], ids=["completes", "abandons"])
@pytest.mark.parametrize("manual", [True, False], ids=["manual", "automatic"])
def test_the_customer_acts_while_a_cancel_is_under_way(own_url: str, manual: bool, completes: bool) -> None:
    for story in _stories(manual == completes):
        with machine(own_url, forgetful=False) as driven:
            driven.create(1_000, manual, "action_required")
            driven.views_agree()
            driven.follow_up("cancel", 0, None, story)
            driven.views_agree()
            if driven.still_waiting():
                driven.customer_acts(0, completes=completes)
            driven.views_agree()


@pytest.mark.parametrize("kind", ["capture", "cancel"])
def test_captured_by_hand_while_something_is_under_way(own_url: str, kind: str) -> None:
    for story in _stories(kind == "cancel"):
        with machine(own_url, forgetful=False) as driven:
            driven.create(1_000, True, "ok")
            driven.follow_up(kind, 0, 600 if kind == "capture" else None, story)
            if driven.still_held():
                driven.captured_by_hand(0)
            driven.views_agree()
            driven.follow_up(kind, 0, None, "ok")
            driven.views_agree()
            driven.time_passes()
            driven.views_agree()
