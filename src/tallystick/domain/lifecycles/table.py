"""How a lifecycle is written down: ``state -> {event: next state}``.

The state before a subject exists is ``NEW``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

NEW: Final = "new"


Table = Mapping[str, Mapping[str, str]]
