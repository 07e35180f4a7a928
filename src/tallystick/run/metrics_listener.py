"""``GET /metrics`` in Prometheus' format, on a listener of its own, in a thread of its own: it answers while the rest
of its process is busy, and takes nothing from it but the time to print."""

from __future__ import annotations

import os
import socket
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from socketserver import TCPServer, ThreadingMixIn
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import psutil
from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from tallystick.domain.measures import MEASURES
from tallystick.flows.process_numbers import published_in
from tallystick.kit.metrics import AnyFamily, Counts, Levels, Reading, Sum
from tallystick.settings.fields import variable
from tallystick.settings.load import Settings

PATH: Final = "/metrics"

#: What answers here is ours: ``doctor`` asks beside a live system.
HEALTH: Final = "/healthz"

#: A client that sends nothing for so long is let go.
CLIENT_TIMEOUT_S: Final = 10

Source = Callable[[], Reading]
App = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class ReadingCollector(Collector):
    """One reading as Prometheus' families. ``source`` is asked at each scrape."""

    def __init__(self, source: Source, families: Sequence[AnyFamily]) -> None:
        self._source = source
        self._families = families

    def collect(self) -> Iterator[Metric]:
        """The families that have a value, in the order of their table."""
        reading = self._source()
        levels = reading.levels | reading.furthest
        for each in self._families:
            family = each.family
            if isinstance(each, Counts):
                counter = CounterMetricFamily(family.name, family.says, labels=family.labels)
                for labels, number in sorted(reading.counts.get(family.name, ())):
                    counter.add_metric(labels, number)
                yield counter
            elif isinstance(each, Levels):
                gauge = GaugeMetricFamily(family.name, family.says, labels=family.labels)
                for labels, value in sorted(levels.get(family.name, ())):
                    gauge.add_metric(labels, value)
                yield gauge
            else:
                spread = HistogramMetricFamily(family.name, family.says, labels=family.labels)
                for labels, slots in sorted(reading.spreads.get(family.name, ())):
                    buckets, total = _buckets(slots, [bound / each.per_shown_unit for bound in each.bounds])
                    spread.add_metric(labels, buckets, total / each.per_shown_unit)
                yield spread


def _buckets(slots: Sequence[int], bounds: Sequence[float]) -> tuple[list[tuple[str, int]], int]:
    """Prometheus counts what lies at or below each bound; the last slot is the sum of the values."""
    seen, buckets = 0, []
    for bound, number in zip([*map(repr, map(float, bounds)), "+Inf"], slots, strict=False):
        seen += number
        buckets.append((bound, seen))
    return buckets, slots[-1]


@contextmanager
def metrics_of_children(settings: Settings) -> Iterator[None]:
    """Answers for processes that are started within, by this environment: each leaves its counts in one directory. That
    is the one of the settings, or one that lives as long as this and that its owner alone may enter. Nothing listens
    without a port. Raises OSError if the port is taken."""
    if settings.metrics_port is None:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="tallystick-counts-", ignore_cleanup_errors=True) as own:
        directory = settings.metrics_directory or own
        os.environ[variable("metrics_directory")] = directory
        with metrics_listener(settings.metrics_host, settings.metrics_port, (api_source(Path(directory)), MEASURES)):
            yield


def api_source(directory: Path) -> Source:
    """What the processes of an API left in their directory, added up. One that has ended keeps what it counted."""

    def added_up() -> Reading:
        whole = Sum()
        for process, reading in published_in(directory).items():
            whole.add(reading, ended=not psutil.pid_exists(process))
        return whole.reading()

    return added_up


@contextmanager
def metrics_listener(host: str, port: int | None, *sources: tuple[Source, Sequence[AnyFamily]]) -> Iterator[None]:
    """Answers until it is left; nothing listens without a port. Raises OSError if the port is taken."""
    if port is None:
        yield
        return
    registry = CollectorRegistry()
    for source, families in sources:
        registry.register(ReadingCollector(source, families))
    kind = _ServerOnIPv6 if ":" in host else _Server
    server = make_server(host, port, _only_metrics(registry), kind, handler_class=_Handler)
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _only_metrics(registry: CollectorRegistry) -> App:
    answer: App = make_wsgi_app(registry)

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] == PATH:
            return answer(environ, start_response)
        if environ["PATH_INFO"] == HEALTH:
            start_response("200 OK", [("Content-Type", "application/json")])
            return [b'{"status": "ok"}']
        start_response("404 Not Found", [("Content-Type", "text/plain; charset=utf-8")])
        return [b"Only /metrics is here.\n"]

    return app


class _Server(ThreadingMixIn, WSGIServer):
    """A thread for each client. A scrape under way does not hold the process back when it ends."""

    daemon_threads = True
    block_on_close = False

    def server_bind(self) -> None:
        """Without asking for the name of the address, which may take seconds where no name server answers."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()


class _ServerOnIPv6(_Server):
    address_family = socket.AF_INET6


class _Handler(WSGIRequestHandler):
    timeout = CLIENT_TIMEOUT_S

    def log_message(self, format: str, *args: Any) -> None:
        """Scrapes are not logged."""
