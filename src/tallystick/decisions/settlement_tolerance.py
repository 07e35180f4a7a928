"""How far a row may be off, and why: bounds that follow from rounding, and from nothing else. Pure."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation, localcontext
from typing import Final

from tallystick.domain.money import exponent

#: Half a minor unit: what rounding one number can take or add.
_HALF: Final = Decimal("0.5")

#: Digits that hold any amount times any rate exactly, so that nothing is rounded before it is compared.
_DIGITS: Final = 60

#: A rate has at most this many characters; a longer one is no rate.
_RATE_CHARS: Final = 30


def rounding_bound(numbers: int) -> int:
    """By how many minor units numbers that were rounded one by one may be off together: half a unit each."""
    return numbers // 2


def converts(amount: int, currency: str, settled: int, settled_currency: str, rate: str) -> bool:
    """Whether the amount at this rate is the settled amount, rounded in any direction of half a unit. Amounts in minor
    units; a rate is settled currency for one of the other, in major units, as the provider writes it."""
    if len(rate) > _RATE_CHARS:
        return False
    with localcontext() as context:
        context.prec = _DIGITS
        try:
            exact, shift = Decimal(rate), exponent(settled_currency) - exponent(currency)
        except (InvalidOperation, ValueError):
            return False
        if not exact.is_finite() or exact <= 0:
            return False
        at_rate = (Decimal(amount) * exact).scaleb(shift)
        return abs(at_rate - settled) <= _HALF
