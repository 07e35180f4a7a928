"""The states of a provider's event, and what one try at it can come to. Plain data."""

from __future__ import annotations

from typing import Final, Literal, get_args

#: What one try came to, as it is recorded.
TryResult = Literal[
    "applied", "duplicate_effect", "stale", "conflict", "unknown_type", "unreadable", "foreign", "unroutable", "failed"
]

#: The state of an event after a try that is recorded.
StateAfterTry = Literal[TryResult, "dead"]

#: What became of an event: by its last try, by waiting for its provider's settings, or by an operator.
Disposition = Literal[
    "applied",
    "duplicate_effect",
    "stale",
    "conflict",
    "unknown_type",
    "unreadable",
    "foreign",
    "unroutable",
    "not_ready",
    "failed",
    "dead",
    "discarded",
]

#: Before its first try it is ``received``.
EventState = Literal["received", Disposition]
EVENT_STATES: Final[tuple[EventState, ...]] = get_args(EventState)
