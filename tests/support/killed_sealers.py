"""A program that seals a record in processes that are killed, each at another statement. It forks, so that what takes
long at the start of a process is done once.

``python -m tests.support.killed_sealers URL 3,17,29``: for each number, things of several merchants are written, and
two processes seal them at once. One is killed with SIGKILL before its statement of that number, BEGIN and COMMIT
counted; the other one goes on until nothing is left.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import Any, Final

import asyncpg

from tallystick.oversight.audit import seal
from tallystick.record.postgres.connections import open_pool
from tallystick.record.postgres.number_reads import Watch
from tests.support.audit import SETTINGS, sealer_of

#: Things of one try: more than a round takes at once.
_WRITTEN: Final = 10
_AT_ONCE: Final = 7

_ANSWERS: Final = (
    "INSERT INTO response (merchant_id, idempotency_key, status, body, at)"
    " SELECT 'm' || n % 3, $1 || '-' || n, 200, 'x', now() FROM generate_series(1, $2::int) n"
)


def _die_at(number: int) -> None:
    """This process is killed before that statement, counted from now on."""
    left = [number]

    def dying(name: str) -> None:
        real = getattr(asyncpg.Connection, name)

        async def run(*arguments: Any, **named: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return await real(*arguments, **named)

        setattr(asyncpg.Connection, name, run)

    for name in ("execute", "fetch", "fetchval", "fetchrow", "copy_records_to_table"):
        dying(name)


async def _seal(url: str, dies_at: int | None) -> None:
    async def everybody(*_: Any) -> bool:
        return True  # the lease lets both: heads alone decide

    changed: tuple[tuple[Any, str, Any], ...] = ((Watch, "hold", everybody), (seal, "AT_ONCE", _AT_ONCE))
    for where, name, value in changed:
        setattr(where, name, value)
    async with await open_pool(url, SETTINGS) as pool:
        if dies_at is not None:
            _die_at(dies_at)
        sealer = sealer_of(pool, audit_window_ms=600_000)
        for _ in range(4):
            while await sealer.round():
                pass


async def _write(url: str, name: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(_ANSWERS, name, _WRITTEN)
    await connection.close()


def _forked(work: Any) -> int:
    """The process that does it."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            asyncio.run(work)
            code = 0
        finally:
            os._exit(code)
    work.close()
    return child


def main(url: str, numbers: list[int]) -> None:
    """Prints how many were killed."""
    killed = 0
    for number in numbers:
        asyncio.run(_write(url, f"k{number}"))
        children = [_forked(_seal(url, number)), _forked(_seal(url, None))]
        ends = [os.waitpid(child, 0)[1] for child in children]
        assert os.waitstatus_to_exitcode(ends[1]) == 0, "the other one goes on"
        killed += os.waitstatus_to_exitcode(ends[0]) == -signal.SIGKILL
    print(killed)


if __name__ == "__main__":
    main(sys.argv[1], [int(number) for number in sys.argv[2].split(",")])
