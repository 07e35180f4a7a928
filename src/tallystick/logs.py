"""Structured logs: one JSON object a line on standard error, with no secret and nothing like a card number in it."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Final

import msgspec
import structlog

from tallystick.card_data import contains_card_data

_SECRET_KEYS: Final = frozenset({"authorization", "api_key", "secret", "password", "token"})

_ENCODER: Final = msgspec.json.Encoder(enc_hook=repr)


def redact(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace secrets by name, and any value that looks like it holds a card number."""
    for key, value in event.items():
        if key in _SECRET_KEYS:
            event[key] = "[redacted]"
        elif contains_card_data(value):
            event[key] = "[refused: looks like card data]"
    return event


def _render(_: Any, __: str, event: MutableMapping[str, Any]) -> bytes:
    return _ENCODER.encode(dict(event))


def configure_logging(level: str) -> None:
    """Write events of ``level`` and above to standard error."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            redact,
            _render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.BytesLoggerFactory(file=sys.stderr.buffer),
        cache_logger_on_first_use=True,
    )


def get_logger(name: str) -> Any:
    """A logger whose lines carry ``name``."""
    return structlog.get_logger(component=name)
