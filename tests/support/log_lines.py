"""A log as its readers take it: each line one JSON object."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tallystick.kit.log_lines import LEVELS
from tallystick.kit.log_writer import WRITER


def log_lines(text: str) -> list[dict[str, Any]]:
    """Every line of a log. Fails on a line that is no JSON object."""
    lines = []
    for line in text.splitlines():
        try:
            found = json.loads(line)
        except ValueError as error:
            raise AssertionError(f"no JSON: {line!r}") from error
        assert isinstance(found, dict), line
        lines.append(found)
    return lines


class Said:
    """What a block said, oldest first, once the block has ended; ``look`` while it runs."""

    def __init__(self) -> None:
        self._written: list[bytes] = []

    def write(self, lines: bytes) -> None:
        self._written.append(lines)

    @property
    def lines(self) -> list[dict[str, Any]]:
        WRITER.flush()
        return log_lines(b"".join(self._written).decode())

    def of(self, event: str, **fields: Any) -> list[dict[str, Any]]:
        """The lines of one kind, with these values."""
        return [line for line in self.lines if line["event"] == event and fields.items() <= line.items()]

    def one(self, event: str, **fields: Any) -> dict[str, Any]:
        """The only line of one kind with these values."""
        (line,) = self.of(event, **fields)
        return line


@contextmanager
def lines_said(level: str = "debug") -> Iterator[Said]:
    """The lines of this process that are queued, whatever it is configured to write."""
    said, before = Said(), (WRITER.threshold, WRITER._write, WRITER._say_lost)
    WRITER.open(LEVELS[level], said.write, lambda lines: pytest.fail(f"{lines} lines were lost"))
    try:
        yield said
    finally:
        WRITER.open(*before)
