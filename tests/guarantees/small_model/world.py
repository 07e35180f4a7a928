"""Every step that the small world can take from a state.

Steps that commute with all others are taken together: a decision and its commit (the journal's guard makes a lost race
a later decision), loading a payment and asking about it, an event's look-up and its decision.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.guarantees.small_model import properties
from tests.guarantees.small_model.apis import Apis
from tests.guarantees.small_model.decided import Decided
from tests.guarantees.small_model.happenings import Happenings
from tests.guarantees.small_model.network import Network
from tests.guarantees.small_model.parts import Taken
from tests.guarantees.small_model.recovery import Recovery
from tests.guarantees.small_model.rules import NEW, Rules, Scope
from tests.guarantees.small_model.states import State


class World:
    """The steps of one scope under one set of rules."""

    def __init__(self, scope: Scope, rules: Rules = NEW) -> None:
        self.scope = scope
        self.decided = decided = Decided()
        self._parts = tuple(part(scope, rules, decided) for part in (Apis, Network, Recovery, Happenings))

    def steps(self, state: State) -> Iterator[Taken]:
        """Every step, with whatever fault it makes."""
        for part in self._parts:
            for taken in part.steps(state):
                after = properties.checked(taken.after, self.decided)
                yield taken if after is taken.after else taken._replace(after=after)
