"""What a payment costs stays within its bounds, on any machine: statements, round trips, rows, bytes and memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import asdict

import tallystick
from tallystick.lab.bench.before_after.checkouts import Checkout, Side
from tallystick.lab.bench.before_after.counts import count_payments
from tallystick.lab.bench.bounds import BATCH_PAYMENTS, BOUNDS, COUNTED_PAYMENTS, about, exactly

HERE = Checkout(commit="here", source=Path(tallystick.__file__).parents[1])

#: Counted a payment, and bounded a pair of batches.
BY_BATCH = ("statements", "round_trips")


@pytest.fixture(scope="module")
def stages() -> dict[str, Any]:
    """What ``bench before-after`` asks a checkout of the stages of a payment."""
    with Side(HERE, "stages", str(BATCH_PAYMENTS)) as side:
        answer: dict[str, Any] = side.ask()
    return answer


def test_every_stage_of_this_checkout_is_measured(stages: dict[str, Any]) -> None:
    assert len(stages["us"]) == 9 and all(cost > 0 for cost in stages["us"].values())
    assert stages["held_blocks"] > 50


@pytest.fixture(scope="module")
def measured(stages: dict[str, Any]) -> dict[str, float]:
    counts: dict[str, float] = asdict(count_payments(HERE, COUNTED_PAYMENTS, batch=BATCH_PAYMENTS))
    counts |= {name: counts[name] * BATCH_PAYMENTS for name in BY_BATCH}
    return counts | {"held_blocks": stages["held_blocks"]}


@pytest.mark.parametrize("name", BOUNDS)
def test_a_payment_costs_what_its_bound_says(measured: dict[str, float], name: str) -> None:
    bound, found = BOUNDS[name], round(measured[name], 6)
    assert found <= bound.most, f"a payment got dearer: {name} {found:,} is above {bound.most:,}. {bound.reason}"
    assert bound.holds(found), f"a payment got cheaper: lower the bound of {name} in bounds.py to {found:,}"


def test_a_bound_is_missed_on_either_side() -> None:
    assert exactly(16, "").holds(16) and not exactly(16, "").holds(17) and not exactly(16, "").holds(15)
    bytes_ = about(100, "", room=0.03)
    assert bytes_.holds(97) and bytes_.holds(100) and not bytes_.holds(96) and not bytes_.holds(101)
