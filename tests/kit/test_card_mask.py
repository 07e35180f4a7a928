"""Card numbers and security codes are masked in place, however they are written; all else stays as it is."""

from __future__ import annotations

from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick.kit.card_mask import WITHHELD, mask_cards, mask_cards_within, names_a_card
from tests.support.card_numbers import WRITTEN, numbers, readings

NUMBER: Final = "4111111111111111"

#: Each way to write a number has examples of its own: a third of the usual ones.
FEWER: Final = settings(max_examples=settings().max_examples // 3)

#: What surrounds a number: no digits, which might make another number of it.
AROUND: Final = st.text(st.characters(exclude_categories=["Nd", "Nl", "No", "Cs"]), max_size=12)

MASKED: Final = {
    "card 4111 1111 1111 1111 cvc 123 exp 12/29": "card **** **** **** **** cvc *** exp 12/29",
    "4111111111111111|12|2029|123": "****************|12|****|***",
    "4111111111111111123": "*******************",
    "CVC2: 123": "CVC2: ***",
    '{"security_code": "1234"}': '{"security_code": "****"}',
    "the CVV was 9999, sorry": "the CVV was ****, sorry",
    "378282246310005": "***************",
    "pan%3D4111111111111111": "pan%3D****************",
    "4111%201111%201111%201111 was declined": None,
    "%254111111111111111": None,
    "\\u00344111111111111111": None,
    "2026-11-26 4111111111111111": None,
}

KEPT: Final = (
    "",
    "Your card was declined.",
    "Your card's security code is incorrect.",
    "incorrect_cvc",
    "cvc 12345",
    '{"cvc_check": "pass", "amount": 1000}',
    "4111111111111112",
    "8836183819713023",
    "att_01941111111111111111111111111111",
    "at 2026-11-26T15:02:08.123456+00:00 and 2026-11-26 03:50:32",
    "d41d8cd98f00b204e9800998ecf8427e",
    "4111111a-1111-4111-8111-111111111111",
    "https://bank.example/3ds?MD=a%20b&PaReq=x%2By",
    "\x1f",
)


@pytest.mark.parametrize("text", MASKED)
def test_what_is_masked(text: str) -> None:
    masked = mask_cards(text)
    if MASKED[text] is not None:
        assert masked == MASKED[text]
    assert not any(NUMBER in reading for reading in readings(masked)) and masked != text


@pytest.mark.parametrize("text", KEPT)
def test_what_is_kept(text: str) -> None:
    assert mask_cards(text) is text
    tree = {"text": text, "list": [text, 12, None, True, 1.5]}
    assert mask_cards_within(tree) is tree


@pytest.mark.exhaustive
@pytest.mark.parametrize("way", WRITTEN)
@given(number=numbers(), before=AROUND, after=AROUND)
@FEWER
def test_however_it_is_written(way: str, number: str, before: str, after: str) -> None:
    text = f"{before} {WRITTEN[way](number)} {after}"
    assert any(number in reading for reading in readings(text)), "the test could not see it"
    assert not any(number in reading for reading in readings(mask_cards(text)))


@pytest.mark.parametrize("way", WRITTEN)
@given(number=numbers())
@FEWER
def test_masking_once_is_enough(way: str, number: str) -> None:
    masked = mask_cards(WRITTEN[way](number))
    assert mask_cards(masked) == masked


def test_parsed_json() -> None:
    said = {
        "number": int(NUMBER),
        "float": 4.111111111111111e15,
        "split": ["4111", "1111", "1111", "1111"],
        NUMBER: {"deep": [{"cvc": 123}, f"card {NUMBER}"]},
        "4111-1111-1111-1111": True,
        "amount": 1000,
        "when": None,
    }
    masked = mask_cards_within(said)
    assert masked == {
        "number": "*" * 16,
        "float": "*" * 16,
        "split": ["****"] * 4,
        "*" * 16: {"deep": [{"cvc": "***"}, f"card {'*' * 16}"]},
        "****-****-****-****": True,
        "amount": 1000,
        "when": None,
    }
    assert mask_cards_within({NUMBER: 1, "4012888888881881": 2}) == {"*" * 16: 1, f"{'*' * 16}'": 2}, "none is lost"


_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(tree=_JSON, number=numbers(), way=st.sampled_from(sorted(WRITTEN)))
def test_a_number_anywhere_in_a_tree(tree: Any, number: str, way: str) -> None:
    written = WRITTEN[way](number)
    for said in ({"a": tree, "b": written}, [tree, {written: [tree]}], {"a": {"b": [[written]]}, "c": tree}):
        assert not any(number in reading for reading in readings(str(mask_cards_within(said))))


def test_what_is_too_deep_to_be_rebuilt_is_withheld() -> None:
    deep: Any = NUMBER
    for _ in range(100_000):
        deep = [deep]
    assert mask_cards_within(deep) == WITHHELD


def test_hostile_texts_are_masked_whole() -> None:
    """More digits than any text has a reason for cost no look at each."""
    assert mask_cards("4" * 100_000) == "*" * 100_000


NAMES: Final = {
    NUMBER: True,
    "4111-1111-1111-1111": True,
    f"CAPTURE:{NUMBER}:true": True,
    f"ch_{NUMBER}": True,
    f"ch_{NUMBER}ab": True,
    "41111111%311111111": True,
    f"000{NUMBER}000": True,  # long enough for one to hide
    f"a reference {NUMBER}": True,
    "4111111111111112": False,
    "8836183819713023": False,
    f"99{NUMBER}": False,  # eighteen digits that are no card number
    "VK9DRSLLRCQ2WN82": False,
    "pi_3Q41111111111111112A9b": False,
    "ch_01941111111111111111111111111111": False,
    "digest:4111111111111111a111111111111111411111111111111141111111111111a1": False,
    "": False,
}


@pytest.mark.parametrize("name", NAMES)
def test_names_are_judged_by_their_shape(name: str) -> None:
    assert names_a_card(name) is NAMES[name]


def test_a_row_of_what_begins_an_escape_is_looked_at_once() -> None:
    """Whoever sends a body chooses what is in it. Looked at from each of its places, this one would take hours."""
    row = "\\" * 500_000
    assert mask_cards(row) == row
    assert mask_cards_within([row, row]) == [row, row]
    assert "111" not in mask_cards(f"{row}u0034111111111111111")
