"""The trace that a request belongs to, as W3C Trace Context has it (``traceparent``). It says who waits for what across
programs, and decides nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from tallystick.kit.card_mask import mask_cards
from tallystick.kit.ids import random_hex

#: Version, trace id, span id, flags, in small letters. What follows belongs to a later version.
_TRACEPARENT: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)

#: The version that is written here.
_VERSION: Final = "00"

#: A version that there never is.
_NO_VERSION: Final = "ff"

#: Of the flags, the one that every version has: the caller may have recorded its part.
_SAMPLED: Final = 0x01

#: The trace that requests to others belong to, in this task; and whether the header names a span that is recorded
#: here: then it goes out as it is.
_CURRENT: Final[ContextVar[tuple[str, bool] | None]] = ContextVar("traceparent", default=None)


def parsed(given: Sequence[str]) -> str | None:
    """The ``traceparent`` of a request with these headers, in the form of version 00; None where there is none, or
    several, or one that is malformed: a trace is then not continued, and the request is carried out all the same. One
    that seems to hold a card number is dropped too."""
    found = _TRACEPARENT.fullmatch(given[0]) if len(given) == 1 else None
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if version == _NO_VERSION or (version == _VERSION and more is not None):
        return None
    if not trace_id.strip("0") or not span_id.strip("0"):
        return None
    kept = f"{_VERSION}-{trace_id}-{span_id}-{int(flags, 16) & _SAMPLED:02x}"
    return kept if mask_cards(kept) is kept else None


def new_trace() -> str:
    """A new trace, which nobody records unless asked."""
    return _without_card(lambda: f"{_VERSION}-{random_hex(16)}-{random_hex(8)}-00")


def next_span(traceparent: str) -> str:
    """The header of a request to another program: the same trace and flags, with a new span as its parent."""
    version, trace_id, _, flags = traceparent.split("-")
    return _without_card(lambda: f"{version}-{trace_id}-{random_hex(8)}-{flags}")


def own_header(traceparent: str, span: str | None) -> str:
    """The header of one request of this trace: that of the span that is recorded of it; else of a new one."""
    recorded = None if span is None else parsed([span])
    return recorded or next_span(traceparent)


def _without_card(draw: Callable[[], str]) -> str:
    """One in some thousands of random spans seems to hold a card number: whoever is careful would drop the trace."""
    drawn = draw()
    while mask_cards(drawn) is not drawn:
        drawn = draw()
    return drawn


@contextmanager
def continued(traceparent: str | None, span: str | None = None) -> Iterator[None]:
    """Within it, requests to providers belong to this trace. ``span``: the header of the span that is recorded of them,
    where one is."""
    recorded = None if span is None else parsed([span])
    kept = recorded or traceparent
    token = _CURRENT.set(None if kept is None else (kept, recorded is not None))
    try:
        yield
    finally:
        _CURRENT.reset(token)


def outgoing() -> dict[str, str]:
    """The header of a request that is sent now; none outside of a trace."""
    current = _CURRENT.get()
    if current is None:
        return {}
    header, is_recorded = current
    return {"traceparent": header if is_recorded else next_span(header)}
