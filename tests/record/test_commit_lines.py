"""Whether a commit is looked at for instructions that it ends."""

from __future__ import annotations

import pytest

from tallystick.kit.log_lines import LEVELS
from tallystick.kit.log_writer import WRITER
from tallystick.lab.bench.workload import new_payment
from tallystick.record.commit_lines import ends_another


@pytest.mark.parametrize(("level", "looked_at"), [("info", True), ("warning", False)])
def test_nothing_is_looked_for_where_no_line_is_wanted(
    monkeypatch: pytest.MonkeyPatch, level: str, looked_at: bool
) -> None:
    """Nobody asked for it in this task, so that the outcome ends an instruction of before."""
    _, outcome = new_payment()
    monkeypatch.setattr(WRITER, "threshold", LEVELS[level])
    assert ends_another(outcome) is looked_at
