"""Checks of what must always be true: in our own record (``verify``), and between it and a provider's books
(``tally``).

Read-only, and safe on a live system.
"""

from tallystick.oversight.invariants.catalogue import INVARIANTS, Invariant
from tallystick.oversight.invariants.processes import Source, verify_in_processes
from tallystick.oversight.invariants.provider_books import TALLIED, ListedCharge, tally
from tallystick.oversight.invariants.report import InvariantReport, Progress, Result, Violation
from tallystick.oversight.invariants.verify import examine, verify

__all__ = [
    "INVARIANTS",
    "TALLIED",
    "Invariant",
    "InvariantReport",
    "ListedCharge",
    "Progress",
    "Result",
    "Source",
    "Violation",
    "examine",
    "tally",
    "verify",
    "verify_in_processes",
]
