"""Statements of one account, worked out by hand: where they do not go on from each other."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import pytest

from tallystick.decisions.statement_continuity import breaks, by_account, is_same_statement, name_of_statement
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


@pytest.mark.parametrize("number", ["0", "00000/001", "0/2"])
def test_zero_is_no_number(number: str) -> None:
    """Each day is a statement of its own, and only the balances say whether they go on."""
    assert name_of_statement(number, FIRST, 1, 2) == "2026-03-02 1 2"
    days = [head(0, number, 0, 5), head(1, number, 5, 9), head(2, number, 8, 9)]
    assert [(each.kind, each.after, each.amount) for each in breaks(days)] == [("opening", "S2", -1)]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (head(0, "1", 0, 5), head(1, "1", 0, 5), True),
        (head(0, "1", 0, 5), head(1, "2", 0, 5), False),
        (head(0, "1", 0, 5), head(2, "1", 0, 5), False),
        (head(0, "0", 0, 5), head(0, None, 0, 5), True),
        (head(0, None, 0, 5), head(1, None, 0, 5), True),
        (head(0, None, 5, 5), head(1, None, 5, 5), False),
        (head(0, None, 5, 5), head(0, None, 5, 5), True),
        (head(0, None, 0, 5), head(0, None, 0, 6), False),
    ],
)
def test_a_statement_is_found_by_what_it_says(one: StatementHead, other: StatementHead, same: bool) -> None:
    assert is_same_statement(one, other) is is_same_statement(other, one) is same


def test_a_double_that_is_known_by_another_day_is_told() -> None:
    """A statement of the year's last day, which an earlier version took for one of the next year."""
    later = head(305, "252", 0, 5)
    copy = head(304, "252", 0, 5, batch="copy", doubled=True)
    assert [(each.kind, each.before, each.after) for each in breaks([later, copy])] == [("doubled", "S305", "copy")]


def test_several_balances_of_one_account_of_ours_are_not_mixed() -> None:
    """A provider's report of two accounts, which open and close on the same days."""
    heads = [head(day, None, 10 * day, 10 * day + 10, balance_account="ONE") for day in (0, 1)]
    heads += [head(day, None, 500, 500, balance_account="TWO", batch=f"T{day}") for day in (0, 1)]
    assert list(breaks(heads)) == []
    assert [[each.batch for each in of] for of in by_account(heads)] == [["S0", "S1"], ["T0", "T1"]]


def test_one_account_that_is_written_in_two_ways_is_not_taken_apart() -> None:
    written = ["NL00BANK0000000001", "nl00 bank 0000 0000 01", "NL00BANK0000000001EUR", "0000000001", None]
    heads = [head(day, str(day + 1), day, day + 1, balance_account=name) for day, name in enumerate(written)]
    assert list(breaks(heads)) == [] and len(by_account(heads)) == 1


def test_a_number_that_an_account_took_from_another_one_is_told() -> None:
    """As files were imported before two accounts were refused."""
    names = ("NL00BANK0000000001", "NL00BANK0000000002")
    first = head(0, "42", 0, 5, balance_account=names[0])
    second = head(0, "42", 70, 75, balance_account=names[1], batch="other", doubled=True)
    assert [(each.kind, each.after) for each in breaks([first, second])] == [("number_taken", "other")]
