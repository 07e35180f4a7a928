"""Every interleaving of the small world: two APIs, one worker, two providers, one restore, one clock jump, one lost
answer, one late webhook. The decisions are the product's own; only the world is made here.

Small depth: everything that can go wrong at once to depth 9 (73,000 states), and to their ends clocks (37,000 twice),
keys (25,000) and a provider without look-up (2,200). With TALLYSTICK_TEST_DEPTH=deep: everything at once to depth 15,
captures against cancels to depth 20, and to their ends refunds, holds, and restores with a lost answer. How many states
each has at least is in ``scopes.py``.

Not in this world: pending outcomes and payers who act, parts of captures, disputes; a clock that was off from the start
and is set right; a restore beside a provider that executes one key twice.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.guarantees.small_model import scopes
from tests.guarantees.small_model.checker import Explored, explore
from tests.guarantees.small_model.rules import KEYS_ALONE, NEW, OLD_CLOCKS, OLD_KEYS, Rules, Scope
from tests.guarantees.small_model.scopes import Exploration
from tests.guarantees.small_model.starts import start, with_payment
from tests.guarantees.small_model.world import World
from tests.support.database import DEEP

pytestmark = [pytest.mark.exhaustive, pytest.mark.timeout(3_600)]

EXPLORATIONS = (*scopes.SMALL, *(scopes.DEEP if DEEP else ()))

#: Everything that can happen when everything may go wrong: what an exploration must have tried.
KINDS = {
    "client",
    "client asks again",
    "sender writes",
    "sender is late",
    "sender times out",
    "answer is settled",
    "provider executes",
    "provider knows the key",
    "answer is lost",
    "request is lost",
    "worker asks",
    "look-up is lost",
    "worker loads",
    "look-up is settled",
    "look-up says nothing",
    "worker resubmits",
    "worker parks",
    "deadline passes",
    "settling time passes",
    "provider tells",
    "provider executes late",
    "webhook",
    "webhook is dead",
    "clock jumps",
    "back-up",
    "restore",
}

_explored: dict[tuple[Exploration, Rules], Explored] = {}


@pytest.fixture(autouse=True)
def without_collection() -> Iterator[None]:
    """States hold no cycles, and there are hundreds of thousands."""
    gc.disable()
    yield
    gc.enable()


def explored(exploration: Exploration, rules: Rules = NEW) -> Explored:
    key = (exploration, rules)
    if key not in _explored:
        world, existing = World(exploration.scope, rules), exploration.existing
        first = start(world) if existing is None else with_payment(world, existing)
        _explored[key] = explore(world, first, depth=exploration.depth)
        print(f"{exploration.scope.name}: {_explored[key]}")
    return _explored[key]


@pytest.mark.parametrize("exploration", EXPLORATIONS, ids=lambda each: each.scope.name.replace(" ", "_"))
def test_no_interleaving_has_a_fault(exploration: Exploration) -> None:
    found = explored(exploration)
    assert found.fault is None, str(found)
    assert found.states >= exploration.at_least, str(found)
    assert found.exhausted == (exploration.depth == scopes.ALL), str(found)


def test_everything_that_can_happen_was_tried() -> None:
    tried = Counter[str]()
    for exploration in scopes.SMALL:
        tried += explored(exploration).kinds
    assert not KINDS - tried.keys()
    alone = explored(Exploration(scopes.KEYS_REACHED, scopes.ALL, 0), KEYS_ALONE)
    assert "worker gives up" in tried and "worker parks" in alone.kinds


@pytest.mark.parametrize("scope", [scopes.HOST_AHEAD, scopes.HOST_AHEAD_AND_NO_KEYS], ids=lambda each: each.name)
def test_the_old_rule_about_clocks_is_found(scope: Scope) -> None:
    """A host that is ahead never sees its own charge, and the empty list was proof."""
    found = explored(Exploration(scope, scopes.ALL, 0), OLD_CLOCKS)
    assert found.fault in (
        "final answer failed to create, and the provider carried it out",
        "2 effects of create",
    ), str(found)
    story = "\n".join(found.story)
    assert "the clock of api jumps by 300 s" in story, story
    executed = story.index(": captured")
    assert executed < story.index(f"the worker asks {scope.providers[0].name} about att_create1: NotFound"), story


def test_the_old_rule_about_keys_is_found() -> None:
    """After a restore "this key was used before" was an unknown outcome, and nothing found under the new attempt's name
    was proof. The new rule alone is enough where the provider is reached."""
    found = explored(Exploration(scopes.KEYS_REACHED, scopes.ALL, 0), OLD_KEYS)
    assert found.fault == "final answer failed to create, and the provider carried it out", str(found)
    story = "\n".join(found.story)
    restored = story.index("the back-up is restored")
    assert story.index(": captured") < restored < story.index("whose key it knows: Unknown"), story
    assert story.index("the worker asks acquirer about att_create2: NotFound") > restored, story
    alone = explored(Exploration(scopes.KEYS_REACHED, scopes.ALL, 0), KEYS_ALONE)
    assert alone.fault is None and alone.exhausted, str(alone)


def test_a_restored_record_that_nobody_told_of_it_is_found() -> None:
    """Where the provider is not reached after the restore, nothing asks it about the key: the operator has to say that
    the record was restored."""
    found = explored(Exploration(scopes.KEYS, scopes.ALL, 0), KEYS_ALONE)
    assert found.fault == "final answer failed to create, and the provider carried it out", str(found)
    assert found.story[-1] == "the worker gives up att_create2, which is not_sent", str(found)
