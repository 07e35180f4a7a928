"""What must always be true, checked: of our own record (``verify``), and of it beside a provider's books (``tally``).

Read-only, and safe on a live system.
"""

from tallystick.oversight.invariants.catalogue import INVARIANTS, Invariant
from tallystick.oversight.invariants.provider_books import TALLIED, Charge, tally
from tallystick.oversight.invariants.report import Progress, Report, Result, Violation
from tallystick.oversight.invariants.verify import examine, verify

__all__ = [
    "INVARIANTS",
    "TALLIED",
    "Charge",
    "Invariant",
    "Progress",
    "Report",
    "Result",
    "Violation",
    "examine",
    "tally",
    "verify",
]
