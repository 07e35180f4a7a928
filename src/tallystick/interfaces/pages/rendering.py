"""Templates, and the headers that every page has."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

HTML: Final = b"text/html; charset=utf-8"
CSS: Final = b"text/css; charset=utf-8"

#: A page shows text and our own stylesheet. It runs nothing, sends nothing, and stands in no other page.
CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

HEADERS: Final = (
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-cache"),  # the next release has other pages under the same addresses
)

STYLESHEET: Final = files("tallystick.interfaces.pages").joinpath("templates", "style.css").read_bytes()

_CODE: Final = re.compile(r"`([^`]+)`")


def environment() -> Environment:
    """Templates by name. Whatever they show is escaped, and a name that is missing is an error."""
    made = Environment(
        loader=PackageLoader("tallystick.interfaces.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["marked"] = marked
    return made


def marked(text: str) -> Markup:
    """Text with `code` in it, as HTML."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))
