"""The Idempotency-Key header, quoted and bare."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.domain.errors import ERRORS
from tallystick.domain.requests.idempotency_key import (
    MAX_KEY_CHARS,
    IdempotencyKeyInvalid,
    IdempotencyKeyMissing,
    parse_idempotency_key,
)

UUID = "8e03978e-40d5-43e8-bc93-6894a57f9324"


@pytest.mark.parametrize(
    ("header", "key"),
    [
        (UUID, UUID),
        (f'"{UUID}"', UUID),
        (f'  \t"{UUID}" ', UUID),
        (f"\t{UUID} ", UUID),
        ('"a b, c"', "a b, c"),  # in quotes a space and a comma are unambiguous
        ('" "', " "),
        (r'"say \"hi\" \\ twice"', r'say "hi" \ twice'),
        (r"back\slash", r"back\slash"),
        ("'single'", "'single'"),
        ("a;b=c", "a;b=c"),
        ("~!#$%&*+./:<=>?@[]^_`{|}", "~!#$%&*+./:<=>?@[]^_`{|}"),
        ("k", "k"),
        ("k" * MAX_KEY_CHARS, "k" * MAX_KEY_CHARS),
        ('"' + "k" * MAX_KEY_CHARS + '"', "k" * MAX_KEY_CHARS),
        ('"' + r"\"" * MAX_KEY_CHARS + '"', '"' * MAX_KEY_CHARS),  # the limit is on the key, not its spelling
    ],
)
def test_what_is_a_key(header: str, key: str) -> None:
    assert parse_idempotency_key([header]) == key


@pytest.mark.parametrize(
    "headers",
    [
        [""],
        ["  \t "],
        ['""'],
        ["k" * (MAX_KEY_CHARS + 1)],
        ['"' + "k" * (MAX_KEY_CHARS + 1) + '"'],
        ["a", "b"],
        ["a", "a"],
        ["a, b"],
        ["a,b"],
        ["a b"],
        ['a"b'],
        ['a"'],
        ['"a'],
        ['"'],
        ['"a"b'],
        ['"a" "b"'],
        ['"a", "b"'],
        ['"a";v=1'],
        ['"a"b"'],
        [r'"a\b"'],  # only the quote and the backslash are escaped
        [r'"a\"'],
        ["a\x00b"],
        ['"a\x00b"'],
        ["a\tb"],
        ['"a\tb"'],
        ["a\nb"],
        ["a\n"],
        ["a\x7f"],
        ["clé"],
        ['"clé"'],
        ["\xa0"],
        ["\u00a0key"],
        ["\uff14"],
    ],
)
def test_what_is_no_key(headers: list[str]) -> None:
    with pytest.raises(IdempotencyKeyInvalid) as caught:
        parse_idempotency_key(headers)
    assert caught.value.detail
    assert caught.value.code in ERRORS


def test_a_missing_header_is_told_apart() -> None:
    with pytest.raises(IdempotencyKeyMissing) as caught:
        parse_idempotency_key([])
    assert caught.value.detail
    assert caught.value.code in ERRORS


def test_a_refusal_does_not_repeat_the_header() -> None:
    for header in ("Geheimnis, b", '"Geheimnis', "Geheimnis" * 40):
        with pytest.raises(IdempotencyKeyInvalid) as caught:
            parse_idempotency_key([header])
        assert "Geheimnis" not in str(caught.value)


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=MAX_KEY_CHARS))
def test_every_printable_key_can_be_sent_in_quotes(key: str) -> None:
    escaped = key.replace("\\", "\\\\").replace('"', '\\"')
    assert parse_idempotency_key([f'"{escaped}"']) == key


@given(st.text(max_size=300))
def test_any_header_gives_a_storable_key_or_a_refusal(header: str) -> None:
    try:
        key = parse_idempotency_key([header])
    except IdempotencyKeyInvalid:
        return
    assert 1 <= len(key) <= MAX_KEY_CHARS
    assert key.isascii()
    assert key.isprintable()
