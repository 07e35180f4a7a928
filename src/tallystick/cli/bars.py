"""Progress and the time left: a bar on a terminal, and a few lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

#: Without a terminal a line is printed at each tenth: enough to see progress, too few to fill a log.
LINES = 10

#: Before so much time has passed, nothing can be said of what is left.
ESTIMATED_AFTER_S = 5.0


class Bars:
    """Progress bars by label. Call it with the label, the number done and the total."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=40),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}
        self._printed: dict[str, int] = {}
        self._began: dict[str, tuple[float, int]] = {}  # when a label was first seen, and what was done by then

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def named(self, label: str) -> Callable[[int, int], None]:
        """The bar with this label, as a callable of done and total."""
        return lambda done, total: self(label, done, total)

    def __call__(self, label: str, done: int, total: int) -> None:
        if self._console.is_terminal:
            if label not in self._tasks:
                self._tasks[label] = self._progress.add_task(label, total=total)
            self._progress.update(self._tasks[label], completed=done, total=total)
            return
        began, before = self._began.setdefault(label, (time.monotonic(), done))
        line = LINES * done // total if total else LINES
        if line > self._printed.get(label, -1):
            self._printed[label] = line
            left = _left(time.monotonic() - began, done - before, total - done)
            self._console.print(f"{label}: {done}/{total}{left}", highlight=False)


def _left(elapsed_s: float, done: int, to_do: int) -> str:
    """How long the rest takes at the speed so far."""
    if elapsed_s < ESTIMATED_AFTER_S or done <= 0 or to_do <= 0:
        return ""
    return f", about {elapsed_s / done * to_do:,.0f} s left"
