"""Answers of providers, noted as the connection notes them, for providers that are no HTTP servers."""

from __future__ import annotations

from collections.abc import Mapping

from tallystick.providers.heard import hearing


def hear(status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
    """The provider answered this to the request that is under way."""
    heard = hearing()
    heard.begins(status, headers or {"content-type": "application/json"}, bytearray(body))
    heard.ends()
