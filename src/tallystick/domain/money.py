"""Currencies, and exact conversion between our minor unit and a provider's unit.

Inside, amounts are always integers in the ISO 4217 minor unit of their currency, never floats. New payments are made in
the currencies of ISO's own list, as the ``iso4217`` package carries it. Existing payments use the table of
``currencies``, and the exponents that are stored with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import iso4217

from tallystick.domain.currencies import EXPONENTS, LEFT

# Ten thousand million units of a two-decimal currency: far above any payment, and a sum of nine million of
# the largest still fits a signed 64-bit column.
MAX_AMOUNT: Final = 10**12

#: The currencies that a new payment can be made in: those that ISO's list and our table agree about. One that leaves
#: the list is not taken any more, from that release of ``iso4217`` on, or from ours.
ACCEPTED: Final = frozenset(
    entry.code for entry in iso4217.Currency if entry.exponent == EXPONENTS.get(entry.code, -1)
) - frozenset(LEFT)


class Exponents(NamedTuple):
    """Decimals of one currency's minor unit: ours, and a provider's."""

    ours: int
    theirs: int

    def expresses(self, amount: int) -> bool:
        """Whether the provider can be told our amount without a remainder. ValueError for what is no integer."""
        return is_multiple(amount, self.step)

    @property
    def step(self) -> int:
        """The provider can be told our multiples of this, without a remainder. ValueError for what is no exponent."""
        _require_exponents(*self)
        found: int = 10 ** max(self.ours - self.theirs, 0)
        return found

    def to_provider(self, amount: int) -> int:
        """Our amount in the provider's unit. ValueError where it would have to be rounded, and for what is no
        integer."""
        return _rescale(amount, self.ours, self.theirs)

    def from_provider(self, amount: int) -> int:
        """The provider's amount in our unit: ``to_provider`` inverted, with the same errors."""
        return _rescale(amount, self.theirs, self.ours)


def is_currency(code: object) -> bool:
    """Whether ``code`` is the upper-case ISO 4217 code of a currency that a new payment can be made in."""
    return isinstance(code, str) and code in ACCEPTED


def exponent(currency: str) -> int:
    """Decimal digits of the currency's minor unit: JPY 0, EUR 2, KWD 3. ValueError for an unknown code."""
    found = EXPONENTS.get(currency)
    if found is None:
        raise ValueError("not an ISO 4217 currency that payments can be made in")
    return found


def exponents_at(currency: str, provider_exponents: Mapping[str, int]) -> Exponents:
    """A currency's exponents by the tables, ours and the provider's. ``provider_exponents`` holds only the currencies
    where the provider differs from ISO 4217. ValueError for an unknown code."""
    ours = exponent(currency)
    return Exponents(ours, provider_exponents.get(currency, ours))


def _rescale(amount: int, from_exponent: int, to_exponent: int) -> int:
    _require_integers(amount, from_exponent, to_exponent)
    factor: int = 10 ** abs(to_exponent - from_exponent)
    if to_exponent >= from_exponent:
        return amount * factor
    rescaled, remainder = divmod(amount, factor)
    if remainder:
        raise ValueError(f"the amount needs {from_exponent} decimals and only {to_exponent} can be expressed")
    return rescaled


def is_multiple(amount: int, step: int) -> bool:
    """Whether the amount can be told to a provider in steps of ``step``. ValueError for what is no integer."""
    if type(amount) is not int:
        raise ValueError("an amount must be an integer")
    return amount % step == 0


def _require_integers(amount: int, *exponents: int) -> None:
    """A provider's JSON may hold a float whatever the types say, and ``True`` is an ``int`` in Python."""
    if type(amount) is not int:
        raise ValueError("an amount must be an integer")
    _require_exponents(*exponents)


def _require_exponents(*exponents: int) -> None:
    if any(type(digits) is not int or digits < 0 for digits in exponents):
        raise ValueError("an exponent must be an integer of 0 or more")
