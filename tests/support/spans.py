"""A tracer that keeps what is told to it, without OpenTelemetry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from tallystick.kit.ids import random_hex
from tallystick.kit.spans import Span, SpanKind, Spans
from tallystick.kit.trace_context import parsed


class KeptSpan:
    """One span, as it was told."""

    def __init__(self, name: str, kind: SpanKind, parent: Span | str | None, links: Sequence[str]) -> None:
        self.name, self.kind, self.links = name, kind, list(links)
        self.parent = parent if isinstance(parent, str) or parent is None else parent.traceparent
        trace_id = random_hex(16) if self.parent is None else self.parent.split("-")[1]
        self.attributes: Mapping[str, Any] = {}
        self.failed: bool | None = None
        self.traceparent = f"00-{trace_id}-{random_hex(8)}-01"
        while parsed([self.traceparent]) is None:  # it looks like a card number
            self.traceparent = f"00-{trace_id}-{random_hex(8)}-01"

    @property
    def trace_id(self) -> str:
        return self.traceparent.split("-")[1]

    def end(self, attributes: Mapping[str, Any], *, failed: bool) -> None:
        assert self.failed is None, "it ended before"
        self.attributes, self.failed = attributes, failed


class KeptSpans:
    """Every span of a block, in the order of their beginnings."""

    def __init__(self) -> None:
        self.spans: list[KeptSpan] = []

    def start(self, name: str, kind: SpanKind, parent: Span | str | None, links: Sequence[str]) -> KeptSpan:
        self.spans.append(KeptSpan(name, kind, parent, links))
        return self.spans[-1]

    def close(self) -> None:
        """Nothing is sent."""

    def of(self, name: str) -> list[KeptSpan]:
        """The ended ones of one name."""
        return [span for span in self.spans if span.name == name and span.failed is not None]

    def one(self, name: str) -> KeptSpan:
        (span,) = self.of(name)
        return span


@contextmanager
def spans_kept() -> Iterator[KeptSpans]:
    """Spans are made within it."""
    kept = KeptSpans()
    Spans.tracer = kept
    try:
        yield kept
    finally:
        Spans.tracer = None
