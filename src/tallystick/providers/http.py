"""HTTP for connectors. It separates "nothing was sent" from "something may have happened".

No retries, no redirects. A request is a span of the trace of its instruction. The sender's deadline is checked on the
open connection, right before the write to the socket, so that a process that froze after its intent was committed does
not send after recovery took over.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

import aiohttp
import msgspec
from aiohttp.client_reqrep import ClientResponse
from aiohttp.connector import Connection
from msgspec import Struct
from yarl import URL

from tallystick.kit.clock import monotonic_ms, utc_now
from tallystick.kit.clock_skew import SkewGauge
from tallystick.kit.retry_after import retry_after_ms
from tallystick.kit.trace_context import outgoing
from tallystick.providers.checked_request import CheckedRequest, checked_before_write
from tallystick.providers.heard import hearing
from tallystick.providers.pause import LONGEST_MS, Pause

#: Answers about payments are far shorter; a longer one is not read to its end.
ANSWER_LIMIT_BYTES: Final = 1_048_576

#: Idle connections are dropped before common servers (60-75 s) drop them, so that few requests meet a closing one.
KEEPALIVE_S: Final = 15

#: An answer's ``Date`` has whole seconds (RFC 9110).
DATE_GRAIN_MS: Final = 1_000

#: Answers whose Retry-After is heeded: too many requests, and a service that is away for a while.
ASKING_TO_WAIT: Final = frozenset({429, 503})

#: Begins the reason of a connection that could not be made. Such a failure counts against a provider (``circuit.py``).
UNREACHABLE: Final = "no connection"


class ProviderResponse(Struct, frozen=True):
    """A complete HTTP response. Header names are as they came; look-ups ignore their case."""

    status: int
    body: bytes
    headers: Mapping[str, str] = {}


class NothingSent(Exception):
    """No byte of the request was written: nothing happened at the provider."""


class SentUnanswered(Exception):
    """Part of the request may have been written, and no complete answer came back."""


class TooLateToSend(Exception):
    """The sender's deadline passed before the request was written."""


class AskedToWait(Exception):
    """The provider asked to wait before the request was written."""


def refused_here(error: Exception) -> str:
    """The reason of a request that our own side could not build. It says nothing about the provider."""
    return f"refused before it was written: {type(error).__name__}"


class ProviderHttp:
    """A session to one account of a provider. Make it inside a running event loop. ``clock`` measures the provider's
    clock, by the date of each answer. ``pause``: while the account has asked to wait nothing is written, look-ups
    neither; ``pause_limit_ms`` is the longest that it can ask for."""

    def __init__(
        self,
        base_url: str,
        *,
        request_timeout_ms: int,
        connect_timeout_ms: int,
        connections: int,
        pause_limit_ms: int = LONGEST_MS,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self.clock = SkewGauge()
        self.pause = Pause(pause_limit_ms)
        timeout = aiohttp.ClientTimeout(
            total=request_timeout_ms / 1000,
            connect=connect_timeout_ms / 1000,
            sock_connect=connect_timeout_ms / 1000,
        )
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=connections, keepalive_timeout=KEEPALIVE_S),
            request_class=CheckedRequest,
            timeout=timeout,
            auto_decompress=True,
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def post(self, path: str, body: dict[str, Any], *, key: str, send_by_ms: int) -> ProviderResponse:
        """Send one request with the provider's idempotency key.

        Raises NothingSent and SentUnanswered, and nothing else for failures of the network.
        """
        try:
            url, encoded = URL(self._base_url + path), msgspec.json.encode(body)
        except ValueError as error:
            raise NothingSent(refused_here(error)) from error
        return await self.exchange(
            "POST",
            url,
            headers={"Content-Type": "application/json", "Idempotency-Key": key},
            body=encoded,
            send_by_ms=send_by_ms,
        )

    async def get(self, path: str) -> ProviderResponse:
        """Send a look-up. It moves no money, so it has no deadline. Raises as ``post`` does."""
        return await self.exchange("GET", URL(self._base_url + path))

    async def exchange(
        self,
        method: str,
        url: URL,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        send_by_ms: int | None = None,
    ) -> ProviderResponse:
        """One request to an absolute URL: for official SDKs, which bring URLs, headers and bodies of their own. Raises
        as ``post`` does."""

        begun = False
        hearing().forget()  # also where nothing is sent: the answer before this was to another request

        def in_time(_: Connection) -> None:
            nonlocal begun
            if send_by_ms is not None and monotonic_ms() > send_by_ms:
                raise TooLateToSend
            if self.pause.left_ms:
                raise AskedToWait
            begun = True

        if self.pause.left_ms:  # known before a connection is waited for or made
            raise NothingSent(self.pause.why)
        with checked_before_write(in_time):
            try:
                return await self._request(method, url, headers=headers, data=body)
            except ValueError as error:  # of building the request: an address or a header that cannot be
                if begun:
                    raise SentUnanswered(type(error).__name__) from error
                raise NothingSent(refused_here(error)) from error

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()

    async def _request(self, method: str, url: URL, **options: Any) -> ProviderResponse:
        question, heard = self.clock.ask(), hearing()
        heard.forget()
        options["headers"] = {**(options.get("headers") or {}), **outgoing()}
        try:
            async with self._session.request(method, url, allow_redirects=False, **options) as response:
                theirs = _moment(response.headers.get("Date"))
                if theirs is not None:
                    self.clock.answered(question, theirs, grain_ms=DATE_GRAIN_MS)
                self._heed(response, theirs or utc_now())
                body = bytearray()
                heard.begins(response.status, response.headers, body)
                await _read_whole(response, body)
                heard.ends()
                return ProviderResponse(response.status, bytes(body), response.headers)
        except TooLateToSend as error:
            raise NothingSent("too late to send: recovery may have taken over") from error
        except AskedToWait as error:
            raise NothingSent(self.pause.why) from error
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            # Refused, no such host, or no connection within the connect time-out: the request was never written.
            self.pause.passed()
            raise NothingSent(f"{UNREACHABLE}: {type(error).__name__}") from error
        except aiohttp.InvalidURL:
            raise  # a ValueError of our own, though aiohttp calls it a client's error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self.pause.passed()
            raise SentUnanswered(type(error).__name__) from error

    def _heed(self, response: ClientResponse, now: datetime) -> None:
        """A wait that the answer asks for begins now, whatever else is under way. Of several the longest counts, and
        what cannot be read asks for nothing."""
        asked = response.headers.getall("Retry-After", []) if response.status in ASKING_TO_WAIT else []
        waits = [retry_after_ms(each, now, limit_ms=self.pause.limit_ms) or 0 for each in asked]
        if any(waits):
            self.pause.ask(max(waits))
        else:
            self.pause.passed()


def _moment(date: str | None) -> datetime | None:
    """The time of a ``Date`` header; None for what cannot be read."""
    try:
        moment = parsedate_to_datetime(date or "")
    except ValueError:
        return None
    return moment.replace(tzinfo=moment.tzinfo or UTC)


async def _read_whole(response: ClientResponse, body: bytearray) -> None:
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > ANSWER_LIMIT_BYTES:
            raise ValueError("the answer is too long")
