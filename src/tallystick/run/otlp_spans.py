"""Spans by OpenTelemetry, sent by OTLP over HTTP: the extra ``otlp``. Nothing of it is imported unless the settings ask
for spans."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any, Final

from tallystick import __version__
from tallystick.kit.spans import Span, SpanKind, Spans
from tallystick.settings.load import Settings, SettingsError

#: Begins the names of attributes: those of the fields of the log.
_PREFIX: Final = "tallystick."

#: How a service names itself to OpenTelemetry, where its variables do not.
_SERVICE: Final = "service.name"


def require_spans(settings: Settings) -> None:
    """Raises SettingsError where spans are asked for and cannot be made."""
    if settings.spans == "otlp" and find_spec("opentelemetry") is None:
        raise SettingsError("TALLYSTICK_SPANS: otlp needs the extra: pip install 'tallystick[otlp]'")


def start_spans(settings: Settings) -> None:
    """Make spans in this process from now on, if the settings ask for them; ``kit.spans.end_spans`` sends the last.
    Where they go, and which, is said by the variables of OpenTelemetry (``OTEL_EXPORTER_OTLP_ENDPOINT``,
    ``OTEL_TRACES_SAMPLER``). Raises SettingsError."""
    require_spans(settings)
    if settings.spans == "off" or Spans.tracer is not None:
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    is_named = "OTEL_SERVICE_NAME" in os.environ or _SERVICE in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    named = {"service.version": __version__} | ({} if is_named else {_SERVICE: "tallystick"})
    provider = TracerProvider(resource=Resource.create(named))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    Spans.tracer = OtelTracer(provider)


class OtelTracer:
    """Spans of one provider of OpenTelemetry (a ``TracerProvider`` of its SDK)."""

    def __init__(self, provider: Any) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("tallystick", __version__)

    def start(self, name: str, kind: SpanKind, parent: Span | str | None, links: Sequence[str]) -> OtelSpan:
        """As ``kit.spans.Tracer``."""
        from opentelemetry.context import Context
        from opentelemetry.trace import Link, NonRecordingSpan, set_span_in_context
        from opentelemetry.trace import SpanKind as Kind

        context = Context()  # and not the current one of OpenTelemetry, which nobody here sets
        if isinstance(parent, OtelSpan):
            context = set_span_in_context(parent.span, context)
        elif parent is not None:
            header = parent if isinstance(parent, str) else parent.traceparent
            context = set_span_in_context(NonRecordingSpan(_context_of(header)), context)
        span = self._tracer.start_span(
            name,
            context,
            kind=Kind[kind.upper()],
            links=[Link(_context_of(header)) for header in links],
        )
        return OtelSpan(span)

    def close(self) -> None:
        """Send what is left."""
        self._provider.shutdown()


class OtelSpan:
    """One span of OpenTelemetry."""

    __slots__ = ("span",)

    def __init__(self, span: Any) -> None:
        self.span = span

    @property
    def traceparent(self) -> str:
        """The header of a request that belongs to it."""
        context = self.span.get_span_context()
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags & 1:02x}"

    def end(self, attributes: Mapping[str, Any], *, failed: bool) -> None:
        """With what is known of it."""
        from opentelemetry.trace import StatusCode

        if self.span.is_recording():
            self.span.set_attributes({f"{_PREFIX}{name}": value for name, value in attributes.items()})
            if failed:
                self.span.set_status(StatusCode.ERROR)
        self.span.end()


def _context_of(traceparent: str) -> Any:
    from opentelemetry.trace import SpanContext, TraceFlags

    _, trace_id, span_id, flags = traceparent.split("-")
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16)))
