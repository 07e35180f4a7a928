"""The comparison of two checkouts: what it counts is what a payment costs, and its script runs on this checkout."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import tallystick
from tallystick.lab.bench.before_after.checkouts import FIRST_COMPARED, Checkout, Side, SideFailed, last_release
from tallystick.lab.bench.before_after.measure import compared, measure_idle, measure_webhooks, turn
from tallystick.lab.bench.bounds import BOUNDS
from tests.support.database import DEEP

HERE = Checkout(commit="here", source=Path(tallystick.__file__).parents[1])


def test_a_ratio_is_the_median_of_the_pairs_own() -> None:
    # Medians alone would say 1.0 here: the machine was twice as slow during the second pair.
    found = compared("rows", "", [10, 20, 30], [11, 22, 15])
    assert (found.before, found.after, found.ratio, found.pairs) == (20, 15, 1.1, 3)
    assert (found.ratio_low, found.ratio_high) == (0.8, 1.1)
    assert (found.before_low, found.before_high) == (15, 25) and (found.after_low, found.after_high) == (13, 18.5)
    assert compared("rows", "", [4], [2]).ratio == 0.5


@pytest.mark.skipif(not DEEP, reason="deep: two more databases are made")
def test_single_commits_of_this_checkout_are_timed() -> None:
    found = measure_idle([HERE], 1, 50, lambda *_: None)
    [[line]] = found.sides
    assert line["p99"] >= line["p50"] > 0 and line["CPU, journal"] > 0
    assert 15 <= line["statements"] <= BOUNDS["statements"].most, "alone, a payment needs what a batch needs"


@pytest.mark.skipif(not DEEP, reason="deep: one more database and an API are started")
def test_webhooks_of_this_checkout_are_acknowledged_and_drained() -> None:
    found = measure_webhooks([HERE], 1, 100, {}, lambda *_: None)
    [[line]] = found.sides
    assert found.failed == 0 and line["acknowledged"] > 0 and line["drained"] > 0


def test_every_side_is_first_in_turn() -> None:
    assert [list(turn(number, "ab")) for number in range(2)] == [[0, 1], [1, 0]]
    assert {next(iter(turn(number, "abc"))) for number in range(3)} == {0, 1, 2}


def test_a_side_that_fails_says_so() -> None:
    with Side(HERE, "no such question") as side, pytest.raises(SideFailed, match="ended with 1"):
        side.hear()


def test_the_default_is_the_last_release_before(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        who = ("-c", "user.name=T", "-c", "user.email=t@example.org")
        subprocess.run(["git", "-C", str(tmp_path), *who, *arguments], check=True, capture_output=True)

    git("init")
    git("commit", "--allow-empty", "-m", "one")
    git("commit", "--allow-empty", "-m", "two")
    assert last_release(tmp_path, "HEAD") == FIRST_COMPARED
    git("tag", "v1", "HEAD^")
    git("tag", "v2")
    assert last_release(tmp_path, "HEAD") == "v1"
