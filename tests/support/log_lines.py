"""A log as its readers take it: each line one JSON object."""

from __future__ import annotations

import json
from typing import Any


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
