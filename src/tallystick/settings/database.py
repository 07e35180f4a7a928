"""Settings of the database and of the data directory."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Final

from tallystick.settings.fields import count, secret, text, variable
from tallystick.settings.sections import Section

#: A character of a role, password, host or name: one that begins another part is percent-encoded, and NUL is never one.
_OTHER: Final = r"(?:[^\x00-\x20\x7f/?#@\[\]%:,]|%(?!00)[0-9A-Fa-f]{2})"
_ANY: Final = rf"(?:{_OTHER}|[:,])"
_HOST: Final = rf"(?:\[(?:[0-9A-Za-z.:]|%[0-9A-Fa-f]{{2}})+\]|{_OTHER}*)(?::[0-9]{{0,5}})?"
_PARAMETER: Final = r"\w+=(?:[^\x00-\x20\x7f#&=%]|%(?!00)[0-9A-Fa-f]{2})*"

#: What asyncpg and libpq read alike. Of anything else one of them takes a part of the password for a host, port or
#: parameter, and names it in its error.
_DATABASE_URL: Final = re.compile(
    rf"postgres(?:ql)?://(?:{_ANY}*@)?{_HOST}(?:,{_HOST})*(?:/{_ANY}*)?(?:\?(?:{_PARAMETER}(?:&{_PARAMETER})*)?)?"
)

#: Of a URL of this form: its hosts with their ports, and the parameters that replace them.
_AUTHORITY: Final = re.compile(r"[a-z]+://(?:[^/?]*@)?([^/?]*)")
_OWN_PORT: Final = re.compile(r"(?:[^:]|\[.*\])*:([0-9]*)")
_HOSTS: Final = re.compile(r"[?&]host=([^&]*)")
_PORTS: Final = re.compile(r"[?&]port=([^&]*)")


def has_good_ports(url: str) -> bool:
    """Whether every port of a database's URL is one, and there are as many as hosts where it lists several."""
    authority = _AUTHORITY.match(url)
    hosts = authority[1].split(",") if authority else []
    own = [found[1] for host in hosts if (found := _OWN_PORT.fullmatch(host))]
    given = _PORTS.search(url)
    listed = given[1].split(",") if given else []
    named = _HOSTS.search(url)
    count = len(named[1].split(",")) if named else len(hosts)
    return all(_is_port(port) for port in (*own, *listed)) and (len(listed) < 2 or len(listed) == count)


def _is_port(text: str) -> bool:
    """The drivers take the usual one where there is none."""
    return text == "" or (text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= 65_535)


def default_data_dir() -> str:
    """Where data lives by default: /var/lib for root, the XDG data directory for a person."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return "/var/lib/tallystick"
    base = Path(os.environ.get("XDG_DATA_HOME", ""))
    if not base.is_absolute():  # unset, or to be ignored (XDG Base Directory Specification)
        base = Path("~").expanduser() / ".local" / "share"
    return str((base / "tallystick").absolute())


@dataclass(frozen=True, kw_only=True, repr=False)
class DatabaseSettings(Section):
    """The database, its users, and the keys for encryption at rest."""

    title: ClassVar[str] = "Database"

    data_dir: Annotated[str, text("Holds the embedded database, the first API key and the test acquirer's books.")] = (
        field(default_factory=default_data_dir)
    )
    database_url: Annotated[
        str | None, secret("A PostgreSQL of your own; without it the embedded one in data_dir is used.")
    ] = None
    migration_database_url: Annotated[
        str | None, secret("The schema owner's URL for migrations; without it database_url is used.")
    ] = None
    database_connections: Annotated[int, count("Connections for reads in each process.", le=1_000)] = 8
    sealing_keys: Annotated[
        str | None,
        secret(
            "Comma-separated 32-byte keys in base64 that encrypt raw webhooks and answers, endpoints' secrets, payers'"
            " next actions and providers' references that look like card numbers. The first seals (those references:"
            " the last), all open. Without it one is created in data_dir for a new database. All processes on a"
            " database need the same keys, and are not ready without them."
        ),
    ] = None

    def faults(self) -> Iterator[str]:
        for name in ("database_url", "migration_database_url"):
            url = getattr(self, name)
            if url is not None and _DATABASE_URL.fullmatch(url) is None:
                encoded = "in a role or password, spaces and /?#@[]% are percent-encoded (@ is %40)"
                yield f"{variable(name)}: expected postgresql://role:password@host:port/name; {encoded}"
            elif url is not None and not has_good_ports(url):
                yield f"{variable(name)}: expected ports from 1 to 65535, one for all hosts or one for each"
        if self.migration_database_url is not None and self.database_url is None:
            yield f"{variable('migration_database_url')}: {variable('database_url')} must be set too"
