"""The SDK's requests over our own connections, without a thread for each call.

The SDK is synchronous, and does nothing between its caller and its HTTP client that waits. So an operation of it is
run twice on the event loop: once with an HTTP client that takes its request down and ends it, and once, when the
answer is there, with one that has it. The exchange between the two is ours: as many calls are under way as there are
connections, and the sender's deadline is looked at right before the first byte, as for every provider.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import Struct
from yarl import URL

from tallystick.providers.http import NothingSent, ProviderHttp, refused_here

#: What an HTTP client of the SDK's returns: body, what was sent, status, headers.
Exchanged = tuple[str, None, int, Mapping[str, str]]


class SdkRequest(Struct, frozen=True, kw_only=True):
    """One request as the SDK hands it to its HTTP client. ``path`` is below the address of the API."""

    method: str
    path: str
    body: bytes
    headers: Mapping[str, str]


class SdkClient:
    """Stands in for ``Adyen.HTTPClient``. The URLs that it is given are paths: the SDK would rewrite whole ones."""

    user_agent = "tallystick"

    def request(
        self,
        method: str,
        url: str,
        *,
        json: Any,
        xapikey: str,
        headers: Mapping[str, str],
        exchange: Callable[[SdkRequest], Exchanged],
    ) -> Exchanged:
        """``exchange`` comes with each operation, through the SDK."""
        with_key = {**headers, "Content-Type": "application/json", "x-api-key": xapikey}
        return exchange(SdkRequest(method=method, path=url, body=msgspec.json.encode(json), headers=with_key))


class _TakenDown(Exception):
    """Ends an operation of the SDK when its request is known."""

    def __init__(self, request: SdkRequest) -> None:
        super().__init__()
        self.request = request


class Transport:
    """Carries the SDK's operations out at one address of the API."""

    def __init__(self, http: ProviderHttp, api_url: str) -> None:
        self._http = http
        self._api_url = api_url.rstrip("/")

    async def carry_out(self, operation: Callable[..., Any], *, send_by_ms: int) -> Any:
        """The SDK's result of one operation, sent once. Raises NothingSent and SentUnanswered, and what the SDK raises
        for an answer that is an error."""
        try:
            request = _request_of(operation)
            url = URL(self._api_url + request.path, encoded=True)
        except ValueError as error:
            raise NothingSent(refused_here(error)) from error
        answer = await self._http.exchange(
            request.method, url, headers=request.headers, body=request.body, send_by_ms=send_by_ms
        )
        exchanged = (answer.body.decode(), None, answer.status, answer.headers)
        return operation(exchange=lambda _: exchanged)


def _request_of(operation: Callable[..., Any]) -> SdkRequest:
    """What the operation sends. Raises ValueError for what the SDK cannot write."""
    try:
        operation(exchange=_take_down)
    except _TakenDown as taken:
        return taken.request
    raise ValueError("the SDK made no request")


def _take_down(request: SdkRequest) -> Exchanged:
    raise _TakenDown(request)
