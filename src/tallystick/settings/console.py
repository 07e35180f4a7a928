"""Settings of the operators' console: where it listens, who may reach it, and how long people stay signed in."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

from tallystick.settings.alerts import amounts_by_currency
from tallystick.settings.fields import comma_list, flag, has_empty_part, ms, port, text, variable
from tallystick.settings.sections import Section


@dataclass(frozen=True, kw_only=True, repr=False)
class ConsoleSettings(Section):
    """The console's own listener, and its sessions."""

    title: ClassVar[str] = "Console"

    console: Annotated[bool, flag("Whether `up` and `demo` start the operators' console.")] = True
    console_host: Annotated[
        str, text("Where the console listens. Beyond loopback it needs TLS, or the proxies that end it.")
    ] = "127.0.0.1"
    console_port: Annotated[int, port("The port of the console.")] = 8402
    console_tls_certificate_file: Annotated[
        str | None, text("File with the console's certificate and its chain, in PEM; with the key it speaks TLS.")
    ] = None
    console_tls_key_file: Annotated[str | None, text("File with the certificate's private key, in PEM.")] = None
    console_proxies: Annotated[
        str | None,
        text(
            "Addresses of the proxies that end TLS before the console, between commas. Then nobody else may connect,"
            " and the last address of their X-Forwarded-For is the client's."
        ),
    ] = None
    console_allowed_hosts: Annotated[
        str | None,
        text(
            "Names that browsers may know the console by, between commas and without ports; loopback's names and the"
            " address that it listens on need not be named. Another name is refused: it may be an attacker's."
        ),
    ] = None
    console_idle_ms: Annotated[
        int,
        ms("A session ends when nobody uses it for so long: the screen of a person who has left.", ge=1_000),
    ] = 1_800_000
    console_session_ms: Annotated[
        int, ms("A session ends after this, used or not: a working day, and a sign-in each morning.", ge=1_000)
    ] = 36_000_000
    console_fresh_ms: Annotated[
        int,
        ms("Acts that move money or rights need a sign-in no older than this: who sits there may have changed.", ge=50),
    ] = 300_000

    second_person_above: Annotated[
        str | None,
        text(
            "An operator's act that moves more than this needs a second person, and so does each row of one act on many"
            " that moves more in all: minor units by currency, as in EUR=100000,JPY=100000. Of currencies that are not"
            " named any amount does. Without it none."
        ),
    ] = None
    second_person_above_a_day: Annotated[
        str | None,
        text(
            "What one operator may move alone in a day (UTC) by saying what settlement rows and entries of banks are,"
            " and by withdrawing files: minor units by currency, as in EUR=500000. An act that goes beyond it needs a"
            " second person. Of currencies that are not named any amount does. Without it a day has no bound."
        ),
    ] = None
    console_second_factor: Annotated[
        bool,
        flag("Whether operators and admins need a code of their authenticator; `demo` alone switches it off."),
    ] = True

    def faults(self) -> Iterator[str]:
        certificate, key, proxies = self.console_tls_certificate_file, self.console_tls_key_file, self.console_proxies
        if (certificate is None) != (key is None):
            yield f"{variable('console_tls_key_file')}: it and the certificate's file need each other"
        if not is_loopback(self.console_host) and certificate is None and proxies is None:
            yield (
                f"{variable('console_host')}: beyond loopback set {variable('console_tls_certificate_file')} and"
                f" {variable('console_tls_key_file')}, or {variable('console_proxies')}"
            )
        if proxies is not None and (has_empty_part(proxies) or not all(map(_is_address, comma_list(proxies)))):
            yield f"{variable('console_proxies')}: expected IP addresses between commas"
        for name in ("second_person_above", "second_person_above_a_day"):
            try:
                amounts_by_currency(getattr(self, name))
            except ValueError:
                yield f"{variable(name)}: expected amounts in minor units, as in EUR=100000,JPY=100000"
        hosts = self.console_allowed_hosts
        if hosts is not None and (has_empty_part(hosts) or any(set(host) & set("/:*@ ") for host in comma_list(hosts))):
            yield f"{variable('console_allowed_hosts')}: expected names between commas, without scheme, port and *"

    @property
    def console_is_encrypted(self) -> bool:
        """Whether browsers reach the console by https."""
        return self.console_tls_certificate_file is not None or self.console_proxies is not None


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine reaches what listens there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
