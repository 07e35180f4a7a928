"""Spans, for whoever collects them: a request, a call, a commit, a webhook, a message. Off unless a process sets a
tracer; what makes spans, such as OpenTelemetry, is known to that tracer alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, Literal, Protocol

#: Who waits for whom, as OpenTelemetry has it.
SpanKind = Literal["server", "client", "consumer", "producer", "internal"]


class Span(Protocol):
    """One that is under way."""

    @property
    def traceparent(self) -> str:
        """The header of a request that belongs to it (W3C Trace Context)."""

    def end(self, attributes: Mapping[str, Any], *, failed: bool) -> None:
        """It ends now, with what is known of it."""


class Tracer(Protocol):
    """Makes spans."""

    def start(self, name: str, kind: SpanKind, parent: Span | str | None, links: Sequence[str]) -> Span:
        """A span that begins now. ``parent``: a span of this process, or the header of another program; None for the
        first of a trace. ``links``: headers of what led to it and does not wait for it."""

    def close(self) -> None:
        """Send what is left; no span begins any more."""


class Spans:
    """Whether this process makes spans."""

    tracer: Tracer | None = None


def end_spans() -> None:
    """Before the process ends: send what is left."""
    tracer, Spans.tracer = Spans.tracer, None
    if tracer is not None:
        tracer.close()


#: The span that this task works in.
_CURRENT: Final[ContextVar[Span | None]] = ContextVar("span", default=None)


def current_span() -> Span | None:
    """The span that this task works in; None outside of one."""
    return _CURRENT.get()


@contextmanager
def within(span: Span | None) -> Iterator[None]:
    """Steps that begin in here are parts of this span."""
    if span is None:
        yield
        return
    token = _CURRENT.set(span)
    try:
        yield
    finally:
        _CURRENT.reset(token)
