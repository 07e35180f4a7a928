"""A step of the work on a payment: a line of the log, and a span, for whoever wants one of them.

    step = begin(CALLED, "client")
    …
    if step is not None:
        step.end(…)

``begin`` returns None where nobody does, and costs next to nothing then.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar, Token
from typing import Any, Final

from tallystick.kit.clock import monotonic_ns
from tallystick.kit.log_lines import Line
from tallystick.kit.spans import Span, SpanKind, Spans, current_span

#: How a duration is shown: tenths of a millisecond.
_TENTH_MS_NS: Final = 100_000


class Awaited:
    """A request that waits for what this task does, and says a line of its own when it ends. ``idempotency_key``: of
    its instruction, once that is read."""

    __slots__ = ("idempotency_key", "is_said")

    def __init__(self) -> None:
        self.idempotency_key: str | None = None
        self.is_said = False


#: Tasks that a task starts work for the same request.
_AWAITED: Final[ContextVar[Awaited | None]] = ContextVar("awaited", default=None)


def awaited() -> Awaited | None:
    """The request that waits for what this task does; None where none does, or none any more."""
    found = _AWAITED.get()
    return None if found is None or found.is_said else found


def await_for(request: Awaited) -> Token[Awaited | None]:
    """From now on this task works for a request; resetting the token ends it."""
    return _AWAITED.set(request)


#: What this task works on, by the names of fields: for steps that do not know it themselves.
_NAMES: Final[ContextVar[Mapping[str, str | None] | None]] = ContextVar("names", default=None)


def known_names() -> Mapping[str, str | None]:
    """What is known of the thing that this task works on."""
    return _NAMES.get() or {}


@contextmanager
def naming(names: Mapping[str, str | None]) -> Iterator[None]:
    """Steps within it are about the thing of these names."""
    token = _NAMES.set(names)
    try:
        yield
    finally:
        _NAMES.reset(token)


class Step:
    """One that is under way."""

    __slots__ = ("_line", "_started_ns", "span")

    def __init__(self, line: Line, span: Span | None) -> None:
        self._line = line
        self._started_ns = monotonic_ns()
        self.span = span

    @property
    def duration_ms(self) -> float:
        """Since it began."""
        return duration_ms(self._started_ns)

    def end(self, *values: Any, failed: bool = False) -> None:
        """It ends now: the line is said, and the span has the same fields."""
        self._line.say(*values)
        if self.span is not None:
            self.span.end(self._line.shown(values), failed=failed)


def begin(line: Line, kind: SpanKind, parent: str | None = None, linked: Sequence[str | None] = ()) -> Step | None:
    """A step, if anybody wants its line or its span. It is a part of the span that this task works in; outside of one,
    of the trace ``parent`` (a header). ``linked``: headers of what led to it and does not wait for it."""
    tracer = Spans.tracer
    if tracer is not None:
        links = [header for header in linked if header is not None]
        return Step(line, tracer.start(line.event, kind, current_span() or parent, links))
    return Step(line, None) if line.wanted else None


def duration_ms(started_ns: int) -> float:
    """From then (``monotonic_ns``) until now, in milliseconds and tenths."""
    return (monotonic_ns() - started_ns) // _TENTH_MS_NS / 10


def span_header(step: Step | None) -> str | None:
    """The header of requests that belong to a step's span; None where it has none."""
    return None if step is None or step.span is None else step.span.traceparent
