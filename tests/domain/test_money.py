"""Currencies and provider amounts."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.domain.currencies import EXPONENTS
from tallystick.domain.money import (
    MAX_AMOUNT,
    Exponents,
    exponent,
    exponents_at,
    is_currency,
)


def representable(amount: int, currency: str, digits: int) -> bool:
    return Exponents(exponent(currency), digits).expresses(amount)


def to_provider_amount(amount: int, currency: str, exponents: dict[str, int]) -> int:
    return exponents_at(currency, exponents).to_provider(amount)


def from_provider_amount(amount: int, currency: str, exponents: dict[str, int]) -> int:
    return exponents_at(currency, exponents).from_provider(amount)


currencies = st.sampled_from(sorted(EXPONENTS))
amounts = st.integers(min_value=0, max_value=MAX_AMOUNT)
provider_exponents = st.integers(min_value=0, max_value=6)


@pytest.mark.parametrize(
    ("currency", "digits"),
    [
        *((code, 0) for code in ("JPY", "KRW", "CLP", "VND", "ISK", "UGX", "XOF")),
        *((code, 2) for code in ("EUR", "USD", "CHF", "HUF", "TWD", "IDR", "CVE")),
        *((code, 3) for code in ("BHD", "JOD", "KWD", "OMR", "TND", "IQD", "LYD")),
    ],
)
def test_exponents_are_those_of_iso_4217(currency: str, digits: int) -> None:
    assert exponent(currency) == digits
    assert is_currency(currency)


@pytest.mark.parametrize(
    "code",
    # what nothing can be paid with, then what is no active currency's code
    [
        *"XXX XTS XAU XAG XPT XPD XDR XSU XUA XBA XBB XBC XBD eur Eur EURO ZZZ 978 DEM HRK".split(),
        *("", " EUR", "EUR\x00", None, 978, b"EUR", ["EUR"], {}),
    ],
)
def test_what_is_no_payable_currency_is_refused(code: object) -> None:
    assert not is_currency(code)


def test_an_unknown_currency_has_no_exponent() -> None:
    with pytest.raises(ValueError, match="ISO 4217"):
        exponent("XAU")
    with pytest.raises(ValueError, match="ISO 4217"):
        representable(1, "XXX", 2)
    with pytest.raises(ValueError, match="ISO 4217"):
        to_provider_amount(1, "eur", {})
    with pytest.raises(ValueError, match="ISO 4217"):
        from_provider_amount(1, "", {})


@pytest.mark.parametrize(
    ("amount", "currency", "exponents", "theirs"),
    [
        (1050, "EUR", {}, 1050),
        (1050, "ISK", {"ISK": 2}, 105_000),  # a provider that counts two decimals where ISO has none
        (1500, "IDR", {"IDR": 0}, 15),
        (1234, "KWD", {"EUR": 0}, 1234),
        (MAX_AMOUNT, "CLP", {"CLP": 2}, MAX_AMOUNT * 100),
        (0, "HUF", {"HUF": 0}, 0),
        (-1500, "HUF", {"HUF": 0}, -15),
    ],
)
def test_amounts_in_the_unit_of_the_provider(
    amount: int, currency: str, exponents: dict[str, int], theirs: int
) -> None:
    assert to_provider_amount(amount, currency, exponents) == theirs
    assert from_provider_amount(theirs, currency, exponents) == amount


@pytest.mark.parametrize("amount", [1, 99, 1501, -1, MAX_AMOUNT + 1])
def test_nothing_is_ever_rounded(amount: int) -> None:
    assert not representable(amount, "HUF", 0)
    with pytest.raises(ValueError, match="decimals"):
        to_provider_amount(amount, "HUF", {"HUF": 0})
    with pytest.raises(ValueError, match="decimals"):
        from_provider_amount(amount, "ISK", {"ISK": 2})


@given(amounts, currencies, provider_exponents)
def test_there_and_back_is_the_same_amount(amount: int, currency: str, digits: int) -> None:
    exponents = {currency: digits}
    if not representable(amount, currency, digits):
        with pytest.raises(ValueError, match="decimals"):
            to_provider_amount(amount, currency, exponents)
        return
    theirs = to_provider_amount(amount, currency, exponents)
    assert type(theirs) is int
    assert theirs * 10 ** exponent(currency) == amount * 10**digits  # the same money
    assert from_provider_amount(theirs, currency, exponents) == amount


@given(amounts, currencies)
def test_more_decimals_than_iso_always_suffice(amount: int, currency: str) -> None:
    assert representable(amount, currency, exponent(currency))
    assert representable(amount, currency, exponent(currency) + 1)


@pytest.mark.parametrize("not_an_integer", [10.0, 10.5, True, "10", None])
def test_only_integers_are_amounts(not_an_integer: Any) -> None:
    # Types say so; a provider's parsed JSON is where it matters at run time.
    for convert in (to_provider_amount, from_provider_amount):
        with pytest.raises(ValueError, match="integer"):
            convert(not_an_integer, "EUR", {})
    with pytest.raises(ValueError, match="integer"):
        representable(not_an_integer, "EUR", 2)


@pytest.mark.parametrize("digits", [-1, 2.0, True])
def test_only_whole_non_negative_exponents(digits: int) -> None:
    with pytest.raises(ValueError, match="exponent"):
        to_provider_amount(10, "EUR", {"EUR": digits})
