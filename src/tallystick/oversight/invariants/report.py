"""The report of ``verify`` and ``tally``: counts, and the first violations of each invariant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Struct

from tallystick.oversight.invariants.finding import Finding

#: Violations kept for each invariant; the rest are counted. A hundred show a pattern.
KEPT: Final = 100

#: Called with the number of payments examined so far, and with how many there are.
Progress = Callable[[int, int], None]


class Violation(Struct, frozen=True, kw_only=True):
    """A breach of an invariant. ``merchant_id`` is empty where it concerns the whole platform."""

    invariant: str
    merchant_id: str
    subject_id: str
    detail: str


class Result(Struct, frozen=True, kw_only=True):
    """One invariant and how often it was broken."""

    name: str
    says: str
    violations: int


class InvariantReport(Struct, frozen=True, kw_only=True):
    """What was checked, and the violations."""

    checked: dict[str, int]
    results: tuple[Result, ...]
    violations: tuple[Violation, ...]
    elapsed_ms: int

    @property
    def holds(self) -> bool:
        """Whether every invariant holds."""
        return not self.broken()

    def broken(self) -> set[str]:
        """The names of the invariants that do not hold."""
        return {result.name for result in self.results if result.violations}

    def to_builtins(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "holds": self.holds,
            "checked": self.checked,
            "invariants": msgspec.to_builtins(self.results),
            "violations": msgspec.to_builtins(self.violations),
            "elapsed_ms": self.elapsed_ms,
        }


class InvariantName(NamedTuple):
    """An invariant's name, and the invariant in one sentence."""

    name: str
    says: str


class Findings:
    """A report under construction."""

    def __init__(self, invariants: Iterable[InvariantName], counted: Sequence[str]) -> None:
        self._invariants = tuple(invariants)
        self._found: Counter[str] = Counter()  # of those that were broken: there are thousands of parts
        self._kept: list[Violation] = []
        self.checked = dict.fromkeys(counted, 0)

    def add(self, name: str, merchant_id: str, findings: Iterable[Finding]) -> None:
        """Count the findings, and keep the first ones."""
        for subject_id, detail in findings:
            self._found[name] += 1
            if self._found[name] <= KEPT:
                self._kept.append(
                    Violation(invariant=name, merchant_id=merchant_id, subject_id=subject_id, detail=detail)
                )

    def extend(self, later: Findings) -> None:
        """Add what was found after this, as if ``add`` had been called here."""
        taken = self._found.copy()
        for violation in later._kept:
            if taken[violation.invariant] < KEPT:
                taken[violation.invariant] += 1
                self._kept.append(violation)
        self._found.update(later._found)
        for what, count in later.checked.items():
            self.checked[what] += count

    def report(self, elapsed_ms: int) -> InvariantReport:
        """The finished report."""
        results = tuple(Result(name=name, says=says, violations=self._found[name]) for name, says in self._invariants)
        return InvariantReport(
            checked=self.checked, results=results, violations=tuple(self._kept), elapsed_ms=elapsed_ms
        )
