"""Commands from parsed bodies and queries; every bad field is named at once, no value ever is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema_rs import Draft202012Validator

from tallystick.domain.money import MAX_AMOUNT
from tallystick.domain.requests.commands import (
    MAX_TOKEN_CHARS,
    SCHEMAS,
    CancelPayment,
    CapturePayment,
    CreatePayment,
    CreateRefund,
    InvalidFields,
    parse_cancel_payment,
    parse_capture_payment,
    parse_create_payment,
    parse_create_refund,
)
from tallystick.domain.requests.fields import (
    MAX_FIELD_ERRORS,
    MAX_METADATA_KEY_CHARS,
    MAX_METADATA_KEYS,
    MAX_TEXT_CHARS,
)
from tallystick.domain.requests.json_body import NumberLiteral

SMALLEST: dict[str, Any] = {"amount": 1050, "currency": "EUR", "payment_method": "sim_ok"}
STATES = ("authorizing", "captured", "declined")


def refusals(parse: Callable[..., object], *arguments: Any) -> list[tuple[str, str]]:
    with pytest.raises(InvalidFields) as caught:
        parse(*arguments)
    assert all(error.detail for error in caught.value.errors)
    return [(error.field, error.code) for error in caught.value.errors]


def test_a_create_with_only_what_is_required() -> None:
    assert parse_create_payment(SMALLEST) == CreatePayment(
        amount=1050,
        currency="EUR",
        payment_method="sim_ok",
        capture_method="automatic",
        provider=None,
        description=None,
        metadata={},
    )


def test_a_create_with_everything() -> None:
    body = SMALLEST | {
        "capture_method": "manual",
        "provider": "simulator",
        "description": "Bestellung №4711 😀",
        "metadata": {"order": "4711", "empty": ""},
    }
    command = parse_create_payment(body)
    assert {name: getattr(command, name) for name in command.__struct_fields__} == body


def test_null_for_an_optional_field_counts_as_absent() -> None:
    nulls = dict.fromkeys(("capture_method", "provider", "description", "metadata"))
    assert parse_create_payment(SMALLEST | nulls) == parse_create_payment(SMALLEST)
    assert parse_capture_payment({"amount": None}) == CapturePayment()
    assert parse_create_refund({"amount": None, "reason": None}) == CreateRefund()


def test_the_other_commands() -> None:
    assert parse_capture_payment({}) == CapturePayment(amount=None)
    assert parse_capture_payment({"amount": 1}) == CapturePayment(amount=1)
    assert parse_cancel_payment({}) == CancelPayment()
    assert parse_create_refund({"amount": MAX_AMOUNT, "reason": ""}) == CreateRefund(amount=MAX_AMOUNT, reason="")


BAD_FIELDS: list[tuple[str, Any, str]] = [
    ("amount", None, "required"),
    ("amount", True, "must_be_integer"),
    ("amount", 10.5, "must_be_integer"),
    ("amount", NumberLiteral("10.0"), "must_be_integer"),
    ("amount", NumberLiteral("1e3"), "must_be_integer"),
    ("amount", "1050", "must_be_integer"),
    ("amount", [1050], "must_be_integer"),
    ("amount", {}, "must_be_integer"),
    ("amount", 0, "out_of_range"),
    ("amount", -1, "out_of_range"),
    ("amount", MAX_AMOUNT + 1, "out_of_range"),
    ("amount", NumberLiteral("1" * 20), "out_of_range"),
    ("amount", NumberLiteral("-" + "1" * 20), "out_of_range"),
    ("currency", None, "required"),
    ("currency", "eur", "unknown_currency"),
    ("currency", "XXX", "unknown_currency"),
    ("currency", "", "unknown_currency"),
    ("currency", 978, "must_be_string"),
    ("currency", ["EUR"], "must_be_string"),
    ("payment_method", None, "required"),
    ("payment_method", "", "too_short"),
    ("payment_method", "x" * (MAX_TOKEN_CHARS + 1), "too_long"),
    ("payment_method", "sim\x00ok", "control_character"),
    ("payment_method", 1, "must_be_string"),
    ("payment_method", NumberLiteral("1.0"), "must_be_string"),
    ("capture_method", "later", "unknown_value"),
    ("capture_method", "", "unknown_value"),
    ("capture_method", True, "must_be_string"),
    ("capture_method", ["manual"], "must_be_string"),
    ("provider", "", "too_short"),
    ("provider", "x" * (MAX_TOKEN_CHARS + 1), "too_long"),
    ("provider", {}, "must_be_string"),
    ("description", "x" * (MAX_TEXT_CHARS + 1), "too_long"),
    ("description", "two\nlines", "control_character"),
    ("description", "\x7f", "control_character"),
    ("description", "\x85", "control_character"),
    ("description", NumberLiteral("1.5"), "must_be_string"),
    ("metadata", [], "must_be_object"),
    ("metadata", "x", "must_be_object"),
    ("metadata", {str(number): "" for number in range(MAX_METADATA_KEYS + 1)}, "too_many_keys"),
]


@pytest.mark.parametrize(("field", "value", "code"), BAD_FIELDS)
def test_a_bad_field_is_named(field: str, value: Any, code: str) -> None:
    assert refusals(parse_create_payment, SMALLEST | {field: value}) == [(field, code)]


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"order": 4711}, [("metadata.order", "must_be_string")]),
        ({"order": None}, [("metadata.order", "must_be_string")]),
        ({"order": NumberLiteral("1.0")}, [("metadata.order", "must_be_string")]),
        ({"order": {"a": "b"}}, [("metadata.order", "must_be_string")]),
        ({"order": "x" * (MAX_TEXT_CHARS + 1)}, [("metadata.order", "too_long")]),
        ({"order": "a\x00"}, [("metadata.order", "control_character")]),
        ({"": "x"}, [("metadata.", "too_short")]),
        ({"k" * (MAX_METADATA_KEY_CHARS + 1): "x"}, [("metadata." + "k" * 40, "too_long")]),
        ({"a\x00": "x"}, [("metadata.a\\x00", "control_character")]),
        ({"a\n": 1}, [("metadata.a\\n", "control_character"), ("metadata.a\\n", "must_be_string")]),
        ({"4111111111111111": 1}, [("metadata.(withheld)", "must_be_string")]),
    ],
)
def test_bad_metadata_is_named_by_key(metadata: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert refusals(parse_create_payment, SMALLEST | {"metadata": metadata}) == expected


def test_limits_are_inclusive() -> None:
    keys = {f"{number:040}": "v" * MAX_TEXT_CHARS for number in range(MAX_METADATA_KEYS)}
    largest = SMALLEST | {
        "amount": MAX_AMOUNT,
        "payment_method": "p" * MAX_TOKEN_CHARS,
        "provider": "p" * MAX_TOKEN_CHARS,
        "description": "😀" * MAX_TEXT_CHARS,  # characters, not bytes
        "metadata": keys,
    }
    assert parse_create_payment(largest).metadata == keys
    assert parse_create_payment(SMALLEST | {"amount": 1}).amount == 1


def test_every_bad_field_is_named_at_once() -> None:
    body = {
        "amount": "1050",
        "currency": "euro",
        "capture_method": "never",
        "provider": 1,
        "description": "\x00",
        "metadata": {"a": 1, "b": 2},
        "colour": "red",
        "api_key": "x",
    }
    assert refusals(parse_create_payment, body) == [
        ("colour", "unknown_field"),
        ("api_key", "unknown_field"),
        ("amount", "must_be_integer"),
        ("currency", "unknown_currency"),
        ("payment_method", "required"),
        ("capture_method", "unknown_value"),
        ("provider", "must_be_string"),
        ("description", "control_character"),
        ("metadata.a", "must_be_string"),
        ("metadata.b", "must_be_string"),
    ]
    assert refusals(parse_create_payment, {}) == [
        ("amount", "required"),
        ("currency", "required"),
        ("payment_method", "required"),
    ]


def test_the_other_commands_name_theirs() -> None:
    assert refusals(parse_capture_payment, {"amount": 0, "x": 1}) == [
        ("x", "unknown_field"),
        ("amount", "out_of_range"),
    ]
    assert refusals(parse_cancel_payment, {"amount": 1}) == [("amount", "unknown_field")]
    assert refusals(parse_create_refund, {"amount": 1.5, "reason": 1, "currency": "EUR"}) == [
        ("currency", "unknown_field"),
        ("amount", "must_be_integer"),
        ("reason", "must_be_string"),
    ]


def test_unknown_names_come_back_safe_and_few() -> None:
    assert refusals(parse_cancel_payment, {"4111 1111 1111 1111": 1}) == [("(withheld)", "unknown_field")]
    assert refusals(parse_cancel_payment, {"\x1b[31m" + "x" * 100: 1}) == [("\\x1b[31m" + "x" * 35, "unknown_field")]
    assert len(refusals(parse_cancel_payment, {str(number): 1 for number in range(9_000)})) == MAX_FIELD_ERRORS


def test_no_value_is_ever_repeated() -> None:
    secret = "Geheimnis"
    body = dict.fromkeys(CreatePayment.__struct_fields__, secret * 100 + "\x00") | {
        "metadata": {"a": secret * 100, "b": [secret]},
        "unknown": secret,
    }
    with pytest.raises(InvalidFields) as caught:
        parse_create_payment(body)
    assert secret not in repr(caught.value) + repr(caught.value.errors)


PARSERS: dict[str, Callable[[dict[str, Any]], object]] = {
    "CreatePayment": parse_create_payment,
    "CapturePayment": parse_capture_payment,
    "CancelPayment": parse_cancel_payment,
    "CreateRefund": parse_create_refund,
}
ODD_VALUES: list[Any] = [
    None,
    True,
    0,
    1,
    -1,
    MAX_AMOUNT,
    MAX_AMOUNT + 1,
    1.5,
    "",
    "1",
    "EUR",
    "eur",
    "manual",
    [],
    {},
]
ODD_VALUES += ["x" * size for size in (64, 65, 500, 501)] + [
    "\x00",
    "\x1f ",
    "\x85",
    "é😀",
    {"k": "v"},
    {"k": 1},
]
ODD_VALUES += [{"": "v"}, {"k" * 40: "v"}, {"k" * 41: "v"}, {"k": "v" * 501}, {"k\x00": "v"}, {"k": None}]
ODD_VALUES += [{str(number): "" for number in range(size)} for size in (50, 51)]
VALIDATORS = {name: Draft202012Validator(schema) for name, schema in SCHEMAS.items()}


@pytest.mark.exhaustive
@settings(max_examples=400)
@given(
    st.sampled_from(sorted(PARSERS)),
    st.booleans(),
    st.dictionaries(
        st.sampled_from([*CreatePayment.__struct_fields__, "reason", "other"]),
        st.sampled_from(ODD_VALUES),
        max_size=2,
    ),
)
def test_the_published_schemas_and_the_parsers_agree(name: str, complete: bool, odd: dict[str, Any]) -> None:
    body = (SMALLEST if complete and name == "CreatePayment" else {}) | odd
    try:
        PARSERS[name](body)
        accepted = True
    except InvalidFields:
        accepted = False
    assert accepted == VALIDATORS[name].is_valid(body)


@pytest.mark.parametrize(("field", "value", "code"), BAD_FIELDS)
def test_the_schema_refuses_what_the_parser_refuses(field: str, value: Any, code: str) -> None:
    if not isinstance(value, NumberLiteral):  # which JSON Schema would see as a number
        assert not VALIDATORS["CreatePayment"].is_valid(SMALLEST | {field: value}), code
