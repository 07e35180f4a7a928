"""How tests wait for what another task, thread or process does: one place, always bounded, never a fixed sleep."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol, TypeVar, overload

import httpx

T = TypeVar("T")


class Started(Protocol):
    """A program that was started: a subprocess.Popen, or what is like one."""

    args: Any
    returncode: Any

    def poll(self) -> int | None:
        """None while it runs."""

    def kill(self) -> None:
        """End it at once."""

    def wait(self) -> Any:
        """Until it has ended."""


#: Bounds failure alone: what has not happened by then does not happen, on however busy a machine.
PATIENCE_S: Final = 60.0

#: A program that starts on a busy machine, with initdb and migrations.
START_S: Final = 120.0

#: Between the first two looks: short beside what is awaited, long enough to leave the machine to the others.
INTERVAL_S: Final = 0.01

#: Later looks are this share of the wait apart: most ask a database or a program, which takes from what is awaited.
SHARE: Final = 0.1

#: Between two looks at most, where a test does not say how long.
LONGEST_S: Final = 0.05


def eventually(
    look: Callable[[], T],
    *,
    until: Callable[[T], object] = bool,
    within_s: float = PATIENCE_S,
    interval_s: float | None = None,
) -> T:
    """The first value of ``look`` that ``until`` accepts (any true one by default). ``interval_s``: between two looks;
    by default it grows with the wait.

    Raises AssertionError with the last value when there is none in ``within_s``.
    """
    began = time.monotonic()
    while not until(seen := look()):
        waited_s = time.monotonic() - began
        assert waited_s < within_s, _never(within_s, seen)
        time.sleep(_pause_s(interval_s, waited_s))  # the one wait of blocking tests
    return seen


@overload
async def eventually_async(
    look: Callable[[], Awaitable[T]],
    *,
    until: Callable[[T], object] = bool,
    within_s: float = PATIENCE_S,
    interval_s: float | None = None,
) -> T: ...


@overload
async def eventually_async(
    look: Callable[[], T],
    *,
    until: Callable[[T], object] = bool,
    within_s: float = PATIENCE_S,
    interval_s: float | None = None,
) -> T: ...


async def eventually_async(
    look: Callable[[], Any],
    *,
    until: Callable[[Any], object] = bool,
    within_s: float = PATIENCE_S,
    interval_s: float | None = None,
) -> Any:
    """``eventually`` on the event loop; ``look`` may be a coroutine function, which is bounded as well."""
    seen: Any = "nothing yet"
    began = time.monotonic()
    try:
        async with asyncio.timeout(within_s):
            while not until(seen := await found if inspect.isawaitable(found := look()) else found):
                waited_s = time.monotonic() - began
                await asyncio.sleep(_pause_s(interval_s, waited_s))  # the one wait of tests on the event loop
    except TimeoutError as error:
        raise AssertionError(_never(within_s, seen)) from error
    return seen


def until_ready(process: Started, ask: Callable[[], object]) -> None:
    """Return once ``ask`` gets an answer of a program that was just started.

    Raises AssertionError, with the program killed, when it ends or does not answer in ``START_S``.
    """

    def refusal() -> Exception | None:
        assert process.poll() is None, f"{process.args!r} ended with {process.returncode}"
        try:
            ask()
        except (OSError, httpx.HTTPError) as error:
            return error
        return None

    try:
        eventually(refusal, until=lambda error: error is None, within_s=START_S, interval_s=0.05)
    except BaseException:
        process.kill()
        process.wait()
        raise


async def one_turn() -> None:
    """Let every task that can run do so until it waits; no time passes."""
    await asyncio.sleep(0)


def _pause_s(interval_s: float | None, waited_s: float) -> float:
    return max(INTERVAL_S, min(SHARE * waited_s, LONGEST_S)) if interval_s is None else interval_s


def _never(within_s: float, seen: object) -> str:
    return f"not within {within_s:g} s; last seen: {seen!r}"
