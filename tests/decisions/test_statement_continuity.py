"""Statements of one account, worked out by hand: where they do not go on from each other."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import pytest

from tallystick.decisions.statement_continuity import breaks, name_of_statement
from tallystick.domain.bank_statement import StatementHead

FIRST: Final = date(2026, 3, 2)


def head(day: int, number: str | None, opening: int, closing: int, **more: Any) -> StatementHead:
    to_on = FIRST + timedelta(days=day)
    given: dict[str, Any] = {
        "provider": "bank", "account": "main", "balance_account": "NL00", "currency": "EUR", "batch": f"S{day}",
        "file_id": f"stl_{day}", "sequence": number, "from_on": to_on, "to_on": to_on, "opening": opening,
        "closing": closing, "rows": 1, "counts": True, "doubled": False,
        "imported_at": datetime(2026, 3, 2, tzinfo=UTC) + timedelta(days=day),
    }  # fmt: skip
    return StatementHead(**{**given, **more})


#: Statements, in any order; each break with the statement after it, its amount, and how many are missing.
CASES: Final[dict[str, tuple[list[StatementHead], list[tuple[str, str, int, int]]]]] = {
    "they go on": ([head(0, "1", 0, 5), head(1, "2", 5, 3), head(2, "00003/001", 3, 9)], []),
    "late": ([head(2, "3", 3, 9), head(0, "1", 0, 5), head(1, "2", 5, 3)], []),
    "a gap": ([head(0, "1", 0, 5), head(2, "3", 3, 9)], [("gap", "S2", -2, 1)]),
    "a gap that moved nothing": ([head(0, "1", 0, 5), head(3, "4", 5, 9)], [("gap", "S3", 0, 2)]),
    "off by one": ([head(0, "1", 0, 5), head(1, "2", 6, 9)], [("opening", "S1", 1, 0)]),
    "without numbers": ([head(0, None, 0, 5), head(1, None, 4, 9)], [("opening", "S1", -1, 0)]),
    "doubled": (
        [head(0, "1", 0, 5), head(0, "1/1", 0, 5, batch="copy", file_id="stl_9", doubled=True)],
        [("doubled", "copy", 0, 0)],
    ),
    "number taken": (
        [head(0, "1", 0, 5), head(0, "1", 0, 6, batch="copy", doubled=True)],
        [("number_taken", "copy", 0, 0)],
    ),
    "pages": ([head(0, "1/1", 0, 5), head(0, "1/2", 5, 7), head(1, "2/1", 7, 8)], []),
    "a page is missing": ([head(0, "1/1", 0, 5), head(0, "1/3", 6, 7)], [("gap", "S0", 1, 1)]),
    "a new year begins anew": ([head(304, "252", 0, 5), head(305, "1", 5, 6)], []),
    "a new year without its first": ([head(304, "252", 0, 5), head(306, "2", 5, 6)], [("gap", "S306", 0, 1)]),
    "two accounts": ([head(0, "1", 0, 5), head(0, "1", 70, 75, account="other", batch="O")], []),
}


@pytest.mark.parametrize("name", CASES)
def test_each_break_is_named(name: str) -> None:
    heads, expected = CASES[name]
    assert [(each.kind, each.after, each.amount, each.missing) for each in breaks(heads)] == expected


def test_a_statement_has_one_name_in_every_format() -> None:
    assert name_of_statement("12", FIRST, 1, 2) == name_of_statement("00012/001", FIRST, 3, 4) == "2026 12/1"
    assert name_of_statement(None, FIRST, 1, 2) == name_of_statement("A7", FIRST, 1, 2) == "2026-03-02 1 2"
