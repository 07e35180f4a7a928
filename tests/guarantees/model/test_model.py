"""The real stack against a plain model of payments and refunds, under faults, races and restarts."""

from __future__ import annotations

from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.guarantees.model.machine import Machine
from tests.support.database import DEEP

#: Without depth less than half a minute on two cores; with it, half an hour.
EXAMPLES = 1_500 if DEEP else 16
STEPS = 70 if DEEP else 30

#: To make a failure smaller takes longer than a test may: that is for those who look into it, with depth.
PHASES = list(Phase) if DEEP else [Phase.generate]


def test_the_stack_behaves_as_the_model(own_url: str) -> None:
    class Here(Machine):
        url = own_url

    depth = settings(max_examples=EXAMPLES, stateful_step_count=STEPS, phases=PHASES)
    run_state_machine_as_test(Here, settings=depth)
