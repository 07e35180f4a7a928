"""Where webhooks arrive in these suites: keeps all that came, and answers as it is told."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.polling import eventually
from tests.support.ports import free_port


@dataclass
class Arrival:
    """One request."""

    at: float
    headers: dict[str, str]
    raw: bytes
    status: int = 200
    body: dict[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        return str(self.body["type"])


class Sink:
    """A receiver on a port of its own. ``answers`` decides the status of each request."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/v1/webhooks/simulator/main"
        self.arrivals: list[Arrival] = []
        self.connections: set[tuple[str, int]] = set()
        self.answers: Callable[[Arrival], int] = lambda _: 200
        self._server: ThreadingHTTPServer | None = None

    def up(self) -> None:
        """Listen."""
        sink = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                arrival = Arrival(time.time(), headers, raw, body=json.loads(raw))
                arrival.status = sink.answers(arrival)
                sink.connections.add(self.client_address)
                sink.arrivals.append(arrival)
                self.send_response_only(arrival.status)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, request: Any, client_address: Any) -> None:
                """A sender that was killed: nothing to say."""

        self._server = Server(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def down(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def about(self, payment_id: str) -> list[Arrival]:
        """What came about one payment, in the order in which it came."""
        return [each for each in self.arrivals if each.body["data"]["payment_id"] == payment_id]

    def kinds(self, payment_id: str) -> list[str]:
        return [each.kind for each in self.about(payment_id)]

    def wait_for(self, payment_id: str, count: int) -> list[Arrival]:
        """The arrivals about a payment, once there are so many."""
        return eventually(lambda: self.about(payment_id), until=lambda found: len(found) >= count)


@contextmanager
def sink() -> Iterator[Sink]:
    """A listening receiver, gone at the end."""
    made = Sink()
    made.up()
    try:
        yield made
    finally:
        made.down()
