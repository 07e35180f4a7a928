"""Whether an event without a payment here is of other software that uses the same account. Pure.

That needs proof: an object that always bears our mark when it is ours, and bears none; or the charge that the event
names was asked for, and bears none. An event with our mark and no payment here is never foreign: it may be of a record
that an older back-up replaced, or of a second installation.
"""

from __future__ import annotations

from typing import Final, assert_never

from msgspec import Struct

from tallystick.decisions.provider_events.dispositions import NotYet
from tallystick.domain.marks import ChargeMark, Mark

NO_PAYMENT: Final = "no such payment"

#: The reasons of a foreign event, as its story shows them.
BEARS_NO_MARK: Final = "its object would bear our mark if it were ours, and bears none"
CHARGE_BEARS_NO_MARK: Final = "the charge that it names was asked for, and bears no mark of ours"
CHARGE_IS_FOREIGN: Final = "the charge that it names is foreign by an earlier event"


class Foreign(Struct, frozen=True):
    """It is of other software, with the proof."""

    proof: str


class AskForCharge(Struct, frozen=True):
    """The event proves nothing by itself: the charge that it names may."""

    charge: str


class Unanswered(Struct, frozen=True):
    """The provider did not answer what the event depends on. It is no try of the event."""

    reason: str


def by_its_own_mark(mark: Mark | None, *, names_payment: bool, charge: str | None) -> Foreign | AskForCharge | NotYet:
    """What the bytes of an event prove whose payment is not here."""
    if mark == "ours" or names_payment:
        return NotYet(NO_PAYMENT)
    if mark == "absent":
        return Foreign(BEARS_NO_MARK)
    return NotYet(NO_PAYMENT) if charge is None else AskForCharge(charge)


def by_its_charge(mark: ChargeMark) -> Foreign | Unanswered | NotYet:
    """What the provider's answer about the charge proves."""
    match mark:
        case "absent":
            return Foreign(CHARGE_BEARS_NO_MARK)
        case "ours":
            return NotYet("the charge that it names bears our mark, and its payment is not here")
        case "unanswered":
            return Unanswered("the provider does not answer whether the charge that it names is ours")
        case "unknown":
            return NotYet(NO_PAYMENT)
        case _:
            assert_never(mark)
