"""The same instruction has the same fingerprint, another instruction another one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick.domain.requests.fingerprint import FINGERPRINT_VERSION, canonical, differing_field, fingerprint
from tallystick.domain.requests.json_body import parse_json_object

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**18) + 1, 10**18) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
bodies = st.dictionaries(st.text(max_size=3), values, max_size=4)


def of(raw: str) -> bytes:
    return canonical(parse_json_object(raw.encode()))


def test_the_published_form_of_version_1() -> None:
    # Stored with every instruction and compared for ever: a change here needs a new FINGERPRINT_VERSION.
    body = of(
        '{ "currency":"EUR", "amount":1050,  "metadata":{"z":"\\u00e9\\/\\n","a":"\\u007f"}, "x":[1.50,1E3,null] }'
    )
    assert body == '{"amount":1050,"currency":"EUR","metadata":{"a":"\x7f","z":"é/\\n"},"x":[1.50,1E3,null]}'.encode()
    assert FINGERPRINT_VERSION == 1
    assert (
        fingerprint("POST", "/v1/payments", body).hex()
        == "4e5d89d5649eaabd17f325efb7cdfb0ff3b66628e89287fc7e6c25d1272cf0a3"
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('{"a":1,"b":{"c":2,"d":3}}', '{"b":{"d":3,"c":2},"a":1}'),
        ('{"a":1}', ' {\n"a" : 1 } '),
        ('{"a":"é/"}', '{"\\u0061":"\\u00e9\\/"}'),
    ],
)
def test_order_whitespace_and_escapes_do_not_matter(one: str, other: str) -> None:
    assert of(one) == of(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('{"a":1}', '{"a":2}'),
        ('{"a":1}', '{"a":"1"}'),
        ('{"a":1}', '{"a":true}'),
        ('{"a":1}', '{"a":1.0}'),
        ('{"a":1.0}', '{"a":1.00}'),
        ('{"a":1.0}', '{"a":"1.0"}'),
        ('{"a":1e3}', '{"a":1E3}'),
        ('{"a":11111111111111111111}', '{"a":"11111111111111111111"}'),
        ('{"a":null}', "{}"),
        ('{"capture_method":"automatic"}', "{}"),  # defaults are not added
        ('{"a":[1,2]}', '{"a":[2,1]}'),
        ('{"a":{"b":1}}', '{"a":{"b":1,"c":1}}'),
        ('{"a":"e\\u0301"}', '{"a":"\\u00e9"}'),  # text is compared as sent, not normalised
    ],
)
def test_everything_else_does(one: str, other: str) -> None:
    assert of(one) != of(other)
    assert differing_field(of(one), of(other)).split(".")[0] in {"a", "capture_method"}


@pytest.mark.exhaustive
@settings(max_examples=100)
@given(bodies)
def test_the_canonical_form_is_stable_and_means_the_same(body: dict[str, Any]) -> None:
    form = canonical(body)
    assert parse_json_object(form) == body
    assert canonical(parse_json_object(form)) == form


def test_method_path_and_body_are_all_in_it_and_cannot_run_together() -> None:
    parts = [
        ("POST", "/v1/payments", b"{}"),
        ("PUT", "/v1/payments", b"{}"),
        ("POST", "/v1/payments/", b"{}"),
        ("POST", "/v1/payments", b'{"a":1}'),
        ("POST/v1", "/payments", b"{}"),
        ("POST", "/v1/payments{}", b""),
        ("", "POST/v1/payments", b"{}"),
    ]
    fingerprints = {fingerprint(*triple) for triple in parts}
    assert len(fingerprints) == len(parts)
    assert {len(value) for value in fingerprints} == {32}


@pytest.mark.parametrize(
    ("stored", "sent", "field"),
    [
        ('{"amount":1,"currency":"EUR"}', '{"amount":2,"currency":"EUR"}', "amount"),
        ('{"amount":1,"currency":"EUR"}', '{"amount":2,"currency":"USD"}', "amount"),  # the first of two
        ('{"amount":1}', '{"amount":1,"description":"x"}', "description"),
        ('{"amount":1,"description":"x"}', '{"amount":1}', "description"),
        ('{"metadata":{"order":"1","z":"1"}}', '{"metadata":{"order":"2","z":"1"}}', "metadata.order"),
        ('{"metadata":{"a":"1"}}', '{"metadata":{"a":"1","b":"1"}}', "metadata.b"),
        ('{"metadata":{"a":{"b":1}}}', '{"metadata":{"a":{"b":2}}}', "metadata.a.b"),
        ('{"metadata":{}}', '{"metadata":null}', "metadata"),
        ('{"list":[1]}', '{"list":[2]}', "list"),
        ("{}", "{}", "operation"),
        ("{}", '{"4111111111111111":1}', "(withheld)"),
        ("{}", '{"a\\u0000b":1}', r"a\x00b"),
    ],
)
def test_the_differing_field_is_named(stored: str, sent: str, field: str) -> None:
    assert differing_field(of(stored), of(sent)) == field


@pytest.mark.exhaustive
@settings(max_examples=100)
@given(bodies, bodies)
def test_a_difference_always_has_a_name_and_is_the_same_from_both_sides(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    if canonical(one) == canonical(other):
        assert differing_field(canonical(one), canonical(other)) == "operation"
    else:
        named = differing_field(canonical(one), canonical(other))
        assert named == differing_field(canonical(other), canonical(one))


def test_only_parsed_json_has_a_canonical_form() -> None:
    with pytest.raises(TypeError):
        canonical({"a": object()})
