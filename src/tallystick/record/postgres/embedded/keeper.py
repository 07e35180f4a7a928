"""Keeps the server of a data directory running while a long-lived process uses it.

PostgreSQL restarts what it has started itself. Nothing restarts its first process: where that is killed, or gives up,
the whole server ends. Of several processes that use one server each may watch it, and one of them starts it again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from tallystick.kit.backoff import RestartBackoff

#: How often the server is looked at: two small files of the system.
WATCH_S: Final = 0.3

Announce = Callable[[str], None]


class Server(Protocol):
    """What is kept running."""

    def runs(self) -> bool:
        """Whether it is there."""

    def revive(self) -> None:
        """Start it, unless it runs already. Raises DatabaseUnavailable."""


@contextmanager
def kept_running(server: Server, announce: Announce) -> Iterator[None]:
    """Until the end, start the server again whenever it has ended, with growing waits and without giving up. Each
    restart and each failure is one announcement."""
    stop = threading.Event()
    thread = threading.Thread(target=_keep, args=(server, announce, stop), name="database keeper", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()  # a start that is under way ends first: what it starts has to be stopped


def _keep(server: Server, announce: Announce, stop: threading.Event) -> None:
    backoff, started, failure = RestartBackoff(), time.monotonic(), ""
    while not stop.wait(WATCH_S):
        if server.runs():
            failure = ""
            continue
        wait_ms = backoff.next_ms((time.monotonic() - started) * 1000)
        announce(f"database {failure or 'exited'}; restarting in {wait_ms} ms")
        if stop.wait(wait_ms / 1000):
            return
        try:
            server.revive()
            failure = ""
        except Exception as error:  # whatever it is, the next try may meet it no more
            failure = f"could not be started ({' '.join(str(error).split())})"
        started = time.monotonic()
