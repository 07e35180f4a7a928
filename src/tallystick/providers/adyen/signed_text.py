"""The text of an item that Adyen signs, whether the item can be read otherwise or not. Pure.

The signature has to be judged before the item is read: a field of a strange type is no reason to call the signature
wrong. A field is taken as JSON has it: a string as its text, null as nothing, all else as it is written.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec
from msgspec import Raw, Struct

from tallystick.providers.adyen.loose_json import members
from tallystick.providers.json_bytes import ILL_FORMED


class _Amount(Struct, frozen=True):
    value: Raw = Raw(b"")
    currency: Raw = Raw(b"")


class _Fields(Struct, frozen=True, rename="camel"):
    psp_reference: Raw = Raw(b"")
    original_reference: Raw = Raw(b"")
    merchant_account_code: Raw = Raw(b"")
    merchant_reference: Raw = Raw(b"")
    amount: Raw = Raw(b"")
    event_code: Raw = Raw(b"")
    success: Raw = Raw(b"")
    additional_data: Raw = Raw(b"")


class _Signature(Struct, frozen=True, rename="camel"):
    hmac_signature: str


_FIELDS: Final = msgspec.json.Decoder(_Fields)
_AMOUNT: Final = msgspec.json.Decoder(_Amount)
_SIGNATURE: Final = msgspec.json.Decoder(_Signature)
_TEXT: Final = msgspec.json.Decoder(str)


class SignedText(NamedTuple):
    """The signed fields as text, in the order in which they are signed, and the signature that the item gives."""

    psp_reference: str
    original_reference: str
    merchant_account_code: str
    merchant_reference: str
    value: str
    currency: str
    event_code: str
    success: str
    signature: str | None

    def signed(self) -> bytes:
        """What the signature is of. Raises UnicodeEncodeError for half a character."""
        return ":".join(self._signed_fields()).encode()

    def is_ambiguous(self) -> bool:
        """Whether other fields may have the same text: nothing in it is escaped. One field alone may have colons."""
        return any(":" in field for field in self._replace(merchant_reference="")._signed_fields())

    def _signed_fields(self) -> tuple[str, ...]:
        return (
            self.psp_reference,
            self.original_reference,
            self.merchant_account_code,
            self.merchant_reference,
            self.value,
            self.currency,
            self.event_code,
            self.success,
        )


def signed_text_of(item: bytes) -> SignedText:
    """Raises msgspec.MsgspecError, ValueError and RecursionError for what is no JSON object."""
    fields = _fields_of(item)
    amount = _amount_of(fields.amount) if bytes(fields.amount).startswith(b"{") else _Amount()
    return SignedText(
        psp_reference=_text(fields.psp_reference),
        original_reference=_text(fields.original_reference),
        merchant_account_code=_text(fields.merchant_account_code),
        merchant_reference=_text(fields.merchant_reference),
        value=_text(amount.value),
        currency=_text(amount.currency),
        event_code=_text(fields.event_code),
        success=_text(fields.success),
        signature=_signature(fields.additional_data),
    )


def is_readable(item: bytes) -> bool:
    """Whether a strict reader takes the whole item. One of which it does not is never translated."""
    try:
        _FIELDS.decode(item)
    except ILL_FORMED:
        return False
    return True


def _fields_of(item: bytes) -> _Fields:
    """As a strict reader finds them; else each by itself, so that no other field costs them their place."""
    try:
        return _FIELDS.decode(item)
    except ILL_FORMED:
        found = members(item)
    names = zip(_Fields.__struct_fields__, _Fields.__struct_encode_fields__, strict=True)
    return _Fields(**{name: Raw(found[written]) for name, written in names if written in found})


def _amount_of(written: Raw) -> _Amount:
    try:
        return _AMOUNT.decode(written)
    except ILL_FORMED:
        found = members(bytes(written))
    return _Amount(**{name: Raw(found[name]) for name in _Amount.__struct_fields__ if name in found})


def _text(field: Raw) -> str:
    written = bytes(field)
    if written in (b"", b"null"):
        return ""
    return _TEXT.decode(written) if written.startswith(b'"') else written.decode()


def _signature(additional_data: Raw) -> str | None:
    try:
        return _SIGNATURE.decode(additional_data).hmac_signature
    except msgspec.ValidationError:
        return None
    except ILL_FORMED:
        found = members(bytes(additional_data)).get("hmacSignature", b"")
        return _TEXT.decode(found) if found.startswith(b'"') else None
