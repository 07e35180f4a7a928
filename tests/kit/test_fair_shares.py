"""Fair shares: who gets the next slot, exactly."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.kit.fair_shares import FairShares


def _fill(shares: FairShares, *merchants: str) -> Counter[str]:
    """Each takes in turn for as long as any of them gets a slot."""
    held: Counter[str] = Counter()
    while got := [merchant for merchant in merchants if shares.take(merchant)]:
        held.update(got)
    return held


@pytest.mark.parametrize(
    ("slots", "alone", "by_four"),
    [(1, 1, [1]), (2, 1, [1, 1]), (8, 7, [2, 2, 2, 1]), (100, 87, [24] * 4), (500, 437, [121, 121, 120, 120])],
)
def test_what_one_and_four_may_hold(slots: int, alone: int, by_four: list[int]) -> None:
    assert _fill(FairShares(slots), "a") == {"a": alone}
    shares = FairShares(slots)
    assert sorted(_fill(shares, "a", "b", "c", "d").values(), reverse=True) == by_four
    assert max(by_four) <= -(-slots // 4)
    assert shares.take("e") == (slots > 2), "the fifth finds a slot"


def test_what_is_given_back_is_free_again() -> None:
    shares = FairShares(2)
    assert shares.take("a") and not shares.take("a")
    assert shares.full() == ["a"]
    shares.give_back("a")
    assert (shares.free, shares.held("a"), shares.full()) == (2, 0, [])


def test_a_part_is_for_one_kind_of_use() -> None:
    shares = FairShares(10)
    for _ in range(8):
        shares.add("a")
    assert not shares.has_room("b", part=0.8)
    assert shares.has_room("b")
    assert not shares.has_room("a")


@given(st.integers(1, 60), st.lists(st.tuples(st.sampled_from("abcdef"), st.booleans()), max_size=200))
def test_nobody_gets_a_slot_that_one_who_holds_no_more_was_refused(slots: int, steps: list[tuple[str, bool]]) -> None:
    """So nobody above a quarter gets one while another below a quarter waits; and there are never too many."""
    shares, held = FairShares(slots), Counter[str]()
    for merchant, takes in steps:
        if not takes and held[merchant]:
            shares.give_back(merchant)
            held[merchant] -= 1
        refused = {other for other in "abcdef" if not shares.has_room(other)}
        if takes and shares.take(merchant):
            assert merchant not in refused
            assert all(held[other] > held[merchant] for other in refused)
            held[merchant] += 1
            others = sum(held.values()) - held[merchant]
            if held[merchant] > 1:
                assert sum(held.values()) < slots, "one stays for who holds none"
            if others == 0:
                assert held[merchant] <= max(1, -(-slots * 7 // 8))
        assert sum(held.values()) == slots - shares.free <= slots
        assert set(shares.full()) == {other for other in held if held[other] and not shares.has_room(other)}
