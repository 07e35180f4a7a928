"""One item of an Adyen notification: what it says. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Raw, Struct

from tallystick.providers.adyen.codes import EXPONENTS
from tallystick.providers.receiver import CannotRead
from tallystick.providers.shared import Told, iso_amount

_Value = Annotated[int, Meta(ge=0, lt=2**53)]
_ValueText = Annotated[str, Meta(pattern=r"^[0-9]{1,15}\Z")]  # fifteen digits are below 2**53
_Plain = Annotated[str, Meta(pattern=r"^[^:]*\Z")]
_Named = Annotated[str, Meta(pattern=r"^[^:]+\Z")]


_TEXT: Final = msgspec.json.Decoder(str)


class _Amount(Struct, frozen=True):
    value: _Value | _ValueText | None = None
    currency: _Plain | None = None

    @property
    def minor_units(self) -> int | None:
        """The value, which some of their systems write as text."""
        return None if self.value is None else int(self.value)


class Item(Struct, frozen=True, rename="camel"):
    """``written_reason`` and ``event_date`` are not signed: odd ones say nothing, and keep no item from being read."""

    psp_reference: _Named
    event_code: _Named
    merchant_account_code: _Plain
    success: str | bool
    original_reference: _Plain | None = None
    merchant_reference: str | None = None
    amount: _Amount | None = None
    written_reason: Raw = msgspec.field(name="reason", default=Raw(b""))
    event_date: Raw = Raw(b"")

    @property
    def reason(self) -> str | None:
        """What the acquirer says of a refusal."""
        return _text(self.written_reason)

    @property
    def succeeded(self) -> bool:
        return self.success in (True, "true")

    @property
    def charge_reference(self) -> str:
        """The payment's, which modifications and disputes call the original."""
        return self.original_reference or self.psp_reference

    @property
    def occurred_at(self) -> datetime | None:
        try:
            found = datetime.fromisoformat(_text(self.event_date) or "")
        except ValueError:
            return None
        return None if found.utcoffset() is None else found


def _text(written: Raw) -> str | None:
    """A field that is not signed; None where it is no text."""
    try:
        return _TEXT.decode(written)
    except msgspec.MsgspecError:
        return None


def amount_of(item: Item) -> Told:
    """The item's amount in ISO 4217 minor units. Raises ValueError where there is none to convert."""
    value = None if item.amount is None else item.amount.minor_units
    if item.amount is None or value is None or item.amount.currency is None:
        raise CannotRead("an event about money without an amount")
    return iso_amount(value, item.amount.currency, EXPONENTS)


def amount_that_is_not_used(item: Item) -> Told:
    """The item's amount where nothing is decided by it: one that is missing, or that cannot be converted, is zero."""
    try:
        return amount_of(item)
    except ValueError:
        named = None if item.amount is None else item.amount.currency
        return Told(0, named or "", 0)
