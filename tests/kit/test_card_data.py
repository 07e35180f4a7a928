"""Card numbers are found however they are written; identifiers are left alone."""

from __future__ import annotations

import hashlib
import json
import random
import uuid
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tallystick.domain.requests.json_body import BadJson, NumberLiteral, parse_json_object
from tallystick.kit.card_data import contains_card_data, looks_like_card_number, may_contain_card_data

SEED = 20260101

# Written down again, from the issuers' published ranges: (prefixes, lengths).
BRANDS: dict[str, tuple[list[str], list[int]]] = {
    "visa": (["4"], [13, 16, 19]),
    "mastercard": (["51", "52", "53", "54", "55", "2221", "2229", "2300", "2699", "2720"], [16]),
    "amex": (["34", "37"], [15]),
    "discover": (["6011", "644", "649", "65"], [16, 17, 18, 19]),
    "diners": (["300", "305", "309", "36", "38", "39"], [14, 15, 16, 17, 18, 19]),
    "jcb": (["3528", "3589"], [16, 17, 18, 19]),
    "unionpay": (["62"], [16, 17, 18, 19]),
    "maestro": (
        ["5018", "5020", "5038", "5893", "6304", "6759", "6761", "6762", "6763"],
        [13, 14, 15, 16, 17, 18, 19],
    ),
    "mir": (["2200", "2204"], [16, 17, 18, 19]),
    "rupay": (["508", "60"], [16]),
    "verve": (["506099", "506198", "507865", "507964"], [16, 17, 18, 19]),
    "troy": (["9792"], [16]),
}
GROUPINGS: dict[int, list[tuple[int, ...]]] = {
    13: [(4, 4, 5), (4, 4, 4, 1)],
    14: [(4, 6, 4), (4, 4, 4, 2)],
    15: [(4, 6, 5), (4, 4, 4, 3)],
    16: [(4, 4, 4, 4)],
    17: [(4, 4, 4, 4, 1)],
    18: [(4, 4, 4, 4, 2)],
    19: [(4, 4, 4, 4, 3), (6, 13)],
}
SEPARATORS = [
    " ",
    "-",
    ".",
    "\u00a0",
    "\u2009",
    "\u202f",
    "\u3000",
    "\u2010",
    "\u2011",
    "\u2013",
    "\u2014",
    "\u2212",
]
SEPARATORS += ["\t", "\n", "  ", "\u00b7", "_", "/"]
DIGITS_OF_OTHER_SCRIPTS = {
    "full-width": 0xFF10,
    "Arabic-Indic": 0x0660,
    "Persian": 0x06F0,
    "Devanagari": 0x0966,
}


def luhn_digit(body: str) -> str:
    """The check digit by the textbook: double every second digit from the right, subtract 9 above 9."""
    doubled = [int(digit) * (2 if place % 2 == 0 else 1) for place, digit in enumerate(reversed(body))]
    return str(-sum(value - 9 if value > 9 else value for value in doubled) % 10)


def card_number(rng: random.Random, prefix: str, length: int) -> str:
    body = prefix + "".join(rng.choices("0123456789", k=length - len(prefix) - 1))
    return body + luhn_digit(body)


def grouped(number: str, grouping: tuple[int, ...], separator: str) -> str:
    starts = [sum(grouping[:index]) for index in range(len(grouping))]
    return separator.join(number[start : start + size] for start, size in zip(starts, grouping, strict=True))


def in_script(number: str, zero: int) -> str:
    return "".join(chr(zero + int(digit)) for digit in number)


@pytest.mark.parametrize("brand", BRANDS)
def test_every_brand_in_every_grouping_is_found(brand: str) -> None:
    rng = random.Random(f"{SEED} {brand}")
    prefixes, lengths = BRANDS[brand]
    for prefix in prefixes:
        for length in lengths:
            number = card_number(rng, prefix, length)
            assert looks_like_card_number(number), number
            for grouping in GROUPINGS[length]:
                for separator in SEPARATORS:
                    text = grouped(number, grouping, separator)
                    assert looks_like_card_number(text), ascii(text)
                    assert looks_like_card_number(f"order 12, {text} exp 12/29"), ascii(text)


@pytest.mark.parametrize(
    "text",
    [
        "4111111111111111",
        "x4111111111111111y",
        "cardnumber4111111111111111",
        "%B4111111111111111^DOE/JANE^2912101?",
        ";4111111111111111=2912101?",
        "4111 1111 1111 1111 123",  # with the security code
        "12 4111 1111 1111 1111 12 29",
        "12-4111 1111 1111 1111-12",
        "4111.1111.1111.1111",
        "4111-1111-1111-1111abcdef",
        "3782 822463 10005",
        "3056 930902 5904",
        "6011111111111117",
        "5555555555554444",
        "2223003122003222",
        "３７８２ ８２２４６３ １０００５",  # noqa: RUF001 - full-width digits are the point
        "٤١١١١١١١١١١١١١١١",
        "4111\u200b1111\u200b1111\u200b1111",  # zero-width spaces
        "4111\u00ad1111\u00ad1111\u00ad1111",  # soft hyphens
        "4\ufe0f\u20e31\ufe0f\u20e3" + "1" * 14,  # keycap emoji
        "⁴¹¹¹¹¹¹¹¹¹¹¹¹¹¹¹",
        "\U0001d7d2" + "\U0001d7cf" * 15,  # mathematical digits
        "pay_4111111111111111",
        "550e8400-e29b-41d4-a716-446655440000 4111111111111111",
        "https://shop.example/%34111111111111111",
        "https://shop.example/?q=4111%201111%201111%201111",
        "4111%E3%80%801111%E3%80%801111%E3%80%801111",  # ideographic spaces
    ],
)
def test_card_numbers_in_disguise(text: str) -> None:
    assert looks_like_card_number(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "4111111111111112",  # Luhn
        "411111111111111",  # a Visa of 15 digits
        "41111111111111111",  # of 17
        "9111111111111113",  # passes Luhn, nobody's prefix
        "0000000000000000",
        "41111111111111111111111",  # part of a longer number
        "41-11 11.11/11_11-11 11.11",
        "4111-1111 1111-1111",  # mixed separators
        "4,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1",
        "2026-01-01T00:00:00.000000+00:00",
        "1767225600000",  # milliseconds since 1970
        "1767225600000000000",  # nanoseconds
        "7914073381342284",  # Adyen
        "8535296650153317",
        "8816178952380553",
        "NC6HT9CRT65ZGN82",
        "pi_3MtwBwLkdIwHu7ix28a3tqPa",  # Stripe
        "ch_3MmlLrLkdIwHu7ix0snN0B15",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",  # traceparent
        "01ARZ3NDEKTSV4RRFFQ69G5FAV",  # ULID
        "sim_ok",
        "Order 4711 of 2026-01-01, 3 items, 1050 EUR",
    ],
)
def test_what_is_no_card_number(text: str) -> None:
    assert not looks_like_card_number(text)


def test_the_tokens_of_other_programs_that_hold_a_card_number_by_chance() -> None:
    # 4111111111111111 inside a digest or a UUID is chance: the identifier as a whole is what was sent.
    assert not looks_like_card_number("a" * 24 + "4111111111111111" + "b" * 24)
    assert not looks_like_card_number("pay_" + "4111111111111111" + "abcdef0123456789")
    assert not looks_like_card_number("00004111-1111-4111-8111-111111111111")
    assert looks_like_card_number("a4111111111111111b")  # too short for a digest


@pytest.mark.exhaustive
def test_20_000_random_identifiers_are_left_alone() -> None:
    rng = random.Random(SEED)
    for _ in range(20_000):
        identifier = uuid.UUID(int=rng.getrandbits(128), version=4)
        for text in (
            str(identifier),
            str(identifier).upper(),
            identifier.hex,
            identifier.hex.upper(),
            f"pay_{identifier.hex}",
            f"att_{identifier}",
            f"order {identifier}, retry 2",
        ):
            assert not looks_like_card_number(text), text


def test_random_digests_are_left_alone() -> None:
    for number in range(2_000):
        source = str(number).encode()
        for digest in (
            hashlib.md5(source),
            hashlib.sha1(source),
            hashlib.sha256(source),
            hashlib.sha512(source),
        ):
            assert not looks_like_card_number(digest.hexdigest())


@pytest.mark.parametrize("script", DIGITS_OF_OTHER_SCRIPTS)
def test_digits_of_every_script_count(script: str) -> None:
    rng = random.Random(f"{SEED} {script}")
    for prefix, length in (("4", 16), ("37", 15), ("62", 19)):
        number = card_number(rng, prefix, length)
        foreign = in_script(number, DIGITS_OF_OTHER_SCRIPTS[script])
        assert looks_like_card_number(foreign)
        assert looks_like_card_number(number[:6] + foreign[6:])
        assert looks_like_card_number(grouped(foreign, GROUPINGS[length][0], "\u3000"))


@pytest.mark.parametrize(
    "value",
    [
        {"description": "4111 1111 1111 1111"},
        {"4111111111111111": "a key"},
        {"metadata": {"a": [1, {"b": "x4111111111111111"}]}},
        {"amount": 4111111111111111},
        {"amount": -4111111111111111},
        {"amount": 4222222222222},  # 13 digits
        {"amount": 4111111111111111.0},
        {"amount": NumberLiteral("4111111111111111.0")},
        {"amount": NumberLiteral("4.111111111111111e15")},
        {"amount": NumberLiteral("41111111111111110E-1")},
        ["4111111111111111"],
        ("4111111111111111",),
        "4111111111111111",
    ],
)
def test_card_data_anywhere_in_json(value: object) -> None:
    assert contains_card_data(value)


@pytest.mark.parametrize(
    "value",
    [
        {"amount": 1050, "currency": "EUR", "payment_method": "sim_ok", "metadata": {"order": "4711"}},
        {
            "a": None,
            "b": True,
            "c": False,
            "d": 10**5000,
            "e": 4111111111111112,
            "f": 4111111111111111 * 10**4,
        },
        {
            "number": NumberLiteral("1e999999999"),
            "other": NumberLiteral("1e-99999999999999999999999999999999"),
        },
        {"number": NumberLiteral("4.1111111111111112")},
        {"a": float("inf"), "b": float("nan"), "c": 1e300},
        [[[[]]]],
        None,
    ],
)
def test_json_without_card_data(value: object) -> None:
    assert not contains_card_data(value)


def test_the_prefilter_passes_an_ordinary_body() -> None:
    body = {"amount": 1050, "currency": "EUR", "payment_method": "sim_ok", "metadata": {"order": "A-4711"}}
    assert not may_contain_card_data(json.dumps(body).encode())


digit_like = st.sampled_from([*"0123456789", "\uff14", "\u0661", " ", "-", ".", "\t", "\u00a0", "\u200b", "x", "/"])
_CARDS = [card_number(random.Random(SEED + index), "4", length) for index, length in enumerate((13, 16, 16, 19))]
card_texts = st.builds(
    lambda before, number, separator, after: before + grouped(number, GROUPINGS[len(number)][0], separator) + after,
    st.sampled_from(["", "a", "12 ", "é"]),
    st.sampled_from(_CARDS),
    st.sampled_from(["", *SEPARATORS]),
    st.sampled_from(["", "z", " 12"]),
)
texts = st.one_of(card_texts, st.text(digit_like, max_size=30), st.text(max_size=10))
numbers = st.one_of(st.integers(), st.sampled_from([int(number) for number in _CARDS]), st.floats(allow_nan=False))
bodies = st.dictionaries(
    texts,
    st.recursive(texts | numbers | st.none(), lambda inner: st.lists(inner, max_size=3), max_leaves=4),
    max_size=3,
)


@pytest.mark.exhaustive
@settings(max_examples=300)
@example(body={"a": "4111/1111/1111/1111"}, escaped=False, indent=1)
@example(body={"a": "4111%201111%201111%201111"}, escaped=False, indent=1)
@given(body=bodies, escaped=st.booleans(), indent=st.sampled_from([None, 1]))
def test_the_prefilter_never_misses_what_the_search_finds(
    body: dict[str, Any], escaped: bool, indent: int | None
) -> None:
    raw = json.dumps(body, ensure_ascii=escaped, indent=indent).encode("utf-8", "replace").replace(b"Infinity", b"1")
    for sent in (raw, raw.replace(b"/", b"\\/")):
        try:
            parsed = parse_json_object(sent)
        except BadJson:
            continue
        if contains_card_data(parsed):
            assert may_contain_card_data(sent)


def test_long_hostile_bodies_stay_cheap() -> None:
    # Each would take minutes if any step were quadratic; together they take about 0.3 s.
    for text in (
        "4" * 65_000,
        "4111 " * 13_000,
        "1   " * 16_000,
        "4-4.4 4_4/" * 6_500,
        "a1" * 32_000 + "g",
        "\u0664" * 32_000,
    ):
        assert looks_like_card_number(text) is False
