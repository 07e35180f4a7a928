"""The commands a client can give, and how parsed JSON and query parameters become them.

Everything wrong with a request is named at once (``InvalidFields``). Whether a provider or a payment method
exists, and whether the provider can represent the amount, is decided where the providers are known.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Final, Literal

from msgspec import Struct, field

from tallystick.domain.money import EXPONENTS, MAX_AMOUNT
from tallystick.domain.requests.fields import (
    MAX_METADATA_KEY_CHARS,
    MAX_METADATA_KEYS,
    MAX_TEXT_CHARS,
    MIN_AMOUNT,
    NO_CONTROLS_PATTERN,
    Fields,
    InvalidFields,
)
from tallystick.domain.requests.idempotency_key import MAX_KEY_CHARS

__all__ = [
    "CAPTURE_METHODS",
    "DEFAULT_PAGE_SIZE",
    "MAX_CURSOR_CHARS",
    "MAX_PAGE_SIZE",
    "MAX_REFERENCE_CHARS",
    "MAX_TOKEN_CHARS",
    "SCHEMAS",
    "CancelPayment",
    "CaptureMethod",
    "CapturePayment",
    "CreatePayment",
    "CreateRefund",
    "InvalidFields",
    "ListPayments",
    "parse_cancel_payment",
    "parse_capture_payment",
    "parse_create_payment",
    "parse_create_refund",
    "parse_list_query",
]

CaptureMethod = Literal["automatic", "manual"]
CAPTURE_METHODS: Final[tuple[CaptureMethod, ...]] = ("automatic", "manual")

MAX_TOKEN_CHARS: Final = 64  # payment_method and provider: twice what the tokens of providers need
MAX_REFERENCE_CHARS: Final = 255  # provider references: as long as an idempotency key, which some are made from
MAX_CURSOR_CHARS: Final = 512  # a position in a list, with room to spare
MAX_PAGE_SIZE: Final = 100  # payments; even with full metadata a page stays within a few megabytes
DEFAULT_PAGE_SIZE: Final = 20  # payments: a screenful

_ANY_KEY: Final = re.compile(rf"[\x20-\x7e]{{1,{MAX_KEY_CHARS}}}")  # an idempotency key, unquoted


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
    """Capture an authorization; all of it without ``amount``."""

    amount: int | None = None


class CancelPayment(Struct, frozen=True, kw_only=True):
    """Cancel an authorization. Takes no fields."""


class CreateRefund(Struct, frozen=True, kw_only=True):
    """Give captured money back; all that is left of it without ``amount``."""

    amount: int | None = None
    reason: str | None = None


class ListPayments(Struct, frozen=True, kw_only=True):
    """A page of payments. ``created_gte`` is in UTC, ``limit`` counts payments."""

    state: str | None = None
    created_gte: datetime | None = None
    idempotency_key: str | None = None
    provider_reference: str | None = None
    limit: int = DEFAULT_PAGE_SIZE
    cursor: str | None = None


_CREATE_PAYMENT_FIELDS: Final = frozenset(CreatePayment.__struct_fields__)
_CAPTURE_PAYMENT_FIELDS: Final = frozenset(CapturePayment.__struct_fields__)
_CANCEL_PAYMENT_FIELDS: Final = frozenset(CancelPayment.__struct_fields__)
_CREATE_REFUND_FIELDS: Final = frozenset(CreateRefund.__struct_fields__)
_LIST_PAYMENTS_FIELDS: Final = frozenset(ListPayments.__struct_fields__)


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
    """The command in a parsed body, which has no fields; InvalidFields naming any that are there."""
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


def parse_list_query(params: Mapping[str, list[str]], states: Collection[str]) -> ListPayments:
    """The page that decoded query parameters ask for; ``states`` are all payment states, in the order to name
    them.

    InvalidFields for unknown or repeated parameters and for every bad value, an empty one included.
    """
    query = Fields({name: values[0] for name, values in params.items() if values}, _LIST_PAYMENTS_FIELDS)
    for name, values in params.items():
        if len(values) > 1 and name in _LIST_PAYMENTS_FIELDS:
            query.refuse(name, "repeated", "may be given only once")
    page = ListPayments(
        state=query.one_of("state", states),
        created_gte=query.timestamp("created_gte"),
        idempotency_key=query.matching(
            "idempotency_key",
            _ANY_KEY,
            f"must be 1-{MAX_KEY_CHARS} printable ASCII characters, without quotes",
        ),
        provider_reference=query.text("provider_reference", MAX_REFERENCE_CHARS, min_chars=1),
        limit=query.integer("limit", 1, MAX_PAGE_SIZE, DEFAULT_PAGE_SIZE),
        cursor=query.text("cursor", MAX_CURSOR_CHARS, min_chars=1),
    )
    if query.errors:
        query.raise_errors()
    return page


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
            "currency": {"type": "string", "enum": sorted(EXPONENTS)},
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
