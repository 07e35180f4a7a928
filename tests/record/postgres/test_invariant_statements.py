"""How values go to a statement that checks the record."""

from __future__ import annotations

import pytest

from tallystick.record.postgres.invariant_statements import as_list


@pytest.mark.parametrize(
    "values", [["pay_1"], ["pay_1", "pay_2"], ["one\nline", "two"], ["\n", "\x0b", "\n\x0b\x0c"], ["a,b", "ü\t"]]
)
def test_values_come_apart_as_they_were_put_together(values: list[str]) -> None:
    text, between = as_list(values)
    assert text.split(between) == values


def test_no_values_are_an_empty_text() -> None:
    """Which ``string_to_array`` makes an empty array of."""
    assert as_list([])[0] == ""
