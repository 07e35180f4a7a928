"""The decimals of every currency that payments were ever made in, here and at each provider, as first released.

A line is added for a new currency, and none is changed: payments that were made by it are open, and their merchants'
balances count in it. A release that has to change one says how those payments end first (``changed_exponents``).
"""

from __future__ import annotations

import json
from pathlib import Path

import iso4217

from tallystick.domain.currencies import EXPONENTS, LEFT
from tallystick.providers.assembly import exponents_by_provider

RELEASED: dict[str, list[int]] = json.loads((Path(__file__).parent / "exponents.json").read_text())

PROVIDERS = ("simulator", "stripe", "adyen")


def test_no_exponent_changes() -> None:
    tables = exponents_by_provider()
    assert tables.keys() == set(PROVIDERS), "a new provider is a new column in exponents.json"
    now = {
        code: [digits, *(tables[name].get(code, digits) for name in PROVIDERS)] for code, digits in EXPONENTS.items()
    }
    assert now == RELEASED


def test_our_table_holds_all_of_iso_s_list() -> None:
    listed = {entry.code: entry.exponent for entry in iso4217.Currency if entry.exponent is not None}
    assert listed.items() <= EXPONENTS.items(), "a new currency is a new code in domain/currencies.py"
    assert EXPONENTS.keys() - listed.keys() == LEFT.keys(), "what left the list has the date in domain/currencies.py"


def test_what_providers_count_otherwise_is_in_our_table() -> None:
    assert {code for table in exponents_by_provider().values() for code in table} <= EXPONENTS.keys()
