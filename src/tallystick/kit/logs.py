"""Structured logs: one JSON object a line on standard error, without secrets or card numbers."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any, Final

import msgspec
import structlog

from tallystick.kit.card_data import contains_card_data, looks_like_card_number

#: Names of secrets that do not come from the settings: headers, and fields of providers' answers.
SECRET_NAMES: Final = frozenset({"authorization", "api_key", "client_secret", "password", "secret", "token"})

_REDACTED: Final = "[redacted]"
_LOOKS_LIKE_CARD_DATA: Final = "[refused: looks like card data]"

_ENCODER: Final = msgspec.json.Encoder(enc_hook=repr)


class Redactor:
    """A structlog processor. It replaces the values of secrets, by name and at any depth, and any value that looks like
    it holds a card number. ``secret_names`` are redacted in addition to ``SECRET_NAMES``."""

    def __init__(self, secret_names: Iterable[str]) -> None:
        self._secret_names = SECRET_NAMES.union(name.lower() for name in secret_names)

    def __call__(self, _: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        for key, value in event.items():
            event[key] = self._safe(key, value)
        return event

    def _safe(self, key: object, value: Any) -> Any:
        if isinstance(key, str) and key.lower() in self._secret_names:
            return _REDACTED
        if type(value) is str:  # nearly all values
            return _LOOKS_LIKE_CARD_DATA if looks_like_card_number(value) else value
        if isinstance(value, Mapping):
            return {self._safe(None, inner): self._safe(inner, held) for inner, held in value.items()}
        if isinstance(value, list | tuple):
            return [self._safe(None, held) for held in value]
        if not isinstance(value, int | float | None):
            value = repr(value)  # check the text that the log will show
        return _LOOKS_LIKE_CARD_DATA if contains_card_data(value) else value


def _render(_: Any, __: str, event: MutableMapping[str, Any]) -> bytes:
    return _ENCODER.encode(event)


def configure_logging(level: str, secret_names: Iterable[str]) -> None:
    """Write events of ``level`` (debug, info, warning, error) and above to standard error. ``secret_names``: the
    settings that are secrets."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            Redactor(secret_names),
            # After the redaction: a time does not come from a client and needs no check.
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
