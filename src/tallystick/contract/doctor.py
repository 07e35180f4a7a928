"""The table of ``docs/operate/doctor.md``, printed by ``tallystick doctor --markdown``."""

from __future__ import annotations

from tallystick.contract import markdown
from tallystick.run.doctor.table import CHECKS


def render_checks() -> str:
    """One row a check, in the order in which they are asked."""
    rows = [(f"`{check.name}`", check.level, markdown.code(check.at_start), check.why) for check in CHECKS]
    return f"{markdown.table(('check', 'level', 'asked at the start of', 'why'), rows)}\n"
