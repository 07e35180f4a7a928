"""Structured logs on standard error, without secrets or card numbers: a JSON object a line, or words on a terminal."""

from __future__ import annotations

import logging
import os
import stat
import sys
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any, Final

import structlog

from tallystick.kit.card_data import contains_card_data, looks_like_card_number
from tallystick.kit.log_format import as_json, as_text
from tallystick.kit.log_lines import LEVELS, LOOKS_LIKE_CARD_DATA, REDACTED, SECRET_NAMES, Output
from tallystick.kit.log_writer import FILE_WRITE_BYTES, WRITE_BYTES, WRITER

__all__ = ["SECRET_NAMES", "Redactor", "configure_logging", "flush_lines", "get_logger"]

#: The component of what this module says itself.
_COMPONENT: Final = "tallystick.kit.logs"


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
            return REDACTED
        if type(value) is str:  # nearly all values
            return LOOKS_LIKE_CARD_DATA if looks_like_card_number(value) else value
        if isinstance(value, Mapping):
            return {self._safe(None, inner): self._safe(inner, held) for inner, held in value.items()}
        if isinstance(value, list | tuple):
            return [self._safe(None, held) for held in value]
        if not isinstance(value, int | float | None):
            value = repr(value)  # check the text that the log will show
        return LOOKS_LIKE_CARD_DATA if contains_card_data(value) else value


def configure_logging(level: str, secret_names: Iterable[str], log_format: str = "auto") -> None:
    """Write events of ``level`` (debug, info, warning, error) and above to standard error. ``secret_names``: the
    settings that are secrets. ``log_format``: ``json``, ``text``, or ``auto``: words on a terminal, JSON elsewhere."""
    file = sys.stderr.buffer
    as_words = log_format == "text" or (log_format == "auto" and sys.stderr.isatty())

    def render(_: Any, __: str, event: MutableMapping[str, Any]) -> bytes:
        return as_text(event) if as_words else as_json(event)

    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            Redactor(secret_names),
            # After the redaction: a time does not come from a client and needs no check.
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.BytesLoggerFactory(file=file),
        cache_logger_on_first_use=True,
    )
    Output.text = as_words

    def write(lines: bytes) -> None:
        file.write(lines)
        file.flush()

    WRITER.open(LEVELS[level], write, _say_lost, FILE_WRITE_BYTES if _is_a_file(file) else WRITE_BYTES)


def _is_a_file(file: Any) -> bool:
    try:
        return stat.S_ISREG(os.fstat(file.fileno()).st_mode)
    except (OSError, ValueError):  # such as what a test has in its place
        return False


def flush_lines() -> None:
    """Before a process ends: write the lines that are queued."""
    WRITER.flush()


def get_logger(name: str) -> Any:
    """A logger whose lines carry ``name``."""
    return structlog.get_logger(component=name)


def _say_lost(lines: int) -> None:
    get_logger(_COMPONENT).warning("log lines lost", lines=lines)
