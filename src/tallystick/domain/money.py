"""Currencies, and exact conversion between their ISO 4217 minor unit and a provider's unit.

Inside, amounts are always integers in the ISO 4217 minor unit of their currency, never floats. The currency list is
ISO's own, as the ``iso4217`` package carries it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from iso4217 import Currency

# Ten thousand million units of a two-decimal currency: far above any payment, and a sum of nine million of
# the largest still fits a signed 64-bit column.
MAX_AMOUNT: Final = 10**12

# Minor-unit exponent of every active currency a payment can be made in. ISO has "N.A." for units that
# cannot be paid in: metals (XAU …), XDR, XSU and XUA, bond-market units (XBA …), XTS (testing) and XXX (no
# currency).
EXPONENTS: Final[Mapping[str, int]] = {entry.code: entry.exponent for entry in Currency if entry.exponent is not None}


def is_currency(code: object) -> bool:
    """Whether ``code`` is the upper-case ISO 4217 code of an active currency that has a minor unit."""
    return isinstance(code, str) and code in EXPONENTS


def exponent(currency: str) -> int:
    """Decimal digits of the currency's minor unit: JPY 0, EUR 2, KWD 3. ValueError for an unknown code."""
    found = EXPONENTS.get(currency)
    if found is None:
        raise ValueError("not an ISO 4217 currency that payments can be made in")
    return found


def representable(amount: int, currency: str, provider_exponent: int) -> bool:
    """Whether ``provider_exponent`` decimals can express an ISO minor-unit amount without a remainder.

    ValueError for an unknown currency, a negative exponent or an amount that is not an integer.
    """
    _require_integers(amount, provider_exponent)
    step: int = 10 ** max(exponent(currency) - provider_exponent, 0)
    return amount % step == 0


def to_provider_amount(amount: int, currency: str, provider_exponents: Mapping[str, int]) -> int:
    """The ISO minor-unit amount in the provider's own unit.

    ``provider_exponents`` holds only the currencies where the provider differs from ISO 4217. ValueError when
    the amount would have to be rounded, for an unknown currency, and for an amount that is not an integer.
    """
    ours = exponent(currency)
    return _rescale(amount, ours, provider_exponents.get(currency, ours))


def from_provider_amount(amount: int, currency: str, provider_exponents: Mapping[str, int]) -> int:
    """The provider's amount in the ISO minor unit: ``to_provider_amount`` inverted, with the same errors."""
    ours = exponent(currency)
    return _rescale(amount, provider_exponents.get(currency, ours), ours)


def _rescale(amount: int, from_exponent: int, to_exponent: int) -> int:
    _require_integers(amount, from_exponent, to_exponent)
    factor: int = 10 ** abs(to_exponent - from_exponent)
    if to_exponent >= from_exponent:
        return amount * factor
    rescaled, remainder = divmod(amount, factor)
    if remainder:
        raise ValueError(f"the amount needs {from_exponent} decimals and only {to_exponent} can be expressed")
    return rescaled


def _require_integers(amount: int, *exponents: int) -> None:
    """A provider's JSON may hold a float whatever the types say, and ``True`` is an ``int`` in Python."""
    if type(amount) is not int:
        raise ValueError("an amount must be an integer")
    if any(type(digits) is not int or digits < 0 for digits in exponents):
        raise ValueError("an exponent must be an integer of 0 or more")
