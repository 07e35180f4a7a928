"""How a setting is described: its reason, its unit, its bounds."""

from __future__ import annotations

from msgspec import Meta


def text(reason: str) -> Meta:
    return Meta(description=reason, extra={"unit": "text"})


def ms(reason: str, *, ge: int = 0, le: int = 31_536_000_000) -> Meta:
    return Meta(description=reason, ge=ge, le=le, extra={"unit": "ms"})


def count(reason: str, *, ge: int = 1, le: int = 10_000_000) -> Meta:
    return Meta(description=reason, ge=ge, le=le, extra={"unit": "count"})


def port(reason: str) -> Meta:
    return Meta(description=reason, ge=1, le=65_535, extra={"unit": "port"})
