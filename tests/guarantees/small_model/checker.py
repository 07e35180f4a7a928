"""Explores every state that can be reached, breadth first, and remembers how it got there: the first fault that it
finds has the shortest story."""

from __future__ import annotations

from array import array
from collections import Counter
from typing import NamedTuple

from tests.guarantees.small_model import properties
from tests.guarantees.small_model.states import State
from tests.guarantees.small_model.world import World


class Explored(NamedTuple):
    """What an exploration saw. ``exhausted``: no state is left that was not seen. ``story``: the steps to the fault."""

    states: int
    depth: int
    exhausted: bool
    kinds: Counter[str]
    fault: str | None
    story: tuple[str, ...]

    def __str__(self) -> str:
        ends = "all of them" if self.exhausted else "and there are more"
        head = f"{self.states} states to depth {self.depth}, {ends}"
        if self.fault is None:
            return f"{head}: no fault"
        steps = [f"{number:3}. {step}" for number, step in enumerate(self.story, 1)]
        return "\n".join([f"{head}: {self.fault}", *steps])


class _Ways:
    """How each state was first reached: the state before it, and the step in words. States are remembered by a hash of
    64 bits: among three million states two share one with a chance of one in four million."""

    def __init__(self) -> None:
        self._seen: dict[int, int] = {}
        self._before = array("q")
        self._words = array("l")
        self._texts: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._before)

    def add(self, state: State, before: int, words: str) -> int | None:
        """The state's number, or None where it was seen."""
        name = hash(state)
        if name in self._seen:
            return None
        number = len(self._before)
        self._seen[name] = number
        self._before.append(before)
        self._words.append(self._texts.setdefault(words, len(self._texts)))
        return number

    def story(self, number: int) -> tuple[str, ...]:
        """The steps that lead to a state."""
        texts = list(self._texts)
        steps: list[str] = []
        while self._before[number] >= 0:
            steps.append(texts[self._words[number]])
            number = self._before[number]
        return tuple(reversed(steps))


def explore(world: World, start: State, *, depth: int) -> Explored:
    """Every interleaving of at most ``depth`` steps, until the first fault."""
    ways, kinds = _Ways(), Counter[str]()
    first = ways.add(start, -1, "")
    assert first is not None
    frontier = [(first, start)]
    for level in range(1, depth + 1):
        following: list[tuple[int, State]] = []
        for number, state in frontier:
            leads_on = False
            for taken in world.steps(state):
                kinds[taken.kind] += 1
                leads_on = leads_on or taken.after != state
                found = ways.add(taken.after, number, taken.words)
                if found is None:
                    continue
                if taken.after.fault is not None:
                    return Explored(len(ways), level, False, kinds, taken.after.fault, ways.story(found))
                following.append((found, taken.after))
            unfinished = None if leads_on else properties.unfinished(state, world.decided)
            if unfinished is not None:
                return Explored(len(ways), level, False, kinds, unfinished, ways.story(number))
        frontier = following
        if not frontier:
            return Explored(len(ways), level, True, kinds, None, ())
    return Explored(len(ways), depth, False, kinds, None, ())
