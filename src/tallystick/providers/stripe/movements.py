"""A dispute's balance transactions as movements, in the dispute's currency. Pure.

An account may be kept in another currency than the payment's. What a movement of it is in the dispute's own is said by
the transaction's exchange rate, or by the dispute itself: its first withdrawal takes its amount, and a return that the
dispute's end calls whole gives it back. Of any other nobody says it, and it is of unknown amount.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final

from tallystick.domain.dispute_movement import Movement
from tallystick.domain.money import exponent
from tallystick.domain.subjects import DisputeState
from tallystick.providers.stripe.codes import EXPONENTS
from tallystick.providers.stripe.objects import BalanceTransaction, Dispute, amount_of

#: A return of less than this part of what was withdrawn is a part of it: no exchange rate halves while a dispute lasts.
WHOLE_AT_LEAST: Final = Decimal("0.5")

#: Rates outside are no rates of two currencies: the rial and the dinar are a factor of a hundred million apart.
_RATES: Final = (Decimal("1e-9"), Decimal("1e9"))


def movements_of(dispute: Dispute, state: DisputeState, *, takes: bool) -> tuple[Movement, ...]:
    """Each named by its balance transaction. The first belongs to the dispute's course, unless it is told as a
    withdrawal (``takes``) of what was won already. Raises ValueError for an amount in the dispute's own currency that
    has no ISO 4217 equivalent."""
    listed = [each for each in dispute.balance_transactions or () if each.amount]
    won_before = takes and state == "won" and len(listed) == 1
    taken = next((each for each in listed if each.amount < 0), None)
    whole = _whole_return(listed, taken) if state == "won" else None
    found = []
    for number, each in enumerate(listed):
        is_foreign = each.currency.upper() != dispute.currency.upper()
        found.append(
            Movement(
                reference=each.id,
                funds="withdrawn" if each.amount < 0 else "returned",
                **_amount(each, dispute, is_whole=each is taken or each is whole),
                before_verdict=number == 0 and not won_before,
                moved_amount=abs(each.amount) if is_foreign else None,
                moved_currency=each.currency.upper() if is_foreign else None,
            )
        )
    return tuple(found)


def _amount(moved: BalanceTransaction, dispute: Dispute, *, is_whole: bool) -> dict[str, int | None]:
    """In the dispute's currency and ISO 4217 minor units; None where nobody says it. Beside it Stripe's own number,
    where it is one and no conversion."""
    if moved.currency.upper() == dispute.currency.upper():
        same = amount_of(abs(moved.amount), moved.currency)
        return {"amount": same.amount, "provider_amount": same.provider_amount}
    whole = amount_of(dispute.amount, dispute.currency)
    rate = moved.exchange_rate
    if rate is not None and rate.is_finite() and _RATES[0] <= rate <= _RATES[1]:
        # A conversion is rounded, and by a rate that may have moved: by itself it makes no dispute larger than it is.
        converted = min(_converted(abs(moved.amount), rate, dispute.currency.upper()), Decimal(whole.amount))
        return {"amount": int(converted.quantize(Decimal(1), ROUND_HALF_EVEN)) or None}
    return {"amount": whole.amount, "provider_amount": whole.provider_amount} if is_whole else {"amount": None}


def _converted(amount: int, rate: Decimal, currency: str) -> Decimal:
    """What was multiplied by the rate to give the amount. Rates are of amounts in Stripe's own minor units."""
    ours = exponent(currency)
    return Decimal(amount) / rate * Decimal(10) ** (ours - EXPONENTS.get(currency, ours))


def _whole_return(listed: list[BalanceTransaction], taken: BalanceTransaction | None) -> BalanceTransaction | None:
    """What gives back all that the first withdrawal took: the first return that is large enough, in its currency."""
    if taken is None:
        return None
    same_currency = (each for each in listed if each.currency == taken.currency)
    return next((each for each in same_currency if each.amount >= -taken.amount * WHOLE_AT_LEAST), None)
