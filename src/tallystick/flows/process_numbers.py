"""The numbers of one process: what it counted is read here, with the levels of its queues, circuits and clocks."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final, get_args

import msgspec

from tallystick import __version__
from tallystick.domain.measures import (
    CIRCUIT,
    CLOCK_SKEW,
    CLOCKS_APART,
    IN_FLIGHT,
    JOURNAL_QUEUE,
    MEASURES,
    PAUSE,
    PROCESSES,
)
from tallystick.flows.latencies import Latencies
from tallystick.flows.rates import WRITE_EVERY_MS, Rates
from tallystick.flows.runtime import Runtime
from tallystick.kit.metrics import Reading, read
from tallystick.kit.rounds import Rounds, run_rounds
from tallystick.providers.port import CircuitState

#: How often a process leaves its counts for the listener: what a scrape shows is at most this old.
PUBLISH_EVERY_MS: Final = 1_000

#: What a file of counts is called, beside its process's number.
SUFFIX: Final = ".counts"

_STATES: Final = get_args(CircuitState)
_ENCODE: Final = msgspec.msgpack.Encoder().encode
_DECODE: Final = msgspec.msgpack.Decoder(Reading).decode


def numbers_of(runtime: Runtime, role: str) -> Reading:
    """Everything that this process counted, and its levels now."""
    PROCESSES.clear()
    PROCESSES[role, __version__] = 1
    JOURNAL_QUEUE[()] = runtime.journal.depth()
    IN_FLIGHT[()] = runtime.flows.count
    for name, provider in runtime.providers.items():
        for state in _STATES:
            CIRCUIT[name, state] = float(provider.circuit == state)
        PAUSE[name,] = runtime.pauses.left_ms(name) / 1_000
    for reading in runtime.clocks.readings():
        CLOCK_SKEW[reading.clock,] = reading.skew_ms / 1_000
        CLOCKS_APART[reading.clock,] = float(reading.beyond_margin)
    return read(MEASURES)


class ProcessNumbers:
    """One process's numbers, read once a second: for a listener in this process, or in a file for one of its host. The
    file stays when the process ends, however it ends: what it counted is not forgotten."""

    def __init__(self, runtime: Runtime, role: str, directory: str | None = None) -> None:
        self._runtime = runtime
        self._role = role
        self._file = None if directory is None else Path(directory) / f"{os.getpid()}{SUFFIX}"
        self.latest = numbers_of(runtime, role)

    async def read(self) -> None:
        """Read the numbers as they are. Raises OSError where the file cannot be written; its reader sees it whole."""
        self.latest = numbers_of(self._runtime, self._role)
        if self._file is not None:
            draft = self._file.with_suffix(".draft")
            draft.write_bytes(_ENCODE(self.latest))
            draft.replace(self._file)

    async def read_last(self) -> None:
        """The same when a process ends: its directory may be gone by then."""
        with suppress(OSError):
            await self.read()


def published_in(directory: Path) -> Mapping[int, Reading]:
    """What processes have published, by their number. A file that cannot be read is left out: it comes again."""
    found = {}
    for file in sorted(directory.glob(f"*{SUFFIX}")):
        try:
            found[int(file.stem)] = _DECODE(file.read_bytes())
        except (OSError, ValueError, msgspec.DecodeError):
            continue
    return found


@asynccontextmanager
async def counted_process(runtime: Runtime, role: str, directory: str | None = None) -> AsyncIterator[ProcessNumbers]:
    """Reads this process's numbers once a second, and adds its rates to the record; leaving does both once more."""
    numbers, stop = ProcessNumbers(runtime, role, directory), asyncio.Event()
    rates, latencies = Rates(runtime.stores.rates), Latencies(runtime.stores.trends)
    rounds = (
        Rounds("process numbers", PUBLISH_EVERY_MS, numbers.read, finish=numbers.read_last),
        Rounds("rates", WRITE_EVERY_MS, rates.write, finish=rates.write_last, watch=runtime.outage),
        Rounds("latencies", WRITE_EVERY_MS, latencies.write, finish=latencies.write_last, watch=runtime.outage),
    )
    running = asyncio.create_task(run_rounds(rounds, stop), name="process-numbers")
    try:
        yield numbers
    finally:
        stop.set()
        await running
