"""Balances that one report states of several accounts of a provider, worked out by hand."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from tallystick.domain.ledger.accounts import provider_balance_account
from tallystick.oversight import layers
from tallystick.record.postgres.balance_reads import Balances, Stated


def stated(account: str, day: int, opening: int, closing: int, **more: Any) -> Stated:
    given: dict[str, Any] = {
        "provider": "paypal", "account": "main", "balance_account": account, "currency": "USD",
        "batch": f"{account}:{day}", "file_id": f"stl_{day}", "sequence": None, "from_on": date(2026, 3, day),
        "to_on": date(2026, 3, day), "opening": opening, "closing": closing, "rows": 1,
        "imported_at": datetime(2026, 3, day, tzinfo=UTC), "is_bank": False, "moved": closing - opening,
        "doubled": False,
    }  # fmt: skip
    return Stated(**{**given, **more})


def test_sections_of_two_accounts_are_two_balances() -> None:
    """Of one 5.00 came and 1.00 left; the other had 7.00 before, and has 9.00. So 6.00 moved, and both have 13.00."""
    found = Balances(
        statements=[
            stated("ONE", 2, 0, 500),
            stated("TWO", 2, 700, 800),
            stated("ONE", 3, 500, 400),
            stated("TWO", 3, 800, 900),
        ],
        not_stated=[],
        payouts=[],
        entries=[],
        ledger={(provider_balance_account("paypal"), "USD"): 600},
    )
    [layer] = layers._stated("paypal", found)
    assert (layer.theirs, layer.ours, layer.unexplained_remainder) == (1_300, 600, 0)
    assert [(each.cause, each.amount) for each in layer.causes] == [("before_first", 700)]
