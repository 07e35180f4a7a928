"""Progress: a bar on a terminal, and a few lines elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

#: Without a terminal a line is printed at each quarter: enough to see progress, too few to fill a log.
QUARTERS = 4


class Bars:
    """Progress bars by label. Call it with the label, the number done and the total."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=40),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}
        self._printed: dict[str, int] = {}

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
        quarter = QUARTERS * done // total if total else QUARTERS
        if quarter > self._printed.get(label, -1):
            self._printed[label] = quarter
            self._console.print(f"{label}: {done}/{total}", highlight=False)
