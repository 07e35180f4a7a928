"""The real stack against a plain model of payments and refunds, under faults, races and restarts."""

from __future__ import annotations

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.guarantees.model.machine import Machine
from tests.support.database import DEEP

#: Without depth less than half a minute on two cores; with it half an hour on three workers: 54 ms a step, and half of
#: what the whole deep run takes. They are others in each run.
EXAMPLES = 900 if DEEP else 16

#: One part alone would keep one worker busy long after the others have ended.
PARTS = 6 if DEEP else 1
STEPS = 70 if DEEP else 30

#: To make a failure smaller takes longer than a test may: that is for those who look into it, with depth.
PHASES = list(Phase) if DEEP else [Phase.generate]


@pytest.mark.parametrize("part", range(PARTS))
def test_the_stack_behaves_as_the_model(own_url: str, part: int) -> None:
    class Here(Machine):
        url = own_url

    depth = settings(max_examples=EXAMPLES // PARTS, stateful_step_count=STEPS, phases=PHASES)
    run_state_machine_as_test(Here, settings=depth)
