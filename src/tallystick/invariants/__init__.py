"""What must always be true, checked: of our own record (``verify``), and of it beside a provider's books (``tally``).

Read-only, and safe on a live system.
"""

from tallystick.invariants.checks import INVARIANTS, Invariant
from tallystick.invariants.examination import examine, verify
from tallystick.invariants.report import Progress, Report, Result, Violation
from tallystick.invariants.tally import TALLIED, Charge, simulator_charges, tally

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
