"""Whether new instructions come with keys that are taken: replays, which come in bursts, as after an outage."""

from __future__ import annotations

from typing import Final

#: So many batches with new keys ask first, from one on that met a taken key. A batch that did not ask loses what some
#: ten looks cost: where fewer than one batch in ten has a replay, not to ask costs less.
ASKED_BATCHES: Final = 64


class RepeatedKeys:
    """What the batches of one journal know of each other's keys. At its start it expects none."""

    __slots__ = ("_asked_batches",)

    def __init__(self) -> None:
        self._asked_batches = 0

    def are_expected(self) -> bool:
        """Asked before each batch that could ask: whether it does."""
        if self._asked_batches == 0:
            return False
        self._asked_batches -= 1
        return True

    def were_met(self) -> None:
        """A batch had one."""
        self._asked_batches = ASKED_BATCHES
