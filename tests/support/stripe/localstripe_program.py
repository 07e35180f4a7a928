"""localstripe as it is, on loopback alone, and without the copy of all its books that it writes to one place in /tmp at
every change: suites that run at once would share it, and it grows.

``main()`` serves on the port that is its argument.
"""

from __future__ import annotations

import sys

from aiohttp import web
from localstripe.resources import Store  # type: ignore[import-untyped]  # it ships no types
from localstripe.server import app  # type: ignore[import-untyped]


def main() -> None:
    """Until it is killed."""
    Store.dump_to_disk = lambda self: None
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)
