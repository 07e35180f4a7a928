"""One try at one message over HTTP. Only the status of the response is kept: its body may be anything."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

import aiohttp
from aiohttp.connector import Connection
from msgspec import Struct

from tallystick import __version__
from tallystick.flows.webhooks.outbound.address_policy import AddressPolicy, PolicyResolver, UrlRefused
from tallystick.flows.webhooks.outbound.retries import retry_after_ms
from tallystick.flows.webhooks.outbound.tls import NO_TLS, certificate_fault, client_context
from tallystick.kit.clock import monotonic_ms
from tallystick.providers.checked_request import CheckedRequest, checked_before_write

#: Idle connections are dropped before common servers (60-75 s) drop them.
KEEPALIVE_S: Final = 15

#: Time to connect; the rest of the time-out is for the response.
_CONNECT_TIMEOUT_S: Final = 10

_GONE: Final = 410


class DeliveryResult(Struct, frozen=True, kw_only=True):
    """The result of one try. ``result``: delivered, refused (another status than 2xx), redirected, gone (410),
    timed_out, unreachable, tls_failed, broken (the response is not HTTP), address_refused (the name leads to no public
    address) or too_late (not sent)."""

    result: str
    duration_ms: int
    status: int | None = None
    detail: str | None = None
    retry_after_ms: int | None = None


class _TooLate(Exception):
    """Another worker may hold the lease by now."""


class _PeerRefused(Exception):
    """The connection goes to an address that is not public. Not an OSError, because aiohttp wraps those."""


class EndpointClient:
    """A client for merchants' endpoints. Make it inside a running event loop."""

    def __init__(self, policy: AddressPolicy, *, timeout_ms: int, connections: int) -> None:
        self._policy = policy
        self._timeout_ms = timeout_ms
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=connections,
                keepalive_timeout=KEEPALIVE_S,
                resolver=PolicyResolver(policy),
                ssl=client_context(),  # verified for the URL's host, whatever its address
                use_dns_cache=False,  # every connection gets its own checked address
            ),
            request_class=CheckedRequest,
            timeout=aiohttp.ClientTimeout(total=timeout_ms / 1000, sock_connect=_CONNECT_TIMEOUT_S),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": f"Tallystick/{__version__}", "Content-Type": "application/json"},
            skip_auto_headers=("Accept-Encoding",),
        )

    async def send(
        self, url: str, headers: Mapping[str, str], body: bytes, *, write_by_ms: int, now: datetime
    ) -> DeliveryResult:
        """POST once. ``write_by_ms`` (monotonic): nothing is written later. Raises nothing for network failures."""
        started_ms = monotonic_ms()

        def allowed(connection: Connection) -> None:
            """A process that was frozen must not write after another worker may have taken over, nor to an unchecked
            address."""
            if monotonic_ms() > write_by_ms:
                raise _TooLate
            transport = connection.transport
            peer = transport.get_extra_info("peername") if transport is not None else None
            if not self._policy.lets_through(peer[0] if peer else ""):
                raise _PeerRefused

        with checked_before_write(allowed):
            result, status, detail, wait_ms = await self._post(url, headers, body, now)
        return DeliveryResult(
            result=result,
            duration_ms=monotonic_ms() - started_ms,
            status=status,
            detail=detail,
            retry_after_ms=wait_ms,
        )

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()

    async def _post(
        self, url: str, headers: Mapping[str, str], body: bytes, now: datetime
    ) -> tuple[str, int | None, str | None, int | None]:
        try:
            target = self._policy.url(url)
            async with self._session.post(target, data=body, headers=headers, allow_redirects=False) as response:
                # The body is not read. If it came with the head it is dropped; otherwise the connection is closed.
                return _read_status(response.status, response.headers.get("Retry-After"), now)
        except _TooLate:
            return ("too_late", None, "the lease ended before it could be sent", None)
        except (UrlRefused, _PeerRefused):
            return ("address_refused", None, "the endpoint does not resolve to a public address", None)
        except TimeoutError:  # aiohttp's own are among them
            return ("timed_out", None, f"no response within {self._timeout_ms} ms", None)
        except aiohttp.ClientConnectorCertificateError as error:
            return ("tls_failed", None, certificate_fault(error.certificate_error), None)
        except aiohttp.ClientSSLError:
            return ("tls_failed", None, NO_TLS, None)
        except aiohttp.ClientConnectorDNSError:  # one result for no address and for an internal one, as at registration
            return ("address_refused", None, "the endpoint does not resolve to a public address", None)
        except aiohttp.ClientConnectorError:
            return ("unreachable", None, "no connection could be made", None)
        except (aiohttp.ClientError, OSError, ValueError):
            return ("broken", None, "the connection broke, or the response was not HTTP", None)


def _read_status(status: int, retry_after: str | None, now: datetime) -> tuple[str, int, str | None, int | None]:
    if 200 <= status < 300:
        return ("delivered", status, None, None)
    if 300 <= status < 400:
        return ("redirected", status, "redirects are not followed", None)
    if status == _GONE:
        return ("gone", status, "the endpoint wants no more messages", None)
    return ("refused", status, f"answered with {status}", retry_after_ms(retry_after, now))
