"""The SDK's requests, made in its own threads, over our connections on the event loop.

The SDK is synchronous. A call of it runs in a thread, and its HTTP client is this one: it hands the request to the
loop, where the sender's deadline is looked at right before the first byte, as for every provider, and waits. Context
variables do not cross threads, so the deadline travels as an argument.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec
from yarl import URL

from tallystick.providers.http import ProviderHttp


class Transport:
    """Stands in for ``Adyen.HTTPClient``. The URLs that it is given are paths: the SDK would rewrite whole ones."""

    user_agent = "tallystick"

    def __init__(self, http: ProviderHttp, api_url: str, loop: asyncio.AbstractEventLoop) -> None:
        self._http = http
        self._api_url = api_url.rstrip("/")
        self._loop = loop

    def request(
        self, method: str, url: str, *, json: Any, xapikey: str, headers: Mapping[str, str], send_by_ms: int
    ) -> tuple[str, Any, int, Mapping[str, str]]:
        """One request, once, from a thread that is not the loop's: body, what was sent, status, headers. Raises
        NothingSent and SentUnanswered through the SDK."""
        exchange = self._http.exchange(
            method,
            URL(self._api_url + url, encoded=True),
            headers={**headers, "Content-Type": "application/json", "x-api-key": xapikey},
            body=msgspec.json.encode(json),
            send_by_ms=send_by_ms,
        )
        answer = asyncio.run_coroutine_threadsafe(exchange, self._loop).result()
        return answer.body.decode(), None, answer.status, answer.headers
