"""``docs/guides/retries.md`` as tests read it: its table, its blocks of code, and its Python client."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Final, NamedTuple
from unittest.mock import patch

GUIDE: Final = Path(__file__).parents[2] / "docs" / "guides" / "retries.md"

_ROW: Final = re.compile(r"^\| (\d{3}) `(\w+)` \| (.*?) \| (.*?) \| (.*?) \|$", re.MULTILINE)


class Row(NamedTuple):
    """One error code's row of the table."""

    status: int
    happened: str
    client: str
    shopper: str


def text() -> str:
    """The page."""
    return GUIDE.read_text("utf-8")


def rows() -> dict[str, Row]:
    """The rows of error codes, in their order."""
    return {code: Row(int(status), *cells) for status, code, *cells in _ROW.findall(text())}


def blocks(language: str) -> list[str]:
    """The page's blocks in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text(), re.DOTALL | re.MULTILINE)


def client(url: str, api_key: str) -> dict[str, Any]:
    """What the page's first Python block defines, for this address: ``api``, ``instruct``, ``shown``."""
    names: dict[str, Any] = {"__name__": "retries_guide"}
    with patch.dict(os.environ, TALLYSTICK_URL=url, TALLYSTICK_API_KEY=api_key, NO_PROXY="*"):
        exec(compile(blocks("python")[0], str(GUIDE), "exec"), names)
    return names
