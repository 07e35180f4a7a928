"""How long this disk takes to make a few kilobytes durable, beside a load: what no commit can be faster than."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from types import TracebackType
from typing import Final, Self

from tallystick.lab.bench.latency import Latency, latency

#: One page of the log, as a small commit writes.
WRITE_BYTES: Final = 8_192

#: Ten a second are few beside the hundreds of a database under load.
EVERY_S: Final = 0.1


class SyncProbe:
    """Writes and syncs a file of its own while the context is open, on the file system where databases are made."""

    def __init__(self) -> None:
        self._times: list[float] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._probe, daemon=True)

    def latency(self) -> Latency:
        """Of all that were made. Raises ValueError for no write at all."""
        return latency(self._times)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _probe(self) -> None:
        page = bytes(WRITE_BYTES)
        with tempfile.TemporaryFile(prefix="tsf-", buffering=0) as file:
            while True:
                started = time.perf_counter()
                file.write(page)
                os.fdatasync(file.fileno())
                self._times.append(time.perf_counter() - started)
                if self._stop.wait(EVERY_S):
                    return
