"""Spans by OpenTelemetry: nothing of it where they are off, and what arrives where they are on."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest

from tallystick.kit.log_lines import Line
from tallystick.kit.spans import Spans, end_spans, within
from tallystick.kit.steps import begin
from tallystick.run.otlp_spans import require_spans, start_spans
from tallystick.settings.load import Settings, SettingsError

ON = Settings(spans="otlp")
LINE = Line("a step", "debug", "tallystick.test", {"payment_id": "own", "key": "text"})
REMOTE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
NOT_SAMPLED = REMOTE[:-1] + "0"

IMPORTED = """
import sys
import tallystick.cli.command, tallystick.run.api_process, tallystick.run.work
from tallystick.run.otlp_spans import start_spans
from tallystick.settings.load import Settings
start_spans(Settings())
print([name for name in sys.modules if name.startswith("opentelemetry")])
"""


def test_where_spans_are_off_nothing_of_it_is_imported() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORTED], check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"
    assert Spans.tracer is None and begin(LINE, "internal") is None


def test_without_the_extra_no_process_starts_with_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tallystick.run.otlp_spans.find_spec", lambda _: None)
    with pytest.raises(SettingsError, match=r"tallystick\[otlp\]"):
        require_spans(ON)
    require_spans(replace(ON, spans="off"))


class Collector(HTTPServer):
    """Takes spans by OTLP over HTTP."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.got: list[tuple[str, bytes]] = []


class _Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        self.server.got.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})  # how long its end may take
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def spans(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """What arrived, once the process ends: each span by its name."""
    pytest.importorskip("opentelemetry.sdk", reason="the extra otlp is not installed")
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.server_address[1]}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
    start_spans(ON)

    def arrived() -> list[Any]:
        end_spans()
        found = []
        for path, body in collector.got:
            assert path == "/v1/traces"
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                names = {each.key: each.value.string_value for each in resource.resource.attributes}
                assert names["service.name"] == "tallystick"
                found += [span for scope in resource.scope_spans for span in scope.spans]
        return found

    yield arrived
    end_spans()


def test_a_span_continues_the_trace_of_another_program(spans: Any) -> None:
    outer = begin(LINE, "server", REMOTE, linked=(None, NOT_SAMPLED))
    assert outer is not None and outer.span is not None
    with within(outer.span):
        inner = begin(LINE, "client", NOT_SAMPLED)  # a part of the span that it is in, whatever else is named
    assert inner is not None and inner.span is not None
    inner.end("pay_1", "4111 1111 1111 1111", failed=True)
    outer.end("pay_1", None)
    first, second = spans()
    assert {first.name, second.name} == {"a step"}
    assert first.trace_id.hex() == second.trace_id.hex() == REMOTE.split("-")[1]
    assert second.parent_span_id.hex() == REMOTE.split("-")[2]
    assert first.parent_span_id == second.span_id
    assert [link.span_id.hex() for link in second.links] == [REMOTE.split("-")[2]]
    assert inner.span.traceparent == f"00-{first.trace_id.hex()}-{first.span_id.hex()}-01"
    told = {each.key: each.value.string_value for each in first.attributes}
    assert told == {"tallystick.payment_id": "pay_1", "tallystick.key": "[refused: looks like card data]"}
    assert first.status.code == 2 and second.status.code == 0  # error, unset


def test_a_trace_that_nobody_records_is_not_sent(spans: Any) -> None:
    step = begin(LINE, "server", NOT_SAMPLED)
    assert step is not None and step.span is not None
    assert step.span.traceparent.startswith(NOT_SAMPLED[:36]) and step.span.traceparent.endswith("-00")
    step.end("pay_1", None)
    assert spans() == []
