"""Addresses of this machine's servers, and whether a port is free."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Final

from tallystick.domain.errors import TallystickError
from tallystick.settings.fields import is_http_url
from tallystick.settings.load import Settings

#: The test acquirer has no authentication, so it listens on loopback only.
SIMULATOR_HOST: Final = "127.0.0.1"

#: In a data directory: where the test acquirer with the directory's books was last started.
SIMULATOR_URL_FILE: Final = "acquirer.url"


class AddressInUse(TallystickError):
    """The address cannot be listened on; the message says why."""


def http_address(host: str, port: int) -> str:
    """The URL at which a client on this machine reaches a server that listens on ``host``."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"


def console_address(settings: Settings) -> str:
    """The console's URL for a browser on this machine."""
    address = http_address(settings.console_host, settings.console_port)
    return address.replace("http:", "https:", 1) if settings.console_tls_certificate_file is not None else address


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


def keep_simulator_url(data_dir: Path, port: int) -> None:
    """Keep the address of the test acquirer beside its books, for the commands that ask it. Raises OSError."""
    file = data_dir / SIMULATOR_URL_FILE
    unfinished = file.with_suffix(".unfinished")
    unfinished.write_text(http_address(SIMULATOR_HOST, port), encoding="utf-8")
    unfinished.replace(file)


def kept_simulator_url(data_dir: Path) -> str | None:
    """The address that was kept last, whether or not the acquirer runs; None without one. An acquirer that has stopped
    is better not reached than another one asked for its books."""
    try:
        url = (data_dir / SIMULATOR_URL_FILE).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return url if is_http_url(url) else None
