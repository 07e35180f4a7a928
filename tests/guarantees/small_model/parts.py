"""What the parts of the small world share: the scope, the rules, the decisions, and what a step is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import NamedTuple

from tests.guarantees.small_model.decided import Decided
from tests.guarantees.small_model.rules import Rules, Scope
from tests.guarantees.small_model.states import State


class Taken(NamedTuple):
    """One step: its kind, what happened in words, and the state that it leads to."""

    kind: str
    words: str
    after: State


class Part(ABC):
    """One part of the world, with the steps that it can take."""

    def __init__(self, scope: Scope, rules: Rules, decided: Decided) -> None:
        self.scope = scope
        self.rules = rules
        self.decided = decided
        self.providers = {each.name: each for each in scope.providers}

    @abstractmethod
    def steps(self, state: State) -> Iterator[Taken]:
        """What can happen next in this part."""


def name_of(verdict: object) -> str:
    """A verdict in a story."""
    shown = type(verdict).__name__
    effect = getattr(verdict, "effect", None)
    return f"{shown} {effect}" if effect else shown
