"""Structured logs: one JSON object a line on standard error, with no secret and nothing like a card number in it."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, Final

import msgspec
import structlog

from tallystick.kit.card_data import contains_card_data, looks_like_card_number

_SECRET_KEYS: Final = frozenset(
    {
        "adyen_api_key",
        "adyen_hmac_keys",
        "authorization",
        "api_key",
        "client_secret",
        "password",
        "secret",
        "stripe_api_key",
        "stripe_webhook_secrets",
        "token",
    }
)
_REDACTED: Final = "[redacted]"
_LOOKS_LIKE_CARD_DATA: Final = "[refused: looks like card data]"

_ENCODER: Final = msgspec.json.Encoder(enc_hook=repr)


def redact(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace secrets by name, at any depth, and any value that holds what looks like a card number."""
    for key, value in event.items():
        event[key] = _safe(key, value)
    return event


def _safe(key: object, value: Any) -> Any:
    if isinstance(key, str) and key.lower() in _SECRET_KEYS:
        return _REDACTED
    if type(value) is str:  # nearly all of them
        return _LOOKS_LIKE_CARD_DATA if looks_like_card_number(value) else value
    if isinstance(value, Mapping):
        return {_safe(None, inner): _safe(inner, held) for inner, held in value.items()}
    if isinstance(value, list | tuple):
        return [_safe(None, held) for held in value]
    if not isinstance(value, int | float | None):
        value = repr(value)  # what the log will say, so that this is what is looked at
    return _LOOKS_LIKE_CARD_DATA if contains_card_data(value) else value


def _render(_: Any, __: str, event: MutableMapping[str, Any]) -> bytes:
    return _ENCODER.encode(event)


def configure_logging(level: str) -> None:
    """Write events of ``level`` (debug, info, warning, error) and above to standard error."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            redact,
            # After the look at the values: a time is none of the client's.
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.BytesLoggerFactory(file=sys.stderr.buffer),
        cache_logger_on_first_use=True,
    )


def get_logger(name: str) -> Any:
    """A logger whose lines carry ``name``."""
    return structlog.get_logger(component=name)
