"""Where things listen on this machine, and whether somebody else does already."""

from __future__ import annotations

import socket
from typing import Final

from tallystick.domain.errors import TallystickError

#: The test acquirer moves no real money, but its door has no lock either: loopback only.
SIMULATOR_HOST: Final = "127.0.0.1"


class AddressInUse(TallystickError):
    """Nothing can listen there; the message says why."""


def http_address(host: str, port: int) -> str:
    """Where a client on this machine reaches a server that listens on ``host``."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"


def require_free_port(host: str, port: int) -> None:
    """Raises AddressInUse where something listens there already. Asked before: a server that shares its port among
    processes would silently share it with a stranger too."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen(1)
    except OSError as error:
        raise AddressInUse(f"cannot listen on {host} port {port}: {error.strerror or error}") from error
