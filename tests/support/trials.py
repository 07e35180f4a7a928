"""What trials with programs of others come to. What could not be tried is never counted as passed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

PASSED: Final = 0
FAILED: Final = 1

#: Not the 2 of a command that cannot run: what was tried has passed, and not everything was tried.
INCOMPLETE: Final = 3


class CannotBeHad(Exception):
    """This machine has not the programs of a trial; the message says why."""


class Trial(NamedTuple):
    """What was tried, such as ``PostgreSQL 16``, and in which way. ``failure``: what went wrong, None where all went
    well."""

    what: str
    way: str
    failure: str | None


class Missing(NamedTuple):
    """What was not tried, and why."""

    what: str
    why: str


def exit_code(trials: Sequence[Trial], missing: Sequence[Missing]) -> int:
    """1 where a trial failed, 3 where something or everything is missing, else 0."""
    if any(trial.failure is not None for trial in trials):
        return FAILED
    return INCOMPLETE if missing or not trials else PASSED


def summary(trials: Sequence[Trial], missing: Sequence[Missing]) -> Iterator[str]:
    """Lines for people."""
    for trial in trials:
        if trial.failure is not None:
            yield f"{trial.what}, {trial.way}: failed\n{trial.failure}"
    for each in missing:
        yield f"{each.what}: NOT TRIED: {each.why}"
    tried = ", ".join(sorted({trial.what for trial in trials})) or "nothing"
    words = {PASSED: "passed", FAILED: "failed", INCOMPLETE: "incomplete: what was tried has passed"}
    yield f"tried: {tried}; {words[exit_code(trials, missing)]}"
    failed = sum(trial.failure is not None for trial in trials)
    yield f"{len(trials) - failed} passed, {failed} failed, {len(missing)} skipped"
