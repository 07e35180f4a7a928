"""When Python looks for unreachable cycles."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def cycles_sought_when_called() -> Iterator[Callable[[], object]]:
    """Inside, Python looks for unreachable cycles only when what is yielded is called: for a process that goes through
    the record. Rows of it have none, and Python would look among the thousands of each page again and again."""
    was_enabled = gc.isenabled()
    gc.disable()
    gc.freeze()  # what is there already need not be looked at again

    def seek() -> None:
        gc.collect()
        gc.freeze()  # nor what this part came to

    try:
        yield seek
    finally:
        gc.unfreeze()
        if was_enabled:
            gc.enable()
