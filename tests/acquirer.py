"""The test acquirer as a separate process, for suites that need a provider with books of its own."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

#: Scripted delays, shortened.
SLOW_MS = 150
PENDING_MS = 300


def free_port() -> int:
    """A port that nothing listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class AcquirerProcess:
    """One running acquirer."""

    def __init__(self, books: Path, *, forgetful: bool = False, port: int | None = None) -> None:
        self.books = books
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "tallystick.simulator", "--port", str(self.port), "--books", str(books)]
        command += ["--slow-ms", str(SLOW_MS), "--pending-ms", str(PENDING_MS)]
        self._process = subprocess.Popen([*command, *(["--forgetful"] if forgetful else [])], stderr=subprocess.DEVNULL)
        self._wait_until_ready()

    def stop(self) -> None:
        """As an operator does."""
        self._process.terminate()
        self._process.wait(timeout=10)

    def kill(self) -> None:
        """As a power cut does."""
        self._process.kill()
        self._process.wait(timeout=10)

    def call(
        self, method: str, path: str, body: dict[str, Any] | None = None, key: str | None = None, timeout_s: float = 5
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

    def _wait_until_ready(self) -> None:
        give_up_at = time.monotonic() + 20
        while True:
            try:
                self.call("GET", "/sim/healthz")
                return
            except OSError:
                if time.monotonic() > give_up_at or self._process.poll() is not None:
                    self._process.kill()
                    self._process.wait()
                    raise
                time.sleep(0.05)


@contextmanager
def acquirer(books: Path, *, forgetful: bool = False) -> Iterator[AcquirerProcess]:
    """A running acquirer, stopped at the end."""
    process = AcquirerProcess(books, forgetful=forgetful)
    try:
        yield process
    finally:
        process.kill()
