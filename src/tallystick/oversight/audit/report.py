"""What a comparison of the record with its trees found."""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal

from msgspec import Struct

from tallystick.oversight.audit.declarations import RestoreText

#: Findings that are kept; more are counted.
KEPT: Final = 1_000

What = Literal[
    "changed",
    "removed",
    "inserted",
    "not_sealed",
    "stray",
    "definition",
    "head",
    "checkpoint",
    "outside_head",
    "rolled_back",
]


class Finding(Struct, frozen=True, kw_only=True):
    """One difference. ``about``: kind, merchant and key of a thing, or the head or checkpoint."""

    what: What
    about: str
    detail: str


class Cut(Struct, kw_only=True):
    """A declared restore: the checkpoints after ``restored_from``, up to ``last``, are outside and not in the record.
    ``leaves``: how many of theirs the record lacks."""

    restored_from: int
    last: int
    declared_at: str
    act: str
    leaves: int = 0

    @classmethod
    def of(cls, said: RestoreText) -> Cut:
        """What a declaration says."""
        return cls(restored_from=said.restored_from, last=said.last, declared_at=said.declared_at, act=said.act)


class AuditReport(Struct, kw_only=True):
    """What was compared, and what differs. ``outside``: the last outside head, where there was one that holds.
    ``late``: things that were sealed later than the window after their time; a transaction that was held back leaves
    one, and so does a row that was inserted with an older time. ``since``: what was sealed before that checkpoint was
    not looked at."""

    leaves: int = 0
    heads: int = 0
    checkpoints: int = 0
    examined: int = 0
    unsealed: int = 0
    unsealed_since: datetime | None = None
    sealed_until: datetime | None = None
    outside: str | None = None
    promised_until: str | None = None
    findings: list[Finding] = []
    found: int = 0
    late: list[str] = []
    cuts: list[Cut] = []
    since: str | None = None

    @property
    def holds(self) -> bool:
        """Whether nothing differs."""
        return self.found == 0

    def add(self, what: What, about: str, detail: str) -> None:
        """One difference more."""
        self.found += 1
        if len(self.findings) < KEPT:
            self.findings.append(Finding(what=what, about=about, detail=detail))


def thing_name(kind: str, merchant_id: str, key: str) -> str:
    """What findings call a thing that is sealed."""
    return " ".join(filter(None, (kind, merchant_id, key)))
