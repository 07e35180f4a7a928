"""What a person can find out about an attempt is one of three things."""

from __future__ import annotations

import pytest

from tallystick.domain.finding import FINDINGS, finding_of


def test_a_finding_is_known_by_its_name() -> None:
    assert [finding_of(name) for name in FINDINGS] == ["executed", "declined", "not_executed"]


@pytest.mark.parametrize("text", ["", "Executed", "executed ", "settled"])
def test_another_text_is_no_finding(text: str) -> None:
    with pytest.raises(ValueError, match="must be one of executed, declined, not_executed"):
        finding_of(text)
