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


def _object_schema(description: str, properties: dict[str, Any], *required: str) -> dict[str, Any]:
    schema = {
        "description": description,
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
    }
    return schema | {"required": list(required)} if required else schema


def _text_schema(max_chars: int, min_chars: int = 0) -> dict[str, Any]:
    return {"type": "string", "minLength": min_chars, "maxLength": max_chars, "pattern": NO_CONTROLS_PATTERN}


def _optional(schema: dict[str, Any]) -> dict[str, Any]:
    """An explicit null counts as an absent field."""
    return {"anyOf": [schema, {"type": "null"}]}


def _field(schema: dict[str, Any], description: str, *examples: Any) -> dict[str, Any]:
    return {"description": description, **schema} | ({"examples": list(examples)} if examples else {})


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
        "What is charged, and how.",
        {
            "amount": _field(_AMOUNT_SCHEMA, "What to charge, in the currency's minor unit: 1250 is 12.50 EUR.", 1250),
            "currency": _field(
                {"type": "string", "enum": sorted(ACCEPTED)}, "The currency's ISO 4217 code, in upper case.", "EUR"
            ),
            "payment_method": _field(
                _text_schema(MAX_TOKEN_CHARS, 1),
                "The payer's payment method, as a token of the provider; never a card number.",
                "sim_ok",
            ),
            "capture_method": _field(
                _optional({"type": "string", "enum": list(CAPTURE_METHODS), "default": "automatic"}),
                "`automatic`: the money is taken at once. `manual`: it is held, until you capture or cancel.",
                "automatic",
            ),
            "provider": _field(
                _optional(_text_schema(MAX_TOKEN_CHARS, 1)),
                "The provider to use; the merchant's default one where it is absent.",
            ),
            "description": _field(_optional(_text_schema(MAX_TEXT_CHARS)), "Yours, for people.", "Order 1042"),
            "metadata": _field(_optional(_METADATA_SCHEMA), "Yours, for programs.", {"order": "1042"}),
        },
        "amount",
        "currency",
        "payment_method",
    ),
    "CapturePayment": _object_schema(
        "How much of a hold is captured.",
        {
            "amount": _field(
                _optional(_AMOUNT_SCHEMA),
                "What to capture, in the currency's minor unit; all of it where it is absent.",
                1000,
            )
        },
    ),
    "CancelPayment": _object_schema("An empty object: a cancel takes no fields.", {}),
    "CreateRefund": _object_schema(
        "How much is paid back, and why.",
        {
            "amount": _field(
                _optional(_AMOUNT_SCHEMA),
                "What to pay back, in the currency's minor unit; all that is left where it is absent.",
                500,
            ),
            "reason": _field(_optional(_text_schema(MAX_TEXT_CHARS)), "Yours, for people.", "Returned goods"),
        },
    ),
}
