"""A signal to end that reaches a worker process of granian before it serves."""

from __future__ import annotations

import os
import signal
from typing import Final

#: What granian takes for an end.
_ENDING: Final = (signal.SIGTERM, signal.SIGINT)


def end_workers_that_start() -> None:
    """From now on a worker that gets a signal to end while it starts ends at once: no request is with it yet.

    A worker begins as a copy of granian's main process, with the main process's handlers until it has its own. In
    between a signal would be lost, and the worker be killed when the drain time-out is over.
    """
    os.register_at_fork(after_in_child=_end_by_signals)


def _end_by_signals() -> None:
    for number in _ENDING:
        signal.signal(number, signal.SIG_DFL)
