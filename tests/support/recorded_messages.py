"""What merchants are told of every life of ``tests/guarantees/golden/table.py``, as it was recorded once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

FILE: Final = Path(__file__).parents[1] / "guarantees/golden/messages.json"

#: Of a life, in their order.
Messages = list[dict[str, Any]]


def recorded() -> dict[str, dict[str, Messages]]:
    """What the file says: part -> name of a life -> its messages."""
    found: dict[str, dict[str, Messages]] = json.loads(FILE.read_text("utf-8"))
    return found
