"""The OpenAPI document of this release, made once in a process: it takes a fifth of a second, and several files of the
tests read it while they are collected."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from tallystick.interfaces.api.openapi import openapi_document


@cache
def published_bytes() -> bytes:
    """The newest version's, as it is published."""
    return openapi_document()


def published_document() -> dict[str, Any]:
    """The same, read: a copy of one's own."""
    read: dict[str, Any] = json.loads(published_bytes())
    return read
