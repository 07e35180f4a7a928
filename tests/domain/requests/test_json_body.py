"""One clean JSON object, or a refusal that repeats nothing."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick.domain.requests.json_body import (
    MAX_DEPTH,
    MAX_ECHOED_NAME_CHARS,
    BadJson,
    NumberLiteral,
    parse_json_object,
    safe_name,
)

BODY_LIMIT = 64 * 1024
SECRET = "Geheimnis"  # stands for client input that must not come back


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"{}", {}),
        (b' \r\n\t{ "amount" : 1050 } ', {"amount": 1050}),
        (b'{"a":[1,-2,0,true,false,null,"x"]}', {"a": [1, -2, 0, True, False, None, "x"]}),
        (b'{"a":{"b":{"a":1}}}', {"a": {"b": {"a": 1}}}),  # one name at different levels
        ('{"é":"\U0001f600"}'.encode(), {"é": "\U0001f600"}),
        (b'{"a":"\\ud83d\\ude00"}', {"a": "\U0001f600"}),  # a whole surrogate pair
        (b'{"a":"\\u0000"}', {"a": "\x00"}),  # refused later, by the field it stands in
        (b'{"a":"\\\\ud800"}', {"a": "\\ud800"}),  # a backslash, then letters
        (b'{"a":9999999999999999999}', {"a": 9999999999999999999}),
        (b'{"a":-999999999999999999}', {"a": -999999999999999999}),
    ],
)
def test_what_is_read(raw: bytes, value: dict[str, Any]) -> None:
    parsed = parse_json_object(raw)
    assert parsed == value
    assert json.dumps(parsed) == json.dumps(value)  # types too: to Python True equals 1


@pytest.mark.parametrize(
    "literal",
    ["1.0", "10.50", "1e3", "1E+3", "-0.0", "1e999999999", "0.1e-5", "1" * 20, "-" + "1" * 19, "9" * 60_000],
)
def test_numbers_that_are_not_plain_integers_stay_as_sent(literal: str) -> None:
    value = parse_json_object(b'{"a":' + literal.encode() + b"}")["a"]
    assert type(value) is NumberLiteral
    assert str(value) == literal


def nested(levels: int, innermost: str = "1") -> bytes:
    return b'{"a":' + b"[" * (levels - 1) + innermost.encode() + b"]" * (levels - 1) + b"}"


@pytest.mark.parametrize(
    ("code", "raw"),
    [
        ("byte_order_mark", b"\xef\xbb\xbf{}"),
        ("not_utf8", b'{"a":"\xff"}'),
        ("not_utf8", b'{"a":"\xed\xa0\x80"}'),  # a surrogate in UTF-8's clothes
        ("not_utf8", b'{"a":"\xc0\x80"}'),  # overlong NUL
        ("not_utf8", "{}".encode("utf-16")),
        ("json_broken", b""),
        ("json_broken", b"   "),
        ("json_broken", b"{"),
        ("json_broken", b'{"a":1'),
        ("json_broken", b'{"a":1}}'),
        ("json_broken", b"{} {}"),
        ("json_broken", b'{"a":1,}'),
        ("json_broken", b"{a:1}"),
        ("json_broken", b"{'a':1}"),
        ("json_broken", b'{"a":01}'),
        ("json_broken", b'{"a":+1}'),
        ("json_broken", b'{"a":.5}'),
        ("json_broken", b'{"a":0x10}'),
        ("json_broken", b'{"a":1_000}'),
        ("json_broken", b'{"a":"\n"}'),
        ("json_broken", b'{"a":"\x00"}'),
        ("json_broken", b"\x00{}"),
        ("json_broken", b'{"a":"\\x41"}'),
        ("json_broken", b'{"a":1}/* comment */'),
        ("json_broken", "{}".encode("utf-16-le")),
        ("duplicate_name", b'{"a":1,"a":1}'),
        ("duplicate_name", b'{"a":1,"\\u0061":2}'),
        ("duplicate_name", b'{"m":[{"x":{"a":1,"b":2,"a":3}}]}'),
        ("not_a_number", b'{"a":NaN}'),
        ("not_a_number", b'{"a":Infinity}'),
        ("not_a_number", b'{"a":[-Infinity]}'),
        ("too_deep", nested(MAX_DEPTH + 1)),
        ("too_deep", nested(MAX_DEPTH + 1, "")),
        ("too_deep", b'{"a":' * 17 + b"1" + b"}" * 17),
        ("too_deep", nested(900)),
        ("too_deep", b"[" * BODY_LIMIT),
        ("too_deep", b'{"a":' * (BODY_LIMIT // 5)),
        ("lone_surrogate", b'{"a":"\\ud800"}'),
        ("lone_surrogate", b'{"a":"\\uDFFFx"}'),
        ("lone_surrogate", b'{"\\udc00":1}'),
        ("lone_surrogate", b'{"a":[{"b":{"\\ud83d":1}}]}'),
        ("not_an_object", b"[]"),
        ("not_an_object", b"null"),
        ("not_an_object", b"1"),
        ("not_an_object", b"1.5"),
        ("not_an_object", b'"text"'),
    ],
)
def test_what_is_refused(code: str, raw: bytes) -> None:
    with pytest.raises(BadJson) as caught:
        parse_json_object(raw)
    assert caught.value.code == code


@pytest.mark.parametrize("innermost", ["1", "", "{}", '"[[[[[[[[[[[[[[[[[[[["'])
def test_the_depth_allowed_is_exact(innermost: str) -> None:
    levels = MAX_DEPTH - innermost.startswith("{")
    parse_json_object(nested(levels, innermost))
    with pytest.raises(BadJson):
        parse_json_object(nested(levels + 1, innermost))


def test_a_wide_body_is_not_a_deep_one() -> None:
    assert len(parse_json_object(b'{"a":[' + b"[]," * 1000 + b"{}]}")["a"]) == 1001


@pytest.mark.parametrize(
    "raw",
    [
        f'{{"{SECRET}":1,"{SECRET}":2}}'.encode(),
        f'{{"a":"{SECRET}'.encode(),
        f'{{"a":"\\{SECRET}"}}'.encode(),
        f'{{"a":{SECRET}}}'.encode(),
        f'{{"a":"{SECRET}\\ud800"}}'.encode(),
        f'"{SECRET}"'.encode(),
        f'{{"a":"{SECRET}'.encode() + b'\xff"}',
    ],
)
def test_a_refusal_repeats_nothing_not_even_in_its_chain(raw: bytes) -> None:
    with pytest.raises(BadJson) as caught:
        parse_json_object(raw)
    assert SECRET not in caught.value.detail
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None  # a decoder's exception would carry the whole body into a log


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**18) + 1, 10**18) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.exhaustive
@settings(max_examples=100)
@given(st.dictionaries(st.text(max_size=5), json_values, max_size=4), st.booleans())
def test_what_any_encoder_writes_is_read_back(body: dict[str, Any], escaped: bool) -> None:
    assert parse_json_object(json.dumps(body, ensure_ascii=escaped).encode()) == body


@pytest.mark.exhaustive
@settings(max_examples=300)
@given(
    st.binary(max_size=40) | st.text(st.sampled_from('{}[]":,\\ud8001eE.-NaInfity \x00'), max_size=30).map(str.encode)
)
def test_bytes_of_any_kind_give_an_object_or_a_refusal(raw: bytes) -> None:
    with suppress(BadJson):
        assert isinstance(parse_json_object(raw), dict)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("amount", "amount"),
        ("größe", "größe"),
        ("", ""),
        ("a" * 41, "a" * 40),
        ("a\x00b\n\x1b[31m", r"a\x00b\n\x1b[31m"),
        ("\u202egnp.exe", r"\u202egnp.exe"),  # right-to-left override
        ("\ud800", r"\ud800"),
        ("4111111111111111", "(withheld)"),
        ("card 4111-1111-1111-1111", "(withheld)"),
        ("x" * 24 + "4111111111111111" + "2" * 10, "(withheld)"),  # becomes one by being cut
        ("x" * 30 + "4111111111111111", "(withheld)"),  # is one where it would be cut
    ],
)
def test_names_are_made_safe_to_repeat(name: str, shown: str) -> None:
    assert safe_name(name) == shown
    assert MAX_ECHOED_NAME_CHARS == 40
