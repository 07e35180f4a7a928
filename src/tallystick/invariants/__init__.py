"""What must always be true, checked: of our own record (``verify``), and of it beside a provider's books (``tally``).

Read-only, and safe on a live system.
"""

from tallystick.invariants.checks import INVARIANTS, Invariant
from tallystick.invariants.examination import examine, verify
from tallystick.invariants.provider_books import TALLIED, Charge, simulator_charges, tally
from tallystick.invariants.report import Progress, Report, Result, Violation

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
    "simulator_charges",
    "tally",
    "verify",
]
