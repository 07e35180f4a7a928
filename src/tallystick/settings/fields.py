"""How a setting is described: its reason, its unit, its bounds, and whether it is a secret."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

#: The prefix of every variable of the platform.
PREFIX: Final = "TALLYSTICK_"


def text(reason: str) -> Meta:
    return Meta(description=reason, extra={"unit": "text"})


def secret(reason: str) -> Meta:
    """Text that logs redact by the setting's name."""
    return Meta(description=reason, extra={"unit": "text", "secret": True})


def provider_map(reason: str) -> Meta:
    """Text as in ``stripe=20,adyen=30``; ``load_settings`` refuses a name that no connector has."""
    return Meta(description=reason, extra={"unit": "text", "by_provider": True})


def flag(reason: str) -> Meta:
    return Meta(description=reason, extra={"unit": "flag"})


def percent(reason: str) -> Meta:
    return Meta(description=reason, ge=1, le=100, extra={"unit": "percent"})


def ms(reason: str, *, ge: int = 0, le: int = 31_536_000_000) -> Meta:
    return Meta(description=reason, ge=ge, le=le, extra={"unit": "ms"})


def count(reason: str, *, ge: int = 1, le: int = 10_000_000) -> Meta:
    return Meta(description=reason, ge=ge, le=le, extra={"unit": "count"})


def port(reason: str) -> Meta:
    return Meta(description=reason, ge=1, le=65_535, extra={"unit": "port"})


#: Of a setting that may be left out: bounds belong to the number, and the reason to the setting.
PortNumber = Annotated[int, Meta(ge=1, le=65_535)]


def optional_port(reason: str) -> Meta:
    """For ``PortNumber | None``."""
    return Meta(description=reason, extra={"unit": "port"})


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + name.upper()


def comma_list(text: str) -> tuple[str, ...]:
    """The parts of ``a, b``; empty parts are dropped."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def has_empty_part(text: str) -> bool:
    """Whether a comma-separated list has an empty part."""
    return not all(part.strip() for part in text.split(","))


def by_provider(text: str | None) -> dict[str, str]:
    """``stripe=20,adyen=30`` as a table. Raises ValueError with what is expected."""
    table: dict[str, str] = {}
    for part in filter(None, (text or "").split(",")):
        name, separator, value = (piece.strip() for piece in part.partition("="))
        if not (name and separator and value):
            raise ValueError("expected provider=value,provider=value")
        if name in table:
            raise ValueError("each provider may be named once")
        table[name] = value
    return table


def is_http_url(text: str) -> bool:
    """Whether the text begins as an HTTP URL does."""
    return text.startswith(("http://", "https://"))
