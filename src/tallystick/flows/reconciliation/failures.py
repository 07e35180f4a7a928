"""What fails by itself in a round of reconciliation: the rest of the round goes on, and a person is told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final

import asyncpg

from tallystick.domain.errors import Overloaded
from tallystick.kit.log_sampling import SAMPLE_EVERY_S, SampledLines
from tallystick.kit.logs import get_logger
from tallystick.record.postgres.failures import may_run_again

log = get_logger("tallystick.flows.reconciliation.failures")

_NEXT: Final = (
    "tallystick reconciliation explain PROVIDER shows what it keeps from being posted; report it with this line"
)

#: What a file meets that is too large for the server's limits, where another one need not. A database that is really
#: away raises a connection's error at the next one.
_MAY_BE_OF_ONE: Final = (TimeoutError, asyncpg.QueryCanceledError, asyncpg.InsufficientResourcesError)


class Failures:
    """The failures of one piece of periodic work. One file, batch or set that cannot be worked on keeps no other one
    from it. ``about``: what failed so far, each once. ``next``: what a person can do."""

    def __init__(self, work: str, every_s: float = SAMPLE_EVERY_S, next: str = _NEXT) -> None:
        self._work, self._next = work, next
        self.about: set[str] = set()
        self._lines = SampledLines(every_s)

    @contextmanager
    def apart(self, about: str) -> Iterator[None]:
        """Run the body, and say what it raises. ``about``: the file, batch or set. A database that is away and a full
        journal are not its own failures: they are raised. What takes too long or too much is its own."""
        try:
            yield
        except Exception as error:
            everybodys, own = ExceptionGroup(self._work, [error]).split(_is_everybodys)
            if own is not None:
                first = _first(own)
                self.about.add(about)
                self._lines.line(type(first).__name__, partial(self._say, about, repr(first)))
            if everybodys is None:
                return
            if (first := _first(everybodys)) is error:
                raise
            raise first from error

    def _say(self, about: str, error: str, since_last_line: int) -> None:
        log.error(
            "settlement work failed",
            alert=True,
            work=self._work,
            about=about,
            error=error,
            since_last_line=since_last_line,
            next=self._next,
        )


def _is_everybodys(error: BaseException) -> bool:
    if isinstance(error, Overloaded) or _is_of_the_connection(error):
        return True
    return isinstance(error, Exception) and not isinstance(error, _MAY_BE_OF_ONE) and may_run_again(error)


def _is_of_the_connection(error: BaseException) -> bool:
    """Whether no connection was to be had: with the system's number a time-out is of a connection."""
    return isinstance(error, asyncpg.TooManyConnectionsError) or (
        isinstance(error, OSError) and error.errno is not None
    )


def _first(group: ExceptionGroup[Exception]) -> Exception:
    error: Exception = group
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error
