"""Names of accounts as banks write them: which are one account, and which are not."""

from __future__ import annotations

import pytest

from tallystick.decisions.balance_accounts import accounts_apart, is_another_account, plain_account

ONE, TWO = "DE89370400440532013000", "DE02120300000000202051"


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        (ONE, ONE),
        ("de89 3704 0044 0532 0130 00", ONE),
        (f"{ONE}EUR", ONE),
        (f"{ONE} EUR", ONE),
        (f"{ONE}USD", f"{ONE}USD"),
        ("10020030/1234", "10020030/1234"),
        ("EUR", "EUR"),
        (None, ""),
    ],
)
def test_names_are_compared_without_what_banks_add(name: str | None, plain: str) -> None:
    assert plain_account(name, "EUR") == plain


#: A name, names before it with whether a file of its format has them, and whether it is another account.
CASES: list[tuple[str, list[tuple[str, bool]], bool]] = [
    (ONE, [], False),
    (ONE, [(ONE, True)], False),
    (ONE, [(f"{ONE}EUR", False)], False),
    (ONE, [(TWO, False)], True),
    (ONE, [(TWO, True), (ONE, False)], False),
    (ONE, [("10020030/1234", True)], False),
    ("10020030/1234", [(ONE, True)], False),
    ("10020030/1234", [("10020030/9", True)], True),
    ("10020030/1234", [("9", False)], False),
]


@pytest.mark.parametrize(("name", "before", "another"), CASES)
def test_a_name_is_another_account_where_both_are_of_one_kind(
    name: str, before: list[tuple[str, bool]], another: bool
) -> None:
    assert is_another_account(name, "EUR", before) is another


def test_accounts_are_apart_where_two_names_of_one_kind_differ() -> None:
    assert set(accounts_apart([ONE, f"{ONE} EUR", "1234", None], "EUR").values()) == {""}
    assert accounts_apart([ONE, TWO, None], "EUR") == {ONE: ONE, TWO: TWO, None: ""}
    assert accounts_apart(["A1", "B2"], "EUR") == {"A1": "A1", "B2": "B2"}
