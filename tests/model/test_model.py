"""The real stack against a plain model of payments and refunds, under faults, races and restarts."""

from __future__ import annotations
import os

from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from tests.conftest import DEEP
from tests.model.machine import Machine

#: Without depth about half a minute; each example opens a core of its own.
EXAMPLES = int(os.environ.get("EX", "1500")) if DEEP else 40
STEPS = 60 if DEEP else 25



from hypothesis import Phase
PHASES = [Phase.generate] if os.environ.get('NOSHRINK') else list(Phase)

def test_the_stack_behaves_as_the_model(own_url: str) -> None:
    run_state_machine_as_test(
        lambda: Machine(own_url), settings=settings(max_examples=EXAMPLES, stateful_step_count=STEPS, phases=PHASES)
    )
