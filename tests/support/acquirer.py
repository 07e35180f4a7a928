"""The test acquirer as a separate process, for suites that need a provider with books of its own."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.forked import Forked
from tests.support.polling import eventually, until_ready
from tests.support.ports import free_port

#: Scripted delays, shortened.
SLOW_MS = 150
PENDING_MS = 300

#: What its webhooks are signed with where a suite says nothing else: the platform's default.
WEBHOOK_SECRET = "whsec_simulator"


class AcquirerProcess:
    """One running acquirer. It sends webhooks where it is given a URL; ``retry_ms`` are the waits between tries at
    one, as in ``100,200``, and ``time_scale`` shortens the usual ones; ``late_ms`` is the wait before each step of what
    happens by itself. ``settlements``: a directory for its settlement files."""

    def __init__(
        self,
        books: Path,
        *,
        forgetful: bool = False,
        port: int | None = None,
        late_ms: int | None = None,
        webhook_url: str | None = None,
        webhook_secret: str = WEBHOOK_SECRET,
        time_scale: float | None = None,
        retry_ms: str | None = None,
        settlements: Path | None = None,
    ) -> None:
        self.books = books
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        command = ["--port", str(self.port), "--books", str(books)]
        command += ["--slow-ms", str(SLOW_MS), "--pending-ms", str(PENDING_MS)]
        command += ["--webhook-secret", webhook_secret, *(["--forgetful"] if forgetful else [])]
        for option, value in (
            ("--late-ms", late_ms),
            ("--webhook-url", webhook_url),
            ("--webhook-time-scale", time_scale),
            ("--webhook-retry-ms", retry_ms),
            ("--settlements", settlements),
        ):
            command += [option, str(value)] if value is not None else []
        self._process = Forked("tallystick.lab.acquirer.__main__", *command)
        until_ready(self._process, lambda: self.call("GET", "/sim/healthz"))

    def stop(self) -> None:
        """As an operator does."""
        self._process.terminate()
        self._process.wait(timeout=60)

    def kill(self) -> None:
        """As a power cut does."""
        self._process.kill()
        self._process.wait(timeout=60)

    def call(
        self, method: str, path: str, body: dict[str, Any] | None = None, key: str | None = None, timeout_s: float = 30
    ) -> tuple[int, dict[str, Any]]:
        """One plain HTTP request. Raises what the network raises."""
        request = urllib.request.Request(self.url + path, method=method)
        if key is not None:
            request.add_header("Idempotency-Key", key)
        data = None if body is None else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(request, data, timeout=timeout_s) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())

    async def acall(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        """The same without blocking the caller's event loop."""
        return await asyncio.to_thread(self.call, method, path, body)

    def charges(self, payment_id: str) -> list[dict[str, Any]]:
        """The charges that ever held money for a payment."""
        data: list[dict[str, Any]] = self.call("GET", f"/sim/charges?payment_id={payment_id}")[1]["data"]
        return data

    def events(self, payment_id: str | None = None) -> list[dict[str, Any]]:
        """Its own book of events, all pages, oldest first."""
        about = "" if payment_id is None else f"&payment_id={payment_id}"
        return self._pages(f"/sim/events?limit=1000{about}")

    def deliveries(self) -> list[dict[str, Any]]:
        """Every request that it sent, in the order of the answers."""
        return self._pages("/sim/webhooks/deliveries?limit=1000")

    def burst(self, timeout_s: float = 60, **wish: Any) -> dict[str, Any]:
        """Send events once more and at once, and wait for the report."""
        status, report = self.call("POST", "/sim/webhooks/resend", wish)
        assert status == 202, report
        return eventually(
            lambda: self.call("GET", "/sim/webhooks/report")[1],
            until=lambda found: found["state"] == "done",
            within_s=timeout_s,
            interval_s=0.05,  # each look takes from the burst
        )

    def _pages(self, path: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        cursor: str | None = "0"
        while cursor is not None:
            page = self.call("GET", f"{path}&cursor={cursor}")[1]
            rows += page["data"]
            cursor = page["next_cursor"]
        return rows


@contextmanager
def acquirer(books: Path, **options: Any) -> Iterator[AcquirerProcess]:
    """A running acquirer, stopped at the end; options as AcquirerProcess has them."""
    process = AcquirerProcess(books, **options)
    try:
        yield process
    finally:
        process.kill()
