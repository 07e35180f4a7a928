"""What a decision on a provider's event can come to. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from tallystick.domain.change import Change

#: Where an event ends, and what that says; published by ``tallystick contract``.
DISPOSITIONS: Final[Mapping[str, str]] = {
    "applied": "it changed the record",
    "duplicate_effect": "it says what the record holds already: another event, our own call or recovery was first",
    "stale": "it was overtaken: what it says is an earlier state on the way to the stored one, by the graph",
    "conflict": "it contradicts the record, and so does the provider's current word: a rejection, with an alert",
    "unknown_type": "it says nothing about money; it is kept",
    "unroutable": "its payment, or the step that it is about, is not there yet: it is tried again",
    "failed": "its handler failed: it is tried again",
    "dead": "its tries are used up: a person has it (dead letter)",
    "discarded": "a person closed it for good, with a reason",
}


class Decided(Struct, frozen=True):
    """The event's end, with the change where there is one to make."""

    disposition: str  # applied | duplicate_effect | stale | conflict | unknown_type
    change: Change | None = None
    reason: str | None = None


class Ask(Struct, frozen=True):
    """The event contradicts what is stored about an attempt: the provider's current word on it decides."""

    attempt_id: str
    reason: str


class NotYet(Struct, frozen=True):
    """There is nothing to decide on: a step of ours, or an earlier event, has still to come. ``wait_ms``: it cannot
    be decided before that."""

    reason: str
    wait_ms: int = 0


EventDecision = Decided | Ask | NotYet
