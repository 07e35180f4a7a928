"""The possible results of a decision on a provider's event. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from msgspec import Struct

from tallystick.domain.change import Change
from tallystick.domain.provider_event_state import Disposition

#: Every disposition and its meaning; published by ``tallystick contract``.
DISPOSITIONS: Final[Mapping[Disposition, str]] = {
    "applied": "it changed the record",
    "duplicate_effect": "the record has it already: another event, our own call or recovery was first",
    "stale": "it was overtaken: it reports an earlier state on the way to the stored one, by the graph",
    "conflict": "it contradicts the record, and so does the provider's current answer: a rejection, with an alert",
    "unknown_type": "by its code, or by what it says, no money moved; it is kept",
    "unreadable": "its bytes cannot be read: a dead letter; beyond a thousand an hour and account, one stands for the"
    " rest",
    "foreign": "it is of other software on the same account: its object, or the charge that it names, would have our"
    " mark if it were ours, and has no mark. It is kept, and processed when a payment here gets that charge",
    "unroutable": "its payment, or the step that it is about, is not in the record yet: it is tried again",
    "not_ready": "its provider's account is not configured in the workers that run, or does not answer what the event"
    " depends on: it waits, and no try is spent",
    "failed": "its handler failed: it is tried again",
    "dead": "its tries are used up: an operator must decide (dead letter)",
    "discarded": "an operator closed it permanently, with a reason",
}

#: The dispositions that a decision gives; the others come from tries that ended without one, and from operators.
DecidedDisposition = Literal["applied", "duplicate_effect", "stale", "conflict", "unknown_type"]


class Decided(Struct, frozen=True):
    """The event is decided, with its change if there is one."""

    disposition: DecidedDisposition
    change: Change | None = None
    reason: str | None = None


class Ask(Struct, frozen=True):
    """The event contradicts a stored attempt: the provider's current answer about it decides."""

    attempt_id: str
    reason: str


class NotYet(Struct, frozen=True):
    """There is nothing to decide on: a step of ours, or an earlier event, has still to come. ``wait_ms``: it cannot
    be decided before that."""

    reason: str
    wait_ms: int = 0


EventDecision = Decided | Ask | NotYet
