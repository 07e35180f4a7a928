"""What the runs on all versions come to. A version that was not tried is never counted as one that passed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

PASSED: Final = 0
FAILED: Final = 1

#: Not the 2 of a command that cannot run: what was tried has passed, and not everything was tried.
INCOMPLETE: Final = 3


class Trial(NamedTuple):
    """One way to use one version. ``failure``: what went wrong, None where all went well."""

    major: int
    way: str
    failure: str | None


class Missing(NamedTuple):
    """A version that was not tried, and why."""

    major: int
    why: str


def exit_code(trials: Sequence[Trial], missing: Sequence[Missing]) -> int:
    """1 where a trial failed, 3 where a version or everything is missing, else 0."""
    if any(trial.failure is not None for trial in trials):
        return FAILED
    return INCOMPLETE if missing or not trials else PASSED


def summary(trials: Sequence[Trial], missing: Sequence[Missing]) -> Iterator[str]:
    """Lines for people."""
    for trial in trials:
        if trial.failure is not None:
            yield f"PostgreSQL {trial.major}, {trial.way}: failed\n{trial.failure}"
    for each in missing:
        yield f"PostgreSQL {each.major}: NOT TRIED: {each.why}"
    tried = ", ".join(str(major) for major in sorted({trial.major for trial in trials})) or "none"
    words = {PASSED: "passed", FAILED: "failed", INCOMPLETE: "incomplete: what was tried has passed"}
    yield f"versions tried: {tried}; {words[exit_code(trials, missing)]}"
    failed = sum(trial.failure is not None for trial in trials)
    yield f"{len(trials) - failed} passed, {failed} failed, {len(missing)} skipped"
