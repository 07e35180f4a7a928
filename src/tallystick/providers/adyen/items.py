"""One item of an Adyen notification: what it says, and the text of it that is signed. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from msgspec import Meta, Struct

from tallystick.providers.adyen.codes import EXPONENTS
from tallystick.providers.shared import Told, iso_amount

_Value = Annotated[int, Meta(ge=0, lt=2**53)]
_Plain = Annotated[str, Meta(pattern=r"^[^:]*\Z")]
_Named = Annotated[str, Meta(pattern=r"^[^:]+\Z")]


class _Amount(Struct, frozen=True):
    value: _Value | None = None
    currency: _Plain | None = None


class Item(Struct, frozen=True, rename="camel"):
    psp_reference: _Named
    event_code: _Named
    merchant_account_code: _Plain
    success: str | bool
    original_reference: _Plain | None = None
    merchant_reference: str | None = None
    amount: _Amount | None = None
    reason: str | None = None
    event_date: str | None = None
    additional_data: dict[str, Any] | None = None

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
            found = datetime.fromisoformat(self.event_date or "")
        except ValueError:
            return None
        return None if found.utcoffset() is None else found

    def signed_text(self) -> bytes:
        amount = self.amount or _Amount()
        fields = (
            self.psp_reference,
            self.original_reference,
            self.merchant_account_code,
            self.merchant_reference,
            amount.value,
            amount.currency,
            self.event_code,
            "true" if self.succeeded else "false",
        )
        return ":".join("" if field is None else str(field) for field in fields).encode()


def amount_of(item: Item) -> Told:
    """The item's amount in ISO 4217 minor units. Raises ValueError where there is none to convert."""
    if item.amount is None or item.amount.value is None or item.amount.currency is None:
        raise ValueError("an event about money without an amount")
    return iso_amount(item.amount.value, item.amount.currency, EXPONENTS)
