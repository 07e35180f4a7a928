"""Writes lines off the path of the work that they are about: a bounded queue, and a thread that renders and writes.

To put a line there takes a microsecond, and never waits: lines that meet a full queue are counted, and one line says
how many they were. A process that ends writes what is queued; one that is killed loses its last lines, and nothing of
the record.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Protocol

#: Lines that wait: a second of the busiest process. Each is a tuple of a few hundred bytes.
QUEUE_LIMIT: Final = 10_000

#: From the first line to the look at the queue: those of this time are written together, and the thread wakes seldom.
GATHER_S: Final = 0.1

#: Bytes of one write: a pipe takes so much at once (PIPE_BUF on Linux), whatever other processes write to it. After
#: each write the thread waits for the interpreter again, so a file, which has no such limit, gets more.
WRITE_BYTES: Final = 4_096
FILE_WRITE_BYTES: Final = 65_536

#: How long an ending process waits for a reader that takes no more.
LAST_WRITE_S: Final = 1.0

#: More than any level: no line is wanted.
NOTHING: Final = 1_000

Values = tuple[Any, ...]


class Renderer(Protocol):
    """A kind of line, which knows how its values are written."""

    def written(self, at_ns: int, values: Values) -> bytes:
        """The whole line, without its newline. Raises nothing."""


class LineWriter:
    """One for each process. ``threshold``: lines of a lower level are not wanted."""

    def __init__(self, limit: int = QUEUE_LIMIT) -> None:
        self.threshold = NOTHING
        self._limit = limit
        self._write: Callable[[bytes], object] | None = None
        self._say_lost: Callable[[int], None] | None = None
        self._write_bytes = WRITE_BYTES
        self.reset()

    def reset(self) -> None:
        """Begin anew, as in a forked process: it has not the thread of its parent, and what is queued is its parent's
        to write."""
        self._queue: deque[tuple[Renderer, int, Values]] = deque()
        self._overflowed = 0  # lines that met a full queue
        self._unwritten = 0  # lines that nobody took
        self._lost_said = 0
        self._busy = False  # the thread knows that there is something
        self._wake = threading.Event()
        self._writing = threading.Lock()
        self._thread: threading.Thread | None = None

    def open(
        self,
        threshold: int,
        write: Callable[[bytes], object] | None,
        say_lost: Callable[[int], None] | None,
        write_bytes: int = WRITE_BYTES,
    ) -> None:
        """From now on lines of ``threshold`` and above go to ``write``, in whole lines. ``say_lost`` writes the line
        about lines that were lost."""
        self.flush()
        self.threshold, self._write, self._say_lost = threshold, write, say_lost
        self._write_bytes = write_bytes

    def put(self, renderer: Renderer, values: Values) -> None:
        """Queue one line with the time of now. Never waits, and raises nothing."""
        queue = self._queue
        if len(queue) >= self._limit:
            self._overflowed += 1
            return
        queue.append((renderer, time.time_ns(), values))
        if not self._busy:
            self._begin()

    def flush(self) -> None:
        """Write what is queued now. Returns after a second where nobody reads it."""
        if self._queue and self._writing.acquire(timeout=LAST_WRITE_S):
            try:
                self._drain()
            finally:
                self._writing.release()

    def _begin(self) -> None:
        self._busy = True
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
            self._thread.start()
        self._wake.set()

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            while self._queue:
                time.sleep(GATHER_S)
                with self._writing:
                    self._drain()
            self._busy = False
            if self._queue:  # put between the two looks, by who still saw the thread busy
                self._busy = True
                self._wake.set()

    def _drain(self) -> None:
        """Everything that is queued now, in whole lines, so many bytes a write."""
        chunk: list[bytes] = []
        size = 0
        for _ in range(len(self._queue)):
            renderer, at_ns, values = self._queue.popleft()
            line = renderer.written(at_ns, values)
            if chunk and size + len(line) + 1 > self._write_bytes:
                self._put_out(chunk)
                chunk, size = [], 0
            chunk.append(line)
            size += len(line) + 1
        if chunk:
            self._put_out(chunk)
        self._report_lost()

    def _report_lost(self) -> None:
        lost = self._overflowed + self._unwritten
        if lost == self._lost_said or self._say_lost is None:
            return
        with suppress(OSError, ValueError):  # it is said later
            self._say_lost(lost - self._lost_said)
            self._lost_said = lost

    def _put_out(self, lines: list[bytes]) -> None:
        """A reader that is gone takes no lines, and no money stops for it."""
        if self._write is None:
            return
        try:
            self._write(b"\n".join(lines) + b"\n")
        except (OSError, ValueError):
            self._unwritten += len(lines)


#: Of this process.
WRITER: Final = LineWriter()
os.register_at_fork(after_in_child=WRITER.reset)
atexit.register(WRITER.flush)
