"""The fake Adyen as a separate process, and what these suites ask of it."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.adyen.fake_adyen import MERCHANT_ACCOUNT
from tests.support.forked import Forked
from tests.support.polling import until_ready
from tests.support.ports import free_port


def token(method: str = "GOODCARD") -> str:
    """A stored payment method of some shopper."""
    return f"shopper-7.{method}"


class FakeAdyen:
    """One running process."""

    def __init__(self, books: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process = Forked("tests.support.adyen.fake_adyen", str(self.port), str(books))
        until_ready(self._process, lambda: self.call("/_books"))

    def kill(self) -> None:
        """As a power cut does."""
        self._process.kill()
        self._process.wait(timeout=60)

    def forget(self) -> None:
        """Empty its books, as those of a new account are: quicker than a new process."""
        self.call("/_forget", {})

    def call(self, path: str, said: dict[str, Any] | None = None) -> bytes:
        """One request of a test's."""
        body = None if said is None else json.dumps(said).encode()
        request = urllib.request.Request(self.url + path, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            found: bytes = answer.read()
            return found

    def books(self, table: str, merchant_id: str) -> list[dict[str, Any]]:
        """What one merchant's references are in."""
        rows = json.loads(self.call("/_books"))[table]
        return [row for row in rows if row["reference"].startswith(f"{merchant_id}.")]

    async def event(self, payment_psp: str, code: str, **fields: Any) -> dict[str, Any]:
        """Something happens to a payment there, and is to be told."""
        said = {"payment_psp": payment_psp, "code": code} | fields
        found: dict[str, Any] = json.loads(await asyncio.to_thread(self.call, "/_event", said))
        return found

    async def close(self) -> dict[str, Any]:
        """A batch of everything that moved since the last one: the name of its report, its number and content."""
        found: dict[str, Any] = json.loads(await asyncio.to_thread(self.call, "/_close", {}))
        return found

    async def offer(self, name: str, url: str | None = None) -> None:
        """A notification that a report is there, at its own address or at another one."""
        where = url or f"{self.url}/reports/download/MerchantAccount/{MERCHANT_ACCOUNT}/{name}"
        await asyncio.to_thread(self.call, "/_offer", {"name": name, "url": where})

    async def tell(self, *codes: str, times: int = 1, merchant_id: str = "") -> bytes:
        """A signed body of everything that was not told yet (of these events, of this merchant), each so many times."""
        said = {"times": times, "codes": list(codes), "merchant": merchant_id}
        return await asyncio.to_thread(self.call, "/_tell", said)


@contextmanager
def fake_adyen(books: Path) -> Iterator[FakeAdyen]:
    """A running fake, killed at the end."""
    process = FakeAdyen(books)
    try:
        yield process
    finally:
        process.kill()
