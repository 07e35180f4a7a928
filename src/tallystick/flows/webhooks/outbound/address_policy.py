"""Which addresses a merchant's endpoint may have: public ones only (OWASP, "Server Side
Request Forgery Prevention Cheat Sheet").

A name is resolved once, all of its addresses must be public, and the connection goes to exactly those addresses: there
is no second lookup that could return another one (DNS rebinding).
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any, Final

from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from tallystick.domain.errors import TallystickError
from tallystick.kit.clock import monotonic_ms

#: Longer than any legitimate URL, and accepted by common servers and proxies.
MAX_URL_CHARS: Final = 2_048

#: RFC 1035 section 2.3.4.
_MAX_HOST_CHARS: Final = 253

#: Ports below this belong to other protocols.
_FIRST_FREE_PORT: Final = 1_024

#: One thread for each name that is being resolved; a slow name server blocks one of them.
_LOOKUP_THREADS: Final = 64

#: Long enough for a resolver's second try (resolv.conf's default time-out is 5 s).
LOOKUP_TIMEOUT_S: Final = 6.0

#: How exactly a refusal of an address tells its time. A name server of the platform's network finds its own names
#: sooner than it learns that there is no such name: both take less than this.
REFUSED_STEP_MS: Final = 500

#: IANA IPv4 Special-Purpose Address Registry, the entries that are not globally reachable; and multicast (RFC 5771).
_CLOSED_IPV4: Final = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",  # this network
            "10.0.0.0/8",  # private
            "100.64.0.0/10",  # carriers' shared
            "127.0.0.0/8",  # loopback
            "169.254.0.0/16",  # link-local, clouds' metadata among it
            "172.16.0.0/12",  # private
            "192.0.0.0/24",  # IETF protocol assignments
            "192.0.2.0/24",  # documentation
            "192.88.99.0/24",  # 6to4 relays
            "192.168.0.0/16",  # private
            "198.18.0.0/15",  # benchmarks
            "198.51.100.0/24",  # documentation
            "203.0.113.0/24",  # documentation
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, broadcast
        ),
    )
)

#: Only this is global unicast (IANA IPv6 Global Unicast Address Assignments). Outside of it lie loopback, IPv4-mapped,
#: NAT64, unique local, link-local and multicast.
_OPEN_IPV6: Final = IPv6Network("2000::/3")

#: Exceptions within it: not globally reachable, or carrying an IPv4 address.
_CLOSED_IPV6: Final = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # IETF protocol assignments, Teredo among them
            "2001:db8::/32",  # documentation
            "2002::/16",  # 6to4
            "3fff::/20",  # documentation
        ),
    )
)

#: The interface identifiers of ISATAP (RFC 5214 section 6.1), which carry an IPv4 address as well.
_ISATAP: Final = (0x00005EFE, 0x02005EFE)

#: What WHATWG's URL standard ("ends in a number") reads as an IPv4 address; ours must be in four plain decimals.
_ENDS_IN_NUMBER: Final = re.compile(r"(?:^|\.)(?:[0-9]+|0[xX][0-9a-fA-F]*)\.?$")

#: User information in front of a host, even an empty one.
_USER: Final = re.compile(r"[^:]*://[^/?#]*@")

Lookup = Callable[[str, int], Sequence[tuple[Any, ...]]]

_THREADS: Final = ThreadPoolExecutor(_LOOKUP_THREADS, thread_name_prefix="webhook-lookup")


class UrlRefused(TallystickError):
    """The URL is not allowed as an endpoint. ``code`` is stable; the message never repeats input."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class AddressRefused(OSError):
    """The name resolves to an address that is not public. An OSError, like other lookup errors."""


def coarse_ms(elapsed_ms: int) -> int:
    """What a merchant is told of how long a refused address took: whole steps, one at least."""
    return -(-max(elapsed_ms, 1) // REFUSED_STEP_MS) * REFUSED_STEP_MS


async def wait_coarsely(started_ms: int) -> None:
    """Wait until as long has passed as is told: a merchant has a clock too."""
    elapsed_ms = monotonic_ms() - started_ms
    await asyncio.sleep((coarse_ms(elapsed_ms) - elapsed_ms) / 1_000)


def is_public(address: str) -> bool:
    """Whether ``address`` (a literal without brackets) is public."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, IPv4Address):
        return not any(parsed in network for network in _CLOSED_IPV4)
    return _is_public_ipv6(parsed)


def _is_public_ipv6(address: IPv6Address) -> bool:
    if address.scope_id is not None or address not in _OPEN_IPV6:
        return False
    carries_ipv4 = (int(address) >> 32) & 0xFFFFFFFF in _ISATAP
    return not carries_ipv4 and not any(address in network for network in _CLOSED_IPV6)


class AddressPolicy:
    """Which URLs and addresses are allowed. ``allow_private`` also allows plain http and every address, for
    development. ``lookup`` is ``socket.getaddrinfo`` outside of tests."""

    def __init__(self, *, allow_private: bool, lookup: Lookup | None = None) -> None:
        self._allow_private = allow_private
        self._lookup = lookup or _getaddrinfo
        self._under_way: dict[tuple[str, int], asyncio.Task[list[tuple[Any, ...]]]] = {}

    @property
    def allows_private(self) -> bool:
        """Whether private addresses are allowed."""
        return self._allow_private

    def url(self, text: str) -> URL:
        """The URL, if its syntax is allowed. Raises UrlRefused."""
        if len(text) > MAX_URL_CHARS or not text.isascii() or not text.isprintable() or " " in text or "\\" in text:
            raise UrlRefused("invalid_url", f"must be a URL of at most {MAX_URL_CHARS} ASCII characters")
        try:
            url = URL(text)
            host, port = url.host, url.port
        except ValueError:
            raise UrlRefused("invalid_url", "must be a URL") from None
        if url.scheme != "https" and not (self._allow_private and url.scheme == "http"):
            also = " or http://" if self._allow_private else ""
            raise UrlRefused("https_required", f"must begin with https://{also}")
        if not host or port is None or len(host) > _MAX_HOST_CHARS:
            raise UrlRefused("invalid_url", "must name a host")
        if _USER.match(text) or "#" in text:
            raise UrlRefused("invalid_url", "must have no user, password or fragment")
        self._check_place(host, port)
        return url

    def _check_place(self, host: str, port: int) -> None:
        literal = ":" in host
        if not literal and _ENDS_IN_NUMBER.search(host):
            try:
                literal = str(IPv4Address(host)) == host
            except ValueError:
                literal = False
            if not literal:
                raise UrlRefused("invalid_url", "must write an IPv4 address as four decimal numbers")
        if self._allow_private:
            return
        if literal and not is_public(host):
            raise UrlRefused("address_refused", "must resolve to a public address")
        if port != 443 and port < _FIRST_FREE_PORT:
            raise UrlRefused("port_refused", f"must use port 443, or one from {_FIRST_FREE_PORT} on")

    async def check(self, text: str) -> None:
        """The URL, if its syntax and its current addresses are allowed: for registration. Raises UrlRefused, with one
        code for a name that does not resolve and for one that leads inside: two would tell which internal names exist,
        and so would two times.
        """
        url, started_ms = self.url(text), monotonic_ms()
        try:
            await self.addresses(url.host or "", url.port or 0)
        except OSError:  # AddressRefused among them
            if not self._allow_private:
                await wait_coarsely(started_ms)
            raise UrlRefused("address_refused", "must resolve to a public address") from None

    async def addresses(self, host: str, port: int) -> list[tuple[Any, ...]]:
        """The addresses of the host, as from ``getaddrinfo``; all are public. Raises AddressRefused if any is not, and
        OSError if the name does not resolve in time."""
        key = (host, port)
        task = self._under_way.get(key)
        if task is None:  # one lookup at a time for each name: a slow one occupies one thread
            task = asyncio.create_task(self._look_up(host, port))
            self._under_way[key] = task
            task.add_done_callback(lambda done: self._looked_up(key, done))
        try:
            found = await asyncio.wait_for(asyncio.shield(task), LOOKUP_TIMEOUT_S)
        except TimeoutError:
            raise OSError("the lookup timed out") from None
        if not all(self.lets_through(address[4][0]) for address in found):
            raise AddressRefused("not a public address")
        return found

    def lets_through(self, address: str) -> bool:
        """Whether a connection to this address may be used."""
        return self._allow_private or is_public(address)

    async def _look_up(self, host: str, port: int) -> list[tuple[Any, ...]]:
        try:
            found = await asyncio.get_running_loop().run_in_executor(_THREADS, self._lookup, host, port)
        except UnicodeError as error:  # a label that is empty or too long
            raise OSError("no such name") from error
        if not found:
            raise OSError("no address")
        return list(found)

    def _looked_up(self, key: tuple[str, int], task: asyncio.Task[Any]) -> None:
        self._under_way.pop(key, None)
        if not task.cancelled():
            task.exception()  # retrieved: the caller that waited may have gone


class PolicyResolver(AbstractResolver):
    """Gives aiohttp only the addresses that the policy allows."""

    def __init__(self, policy: AddressPolicy) -> None:
        self._policy = policy

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Raises what ``AddressPolicy.addresses`` raises."""
        found = await self._policy.addresses(host, port)
        return [
            ResolveResult(
                hostname=host, host=address[0], port=port, family=kind, proto=protocol, flags=socket.AI_NUMERICHOST
            )
            for kind, _, protocol, _, address in found
            if family in (socket.AF_UNSPEC, kind)
        ]

    async def close(self) -> None:
        """Nothing to close."""


def _getaddrinfo(host: str, port: int) -> Sequence[tuple[Any, ...]]:
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
