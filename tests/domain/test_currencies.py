"""What happens to a currency that leaves ISO's list."""

from __future__ import annotations

import subprocess
import sys

from tallystick.domain.currencies import EXPONENTS, LEFT
from tallystick.domain.money import Exponents, exponent, exponents_at, is_currency

#: ISO's list without the euro, and with a krona that has decimals.
CHANGED = """
import iso4217
from types import SimpleNamespace
listed = {each.code: each.exponent for each in iso4217.Currency if each.code != "EUR"} | {"ISK": 2}
iso4217.Currency = [SimpleNamespace(code=code, exponent=digits) for code, digits in listed.items()]
from tallystick.domain.money import exponent, exponents_at, is_currency
print(is_currency("EUR"), exponent("EUR"), exponents_at("EUR", {}).to_provider(1050))
print(is_currency("ISK"), exponent("ISK"), is_currency("USD"))
"""


def test_what_leaves_the_list_is_counted_as_before_and_not_accepted() -> None:
    said = subprocess.run([sys.executable, "-c", CHANGED], check=True, capture_output=True, text=True).stdout
    assert said.splitlines() == ["False 2 1050", "False 0 True"]


def test_the_lev_has_left() -> None:
    assert LEFT["BGN"].isoformat() == "2026-01-01"
    assert not is_currency("BGN")
    assert exponent("BGN") == 2
    assert exponents_at("BGN", {}) == Exponents(2, 2)
    assert EXPONENTS.keys() >= LEFT.keys()
