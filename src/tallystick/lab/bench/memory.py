"""Private memory of process trees, from Linux."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil

from tallystick.domain.errors import TallystickError

#: Memory of a process alone: no page of a file, and none that is shared, like the database's buffers.
_FIELD: Final = "RssAnon:"

#: They come, take up to ``maintenance_work_mem`` for a while, and go.
_PASSING: Final = "autovacuum worker"

_KB: Final = 1_024


class NoMemoryFigures(TallystickError):
    """The system has no ``/proc/PID/status`` with RssAnon: it is not Linux."""


def private_bytes(root_pid: int) -> int:
    """RssAnon of a process and its descendants, autovacuum's workers left out. Raises NoMemoryFigures."""
    if not Path("/proc/self/status").exists():
        raise NoMemoryFigures("/proc/PID/status is not there")
    return sum(_of(process) for process in _tree(root_pid))


def _tree(root_pid: int) -> Iterator[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        root = psutil.Process(root_pid)
        yield root
        yield from root.children(recursive=True)


def _of(process: psutil.Process) -> int:
    """0 for a process that has just ended."""
    with suppress(psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
        if any(_PASSING in part for part in process.cmdline()):
            return 0
        for line in Path(f"/proc/{process.pid}/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith(_FIELD):
                return int(line.split()[1]) * _KB
    return 0
