"""One real PostgreSQL for all suites, and how deep they look."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple

DEEP = os.environ.get("TALLYSTICK_TEST_DEPTH") == "deep"


class Database(NamedTuple):
    """A migrated database: as its owner, who may break things by hand, and as the application."""

    owner_url: str
    app_url: str


NewDatabase = Callable[[], Database]
