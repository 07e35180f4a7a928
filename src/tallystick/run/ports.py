"""Addresses of this machine's servers, and whether a port is free."""

from __future__ import annotations

import socket
from typing import Final

from tallystick.domain.errors import TallystickError

#: The test acquirer has no authentication, so it listens on loopback only.
SIMULATOR_HOST: Final = "127.0.0.1"


class AddressInUse(TallystickError):
    """The address cannot be listened on; the message says why."""


def http_address(host: str, port: int) -> str:
    """The URL at which a client on this machine reaches a server that listens on ``host``."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"


def require_free_port(host: str, port: int) -> None:
    """Raise AddressInUse if something listens there already. Without this check a server that shares its port among
    processes would silently share it with another program."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
    except OSError as error:
        raise AddressInUse(f"cannot listen on {host} port {port}: {error.strerror or error}") from error
