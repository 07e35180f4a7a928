"""What a provider agreed to charge us, by date: schedules of fees. Pure.

A schedule is never changed: another one from another day on, or a correction for the same day, is the next version.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final, Literal, get_args

import msgspec
from msgspec import Struct

from tallystick.domain.currencies import EXPONENTS
from tallystick.domain.errors import TallystickError
from tallystick.domain.settlement_row import ROW_KINDS, RowKind

#: How a part of a minor unit is rounded. half_up: a half away from zero. half_even: a half to the even neighbour. up:
#: away from zero. down: towards zero.
Rounding = Literal["half_up", "half_even", "up", "down"]
ROUNDINGS: Final[tuple[Rounding, ...]] = get_args(Rounding)

#: 100 percent.
MILLION: Final = 1_000_000

#: A fee or a bound of one is no larger, in minor units.
MAX_FEE: Final = 10**12

#: More rates than any provider's price list has.
RATES_LIMIT: Final = 2_000


class ScheduleRefused(TallystickError):
    """The schedule says something that cannot be charged, or says it twice; nothing was kept."""


class FeeRate(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What rows of some kinds cost. ``parts_per_million`` of the row's gross amount, rounded once, and ``fixed`` added;
    then at least ``minimum`` and at most ``cap``, all in minor units of ``currency``. ``method`` and ``country`` None:
    any.
    """

    kinds: tuple[RowKind, ...] = ("charge",)
    currency: str
    method: str | None = None
    country: str | None = None
    parts_per_million: int = 0
    fixed: int = 0
    minimum: int | None = None
    cap: int | None = None


class FeeSchedule(Struct, frozen=True, kw_only=True):
    """One version of an account's fees, from ``valid_from`` on by the row's day. ``version`` counts from 1."""

    provider: str
    account: str
    version: int
    valid_from: date
    rounding: Rounding
    rates: tuple[FeeRate, ...]
    actor: str
    created_at: datetime


class StatedSchedule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A schedule as an operator writes it."""

    valid_from: date
    rounding: Rounding = "half_up"
    rates: tuple[FeeRate, ...]


_STATED: Final = msgspec.json.Decoder(StatedSchedule)


def stated_schedule(text: bytes) -> StatedSchedule:
    """The schedule that a JSON text states. Raises ScheduleRefused."""
    try:
        stated = _STATED.decode(text)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise ScheduleRefused(f"the schedule cannot be read: {error}") from None
    if not 0 < len(stated.rates) <= RATES_LIMIT:
        raise ScheduleRefused(f"it has to have from 1 to {RATES_LIMIT} rates")
    taken: set[tuple[str, str, str | None, str | None]] = set()
    for number, rate in enumerate(stated.rates, 1):
        fault = _fault(rate)
        if fault is not None:
            raise ScheduleRefused(f"rate {number}: {fault}")
        for kind in rate.kinds:
            place = (kind, rate.currency, rate.method, rate.country)
            if place in taken:
                raise ScheduleRefused(f"rate {number}: another one is for the same kind, currency, method and country")
            taken.add(place)
    return stated


def _fault(rate: FeeRate) -> str | None:
    if rate.currency not in EXPONENTS:
        return "its currency is none that we know, in upper case"
    if not rate.kinds or len(set(rate.kinds)) < len(rate.kinds) or not set(rate.kinds) <= set(ROW_KINDS):
        return "its kinds are not some kinds of rows, each once"
    if not 0 <= rate.parts_per_million <= MILLION:
        return f"parts_per_million is not from 0 to {MILLION}"
    amounts = [each for each in (rate.fixed, rate.minimum, rate.cap) if each is not None]
    if any(not 0 <= each <= MAX_FEE for each in amounts):
        return f"an amount is not from 0 to {MAX_FEE}"
    if rate.minimum is not None and rate.cap is not None and rate.minimum > rate.cap:
        return "its minimum is above its cap"
    return None


def in_force(schedules: Sequence[FeeSchedule], on: date) -> FeeSchedule | None:
    """The version that counts on a day: of those that are valid by then the one with the latest first day, and of
    several of those the newest."""
    valid = [each for each in schedules if each.valid_from <= on]
    return max(valid, key=lambda each: (each.valid_from, each.version), default=None)


def rates_as_json(rates: Sequence[FeeRate]) -> list[Mapping[str, Any]]:
    """Rates as they are stored and shown."""
    return [msgspec.to_builtins(rate) for rate in rates]
