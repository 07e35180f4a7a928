"""Query parameters: read, refused and documented by the one row that declares them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick.domain.lifecycles.payment import PAYMENT
from tallystick.domain.requests.fields import InvalidFields
from tallystick.interfaces.api.paging import PAYMENTS, write_cursor
from tallystick.interfaces.api.parameters import (
    MAX_CURSOR_CHARS,
    MAX_PAGE_SIZE,
    Parameter,
    any_text,
    integer,
    query_id,
    read_query,
)
from tallystick.interfaces.api.routes.payments import MAX_REFERENCE_CHARS
from tallystick.interfaces.api.table import ENDPOINTS

LIST = next(endpoint.parameters for endpoint in ENDPOINTS if endpoint.name == "listPayments")

NOTHING: dict[str, Any] = dict.fromkeys(parameter.name for parameter in LIST)

POSITION = (datetime(2026, 1, 1, tzinfo=UTC), f"pay_{'0' * 31}a")
CURSOR = write_cursor(PAYMENTS, POSITION)


def refusals(query: Mapping[str, list[str]], parameters: Sequence[Parameter]) -> list[tuple[str, str]]:
    """What is refused: field and code."""
    with pytest.raises(InvalidFields) as refused:
        read_query(query, parameters)
    return [(error.field, error.code) for error in refused.value.errors]


def test_a_list_query_without_parameters() -> None:
    assert read_query({}, LIST) == NOTHING | {"limit": 20}


def test_a_list_query_with_everything() -> None:
    query = {
        "state": ["captured"],
        "created_gte": ["2026-01-01T01:30:00.250+01:30"],
        "created_lt": ["2026-01-02T00:00:00Z"],
        "idempotency_key": ['say "hi", twice'],
        "provider_reference": ["ch_1"],
        "amount_gte": ["1"],
        "amount_lte": ["1000000000000"],
        "currency": ["EUR"],
        "metadata[order]": ["5"],
        "limit": ["100"],
        "cursor": [CURSOR],
    }
    assert read_query(query, LIST) == {
        "state": "captured",
        "created_gte": datetime(2026, 1, 1, 0, 0, 0, 250_000, tzinfo=UTC),
        "created_lt": datetime(2026, 1, 2, tzinfo=UTC),
        "idempotency_key": 'say "hi", twice',
        "provider_reference": "ch_1",
        "amount_gte": 1,
        "amount_lte": 10**12,
        "currency": "EUR",
        "metadata": ("order", "5"),
        "limit": 100,
        "cursor": POSITION,
    }


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-01T00:00:00Z",
        "2026-01-01t00:00:00z",
        "2026-01-01T00:00:00-00:00",
        "2026-01-01T00:00:00.000000000Z",
        "2025-12-31T19:00:00-05:00",
    ],
)
def test_timestamps_are_read_as_rfc_3339_has_them(text: str) -> None:
    created_gte = read_query({"created_gte": [text]}, LIST)["created_gte"]
    assert created_gte == datetime(2026, 1, 1, tzinfo=UTC)
    assert created_gte.tzinfo is UTC


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("state", "paid", "unknown_value"),
        ("state", "", "unknown_value"),
        ("created_gte", "", "must_be_timestamp"),
        ("created_gte", "yesterday", "must_be_timestamp"),
        ("created_gte", "2026-01-01", "must_be_timestamp"),
        ("created_gte", "2026-01-01T00:00:00", "must_be_timestamp"),  # whose midnight?
        ("created_gte", "2026-01-01 00:00:00Z", "must_be_timestamp"),
        ("created_gte", "2026-01-01T00:00:00 01:00", "must_be_timestamp"),  # an unescaped "+"
        ("created_gte", "2026-02-30T00:00:00Z", "must_be_timestamp"),
        ("created_gte", "2026-01-01T24:00:00Z", "must_be_timestamp"),
        ("created_gte", "2026-01-01T00:00:00+25:00", "must_be_timestamp"),
        ("created_gte", "0000-01-01T00:00:00Z", "must_be_timestamp"),
        ("created_gte", "0001-01-01T00:00:00+23:00", "must_be_timestamp"),
        ("created_gte", "9999-12-31T23:59:59-23:00", "must_be_timestamp"),
        ("created_gte", "20260101T000000Z", "must_be_timestamp"),
        ("created_gte", "2026-W01-1T00:00:00Z", "must_be_timestamp"),
        ("created_gte", "2026-01-01T00:00:00Z\n", "must_be_timestamp"),
        ("created_gte", "\u0662026-01-01T00:00:00Z", "must_be_timestamp"),
        ("created_gte", "1767225600", "must_be_timestamp"),
        ("idempotency_key", "", "invalid_value"),
        ("idempotency_key", "k" * 256, "invalid_value"),
        ("idempotency_key", "a\x00b", "invalid_value"),
        ("idempotency_key", "clé", "invalid_value"),
        ("provider_reference", "", "too_short"),
        ("provider_reference", "r" * (MAX_REFERENCE_CHARS + 1), "too_long"),
        ("provider_reference", "a\x00b", "control_character"),
        ("provider_reference", "a\udcffb", "control_character"),  # what lax percent-decoding leaves
        ("limit", "", "must_be_integer"),
        ("limit", "ten", "must_be_integer"),
        ("limit", "1.0", "must_be_integer"),
        ("limit", " 1", "must_be_integer"),
        ("limit", "+1", "must_be_integer"),
        ("limit", "1_0", "must_be_integer"),
        ("limit", "\u0661", "must_be_integer"),
        ("limit", "9" * 5000, "must_be_integer"),
        ("limit", "0", "out_of_range"),
        ("limit", "-1", "out_of_range"),
        ("limit", str(MAX_PAGE_SIZE + 1), "out_of_range"),
        ("cursor", "", "too_short"),
        ("cursor", "c" * (MAX_CURSOR_CHARS + 1), "too_long"),
        ("cursor", "\x00", "control_character"),
        ("cursor", "abc", "invalid_value"),
        ("offset", "1", "unknown_field"),
        ("amount_gte", "0", "out_of_range"),
        ("amount_lte", str(10**12 + 1), "out_of_range"),
        ("amount_lte", "1e3", "must_be_integer"),
        ("currency", "XXX", "unknown_value"),
        ("metadata", "a", "must_be_object"),
        ("metadata[a", "b", "unknown_field"),
        ("metadatum[a]", "b", "unknown_field"),
    ],
)
def test_a_bad_parameter_is_named(name: str, value: str, code: str) -> None:
    assert refusals({name: [value]}, LIST) == [(name, code)]


def test_every_bad_parameter_is_named_at_once() -> None:
    query = {"state": ["captured", "captured"], "limit": ["0"], "page": ["1", "2"], "created_gte": ["now"]}
    assert refusals(query, LIST) == [
        ("page", "unknown_field"),
        ("state", "repeated"),
        ("created_gte", "must_be_timestamp"),
        ("limit", "out_of_range"),
    ]


@pytest.mark.exhaustive
@settings(max_examples=200)
@given(
    st.dictionaries(
        st.sampled_from([*NOTHING, "metadata[a]", "metadata[]", "metadata[a"]),
        st.lists(st.text(max_size=30), max_size=2),
        max_size=6,
    )
)
def test_any_query_gives_a_page_or_a_refusal(query: dict[str, list[str]]) -> None:
    try:
        assert 1 <= read_query(query, LIST)["limit"] <= MAX_PAGE_SIZE
    except InvalidFields as refused:
        assert refused.errors


def test_a_required_id_is_named_where_it_is_missing_and_read_as_it_is() -> None:
    row = [query_id("pay", "payment")]
    assert refusals({}, row) == refusals({"payment": [""]}, row) == [("payment", "required")]
    assert refusals({"payment": ["a", "b"]}, row) == [("payment", "repeated")]
    assert read_query({"payment": ["anything"]}, row) == {"payment": "anything"}, "it names nothing: 404, not 422"


def test_any_text_is_one_that_a_database_takes() -> None:
    assert read_query({"type": ["a\x00b\udcffc"]}, [any_text("type", "")]) == {"type": "ab?c"}
    assert read_query({"type": [""]}, [any_text("type", "")]) == {"type": ""}


def test_one_member_of_a_deep_object_is_read() -> None:
    def found(*names: str, values: Sequence[str] = ("v",)) -> Any:
        return read_query({name: list(values) for name in names}, LIST)["metadata"]

    assert found("metadata[order]") == ("order", "v")
    assert found("metadata[a][b]") == ("a][b", "v")
    assert found("metadata[order]", values=("",)) == ("order", "")
    for names, values, fault in (
        (["metadata[a]", "metadata[b]"], ["v"], ("metadata", "too_many_keys")),
        (["metadata[a]"], ["v", "w"], ("metadata", "repeated")),
        (["metadata[a]", "metadata"], ["v"], ("metadata", "repeated")),
        (["metadata[]"], ["v"], ("metadata.", "too_short")),
        ([f"metadata[{'k' * 41}]"], ["v"], (f"metadata.{'k' * 40}", "too_long")),
        (["metadata[a]"], ["\x00"], ("metadata.a", "control_character")),
    ):
        assert fault in refusals({name: list(values) for name in names}, LIST), names
    document = next(parameter.document() for parameter in LIST if parameter.name == "metadata")
    assert (document["style"], document["explode"], document["schema"]["type"]) == ("deepObject", True, "object")
    for query, taken in (({"a": "b"}, True), ({}, True), ({"a": "b", "c": "d"}, False), ({"a": 1}, False)):
        assert jsonschema_rs.validator_for(document["schema"]).is_valid(query) is taken


def test_names_are_repeated_safely() -> None:
    assert refusals({"4242424242424242": ["1"], "a\nb": ["1"]}, LIST) == [
        ("(withheld)", "unknown_field"),
        ("a\\nb", "unknown_field"),
    ]


def test_only_the_query_is_read() -> None:
    (path,) = next(endpoint.parameters for endpoint in ENDPOINTS if endpoint.name == "getPayment")
    assert read_query({}, [path]) == {}
    assert refusals({"id": ["1"]}, [path]) == [("id", "unknown_field")]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("state", PAYMENT.states[0]),
        ("state", "paid"),
        ("idempotency_key", "k" * 255),
        ("idempotency_key", "k" * 256),
        ("provider_reference", "ch_1"),
        ("provider_reference", ""),
        ("provider_reference", "a\x00b"),
        ("cursor", CURSOR),
        ("cursor", "?"),
    ],
)
def test_the_documented_schema_takes_what_is_read(name: str, value: str) -> None:
    document = next(parameter.document() for parameter in LIST if parameter.name == name)
    assert (document["in"], document["required"]) == ("query", False)
    try:
        read_query({name: [value]}, LIST)
        taken = True
    except InvalidFields:
        taken = False
    assert taken == jsonschema_rs.validator_for(document["schema"]).is_valid(value)


def test_a_default_and_limits_are_documented() -> None:
    hours = integer("hours", 1, 720, 24, "How many hours back.")
    assert hours.document()["schema"] == {"type": "integer", "minimum": 1, "maximum": 720, "default": 24}
    assert read_query({}, [hours]) == {"hours": 24}
