"""The commands that a client can send, parsed from JSON.

Every fault of a request is reported at once (``InvalidFields``). Whether a provider or a payment method
exists, and whether the provider can represent the amount, is checked where the providers are known.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from msgspec import Struct, field

from tallystick.domain.money import ACCEPTED, MAX_AMOUNT
from tallystick.domain.requests.fields import (
    MAX_METADATA_KEY_CHARS,
    MAX_METADATA_KEYS,
    MAX_TEXT_CHARS,
    MIN_AMOUNT,
    NO_CONTROLS_PATTERN,
    Fields,
    InvalidFields,
)

__all__ = [
    "CAPTURE_METHODS",
    "MAX_TOKEN_CHARS",
    "SCHEMAS",
    "CancelPayment",
    "CaptureMethod",
    "CapturePayment",
    "CreatePayment",
    "CreateRefund",
    "InvalidFields",
    "parse_cancel_payment",
    "parse_capture_payment",
    "parse_create_payment",
    "parse_create_refund",
]

CaptureMethod = Literal["automatic", "manual"]
CAPTURE_METHODS: Final[tuple[CaptureMethod, ...]] = ("automatic", "manual")

MAX_TOKEN_CHARS: Final = 64  # payment_method and provider: twice what the tokens of providers need


class CreatePayment(Struct, frozen=True, kw_only=True):
    """Take ``amount`` (ISO 4217 minor units) from ``payment_method``, at ``provider`` or the default one."""

    amount: int
    currency: str
    payment_method: str
    capture_method: CaptureMethod = "automatic"
    provider: str | None = None
    description: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)


class CapturePayment(Struct, frozen=True, kw_only=True):
    """Capture an authorization; without ``amount`` all of it."""

    amount: int | None = None


class CancelPayment(Struct, frozen=True, kw_only=True):
    """Cancel an authorization. Takes no fields."""


class CreateRefund(Struct, frozen=True, kw_only=True):
    """Refund captured money; without ``amount`` everything that is left."""

    amount: int | None = None
    reason: str | None = None


_CREATE_PAYMENT_FIELDS: Final = frozenset(CreatePayment.__struct_fields__)
_CAPTURE_PAYMENT_FIELDS: Final = frozenset(CapturePayment.__struct_fields__)
_CANCEL_PAYMENT_FIELDS: Final = frozenset(CancelPayment.__struct_fields__)
_CREATE_REFUND_FIELDS: Final = frozenset(CreateRefund.__struct_fields__)


def parse_create_payment(body: dict[str, Any]) -> CreatePayment:
    """The command in a parsed body; InvalidFields naming every field that is wrong."""
    fields = Fields(body, _CREATE_PAYMENT_FIELDS)
    amount = fields.amount(required=True)
    currency = fields.currency()
    payment_method = fields.text("payment_method", MAX_TOKEN_CHARS, min_chars=1, required=True)
    capture_method = fields.one_of("capture_method", CAPTURE_METHODS)
    provider = fields.text("provider", MAX_TOKEN_CHARS, min_chars=1)
    description = fields.text("description", MAX_TEXT_CHARS)
    metadata = fields.metadata()
    if fields.errors or amount is None or currency is None or payment_method is None:
        fields.raise_errors()
    return CreatePayment(
        amount=amount,
        currency=currency,
        payment_method=payment_method,
        capture_method="manual" if capture_method == "manual" else "automatic",
        provider=provider,
        description=description,
        metadata=metadata,
    )


def parse_capture_payment(body: dict[str, Any]) -> CapturePayment:
    """The command in a parsed body; InvalidFields naming every field that is wrong."""
    fields = Fields(body, _CAPTURE_PAYMENT_FIELDS)
    amount = fields.amount()
    if fields.errors:
        fields.raise_errors()
    return CapturePayment(amount=amount)


def parse_cancel_payment(body: dict[str, Any]) -> CancelPayment:
    """The command in a parsed body, which has no fields; InvalidFields naming any field."""
    fields = Fields(body, _CANCEL_PAYMENT_FIELDS)
    if fields.errors:
        fields.raise_errors()
    return CancelPayment()


def parse_create_refund(body: dict[str, Any]) -> CreateRefund:
    """The command in a parsed body; InvalidFields naming every field that is wrong."""
    fields = Fields(body, _CREATE_REFUND_FIELDS)
    amount = fields.amount()
    reason = fields.text("reason", MAX_TEXT_CHARS)
    if fields.errors:
        fields.raise_errors()
    return CreateRefund(amount=amount, reason=reason)


def _object_schema(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    schema = {"type": "object", "additionalProperties": False, "properties": properties}
    return schema | {"required": list(required)} if required else schema


def _text_schema(max_chars: int, min_chars: int = 0) -> dict[str, Any]:
    return {"type": "string", "minLength": min_chars, "maxLength": max_chars, "pattern": NO_CONTROLS_PATTERN}


def _optional(schema: dict[str, Any]) -> dict[str, Any]:
    """An explicit null counts as an absent field."""
    return {"anyOf": [schema, {"type": "null"}]}


_AMOUNT_SCHEMA: Final = {"type": "integer", "minimum": MIN_AMOUNT, "maximum": MAX_AMOUNT}
_METADATA_SCHEMA: Final = {
    "type": "object",
    "maxProperties": MAX_METADATA_KEYS,
    "propertyNames": _text_schema(MAX_METADATA_KEY_CHARS, 1),
    "additionalProperties": _text_schema(MAX_TEXT_CHARS),
}

# JSON Schema (2020-12) of the bodies, made from the limits that the parsers apply; the OpenAPI document uses
# it. Looser than the parsers in one point: to JSON Schema 10.0 is an integer, here it is refused.
SCHEMAS: Final[Mapping[str, dict[str, Any]]] = {
    "CreatePayment": _object_schema(
        {
            "amount": _AMOUNT_SCHEMA,
            "currency": {"type": "string", "enum": sorted(ACCEPTED)},
            "payment_method": _text_schema(MAX_TOKEN_CHARS, 1),
            "capture_method": _optional({"type": "string", "enum": list(CAPTURE_METHODS), "default": "automatic"}),
            "provider": _optional(_text_schema(MAX_TOKEN_CHARS, 1)),
            "description": _optional(_text_schema(MAX_TEXT_CHARS)),
            "metadata": _optional(_METADATA_SCHEMA),
        },
        "amount",
        "currency",
        "payment_method",
    ),
    "CapturePayment": _object_schema({"amount": _optional(_AMOUNT_SCHEMA)}),
    "CancelPayment": _object_schema({}),
    "CreateRefund": _object_schema(
        {"amount": _optional(_AMOUNT_SCHEMA), "reason": _optional(_text_schema(MAX_TEXT_CHARS))}
    ),
}
