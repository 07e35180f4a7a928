"""One try at one message over HTTP. Only the status of the response is kept: its body may be anything."""

from __future__ import annotations

import errno
import ssl
import sys
from collections.abc import Mapping
from datetime import datetime
from typing import Final

import aiohttp
from aiohttp.connector import Connection
from msgspec import Struct, structs

from tallystick import __version__
from tallystick.flows.webhooks.outbound.address_policy import (
    AddressPolicy,
    AddressRefused,
    PolicyResolver,
    UrlRefused,
    coarse_ms,
)
from tallystick.flows.webhooks.outbound.retries import retry_after_ms
from tallystick.flows.webhooks.outbound.tls import NO_TLS, certificate_fault, client_context
from tallystick.kit.clock import monotonic_ms
from tallystick.providers.checked_request import CheckedRequest, checked_before_write

#: Idle connections are dropped before common servers (60-75 s) drop them.
KEEPALIVE_S: Final = 15

#: Time to connect; the rest of the time-out is for the response.
_CONNECT_TIMEOUT_S: Final = 10

#: The last moment to write where nothing is leased.
NEVER_TOO_LATE: Final = sys.maxsize

_GONE: Final = 410

#: The result for an address that is not public, or not there; its time is told coarsely.
ADDRESS_REFUSED: Final = "address_refused"

#: Failures in words, for the merchant. None repeats what the receiver said.
NO_PUBLIC_ADDRESS: Final = "the endpoint does not resolve to a public address"
CONNECTION_REFUSED: Final = "the connection was refused: nothing listens on the URL's port"
NO_CONNECTION: Final = "no connection could be made: the host or its network cannot be reached"
DISCONNECTED: Final = "the connection was closed before there was a response"
MALFORMED: Final = "the response is not HTTP"

#: Why there is no public address, for those who may know.
NOT_RESOLVED: Final = "the host's name does not resolve"
NOT_PUBLIC: Final = "the host's name resolves to an address that is not public"


class DeliveryResult(Struct, frozen=True, kw_only=True):
    """The result of one try. ``result``: one of ``try_results.TRY_RESULTS``, or too_late (not sent). ``detail``: the
    same in words, for the merchant. ``duration_ms`` is coarse where the address was refused. ``hidden``: what its
    merchant is not told, for the platform's log."""

    result: str
    duration_ms: int = 0
    status: int | None = None
    detail: str | None = None
    retry_after_ms: int | None = None
    hidden: str | None = None


class _TooLate(Exception):
    """Another worker may hold the lease by now."""


class _PeerRefused(Exception):
    """The connection goes to an address that is not public. Not an OSError, because aiohttp wraps those."""


class EndpointClient:
    """A client for merchants' endpoints. Make it inside a running event loop. ``tls``: where it was made elsewhere,
    because that takes tens of milliseconds."""

    def __init__(
        self, policy: AddressPolicy, *, timeout_ms: int, connections: int, tls: ssl.SSLContext | None = None
    ) -> None:
        self._policy = policy
        self._timeout_ms = timeout_ms
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=connections,
                keepalive_timeout=KEEPALIVE_S,
                resolver=PolicyResolver(policy),
                ssl=tls or client_context(),  # verified for the URL's host, whatever its address
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
            result = await self._post(url, headers, body, now)
        took_ms = monotonic_ms() - started_ms
        return structs.replace(result, duration_ms=coarse_ms(took_ms) if result.result == ADDRESS_REFUSED else took_ms)

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()

    async def _post(self, url: str, headers: Mapping[str, str], body: bytes, now: datetime) -> DeliveryResult:
        try:
            target = self._policy.url(url)
            async with self._session.post(target, data=body, headers=headers, allow_redirects=False) as response:
                # The body is not read. If it came with the head it is dropped; otherwise the connection is closed.
                return _read_status(response.status, response.headers.get("Retry-After"), now)
        except _TooLate:
            return _failed("too_late", "the lease ended before it could be sent")
        except (UrlRefused, _PeerRefused):
            return _failed(ADDRESS_REFUSED, NO_PUBLIC_ADDRESS)
        except aiohttp.ConnectionTimeoutError:
            return _failed("timed_out", f"no connection could be made within {_CONNECT_TIMEOUT_S} s")
        except TimeoutError:  # aiohttp's other ones are among them
            return _failed("timed_out", f"no response within {self._timeout_ms} ms")
        except aiohttp.ClientConnectorCertificateError as error:
            return _failed("tls_failed", certificate_fault(error.certificate_error))
        except aiohttp.ClientSSLError:
            return _failed("tls_failed", NO_TLS)
        except aiohttp.ClientConnectorDNSError as error:
            return self._not_resolved(error.os_error)
        except aiohttp.ClientConnectorError as error:
            refused = error.os_error.errno == errno.ECONNREFUSED
            return _failed("unreachable", CONNECTION_REFUSED if refused else NO_CONNECTION)
        except (aiohttp.ClientConnectionError, OSError):
            return _failed("disconnected", DISCONNECTED)
        except (aiohttp.ClientError, ValueError):
            return _failed("broken", MALFORMED)

    def _not_resolved(self, error: OSError) -> DeliveryResult:
        """One result for no address and for an internal one, as at registration: two would say which internal names
        exist. Where private addresses are allowed there is nothing to hide."""
        why = NOT_PUBLIC if isinstance(error, AddressRefused) else NOT_RESOLVED
        if self._policy.allows_private:
            return _failed("name_unresolved", why)
        return structs.replace(_failed(ADDRESS_REFUSED, NO_PUBLIC_ADDRESS), hidden=why)


def _failed(result: str, detail: str) -> DeliveryResult:
    return DeliveryResult(result=result, detail=detail)


def _read_status(status: int, retry_after: str | None, now: datetime) -> DeliveryResult:
    if 200 <= status < 300:
        return DeliveryResult(result="delivered", status=status)
    if 300 <= status < 400:
        return DeliveryResult(result="redirected", status=status, detail="redirects are not followed")
    if status == _GONE:
        return DeliveryResult(result="gone", status=status, detail="the endpoint wants no more messages")
    wait_ms = retry_after_ms(retry_after, now)
    return DeliveryResult(result="refused", status=status, detail=f"answered with {status}", retry_after_ms=wait_ms)
