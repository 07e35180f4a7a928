"""Templates of the console, and its files."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from tallystick.interfaces.console.page import ROOT

#: Extensions of what we serve; what is not in the folder at the start is not served.
_TYPES: Final = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}

#: Under its digest a file never changes.
STATIC_CACHE: Final = "public, max-age=31536000, immutable"


class StaticFile:
    """One file of ours. ``url`` has its digest, so that browsers load it once a release."""

    def __init__(self, name: str, body: bytes) -> None:
        self.body = body
        self.media_type = _TYPES[name.rpartition(".")[2]]
        self.url = f"{ROOT}/static/{hashlib.sha256(body).hexdigest()[:12]}/{name}"


STATIC: Final[Mapping[str, StaticFile]] = {
    entry.name: StaticFile(entry.name, entry.read_bytes())
    for entry in files("tallystick.interfaces.console").joinpath("static").iterdir()
    if entry.name.rpartition(".")[2] in _TYPES
}


@functools.cache  # to compile the templates takes longer than to show them
def environment() -> Environment:
    """Templates by name, the same for all consoles of a process. Whatever they show is escaped, and a name that is
    missing is an error."""
    made = Environment(
        loader=PackageLoader("tallystick.interfaces.console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["static"] = lambda name: STATIC[name].url
    made.filters["utc"] = _utc
    return made


def _utc(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


class Templates:
    """The templates of one process."""

    def __init__(self) -> None:
        self._environment = environment()

    def render(self, template: str, context: Mapping[str, Any]) -> str:
        """One page."""
        return self._environment.get_template(template).render(context)
