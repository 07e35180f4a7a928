"""API keys: what a key says, what is kept of it, and what is not one."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tallystick.access.api_key import hash_secret, is_merchant_id, matches, mint_key, parse_key
from tallystick.kit.card_data import looks_like_card_number

merchant_ids = st.from_regex(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?", fullmatch=True).filter(is_merchant_id)


@given(merchant_ids)
@example("a")
@example("acme-gmbh-2")
@example("m" * 32)
@example("tsk")
def test_a_key_says_whose_it_is_and_its_secret_matches_alone(merchant_id: str) -> None:
    minted, other = mint_key(merchant_id), mint_key(merchant_id)
    parsed = parse_key(minted.text)
    assert parsed is not None
    assert (parsed.merchant_id, parsed.key_id) == (merchant_id, minted.key_id)
    assert matches(parsed.secret, minted.secret_hash)
    assert not matches(parsed.secret, other.secret_hash)
    assert minted.key_id != other.key_id


@given(merchant_ids)
@example("0000-1111-2222")
@example("411111111111")
def test_a_key_never_looks_like_card_data(merchant_id: str) -> None:
    minted = mint_key(merchant_id)
    assert not looks_like_card_number(minted.text)
    assert not any(character.isdigit() for character in minted.text.split("_", 2)[2])


@pytest.mark.parametrize(
    "merchant_id",
    ["", "-a", "a-", "A", "a_b", "a b", "ä", "a" * 33, "a\n", "٣", "4111111111111111", "4111-1111-1111-1111"],
)
def test_what_no_merchant_may_be_called(merchant_id: str) -> None:
    assert not is_merchant_id(merchant_id)
    with pytest.raises(ValueError, match="merchant id"):
        mint_key(merchant_id)


def test_what_is_not_a_key() -> None:
    text = mint_key("demo").text
    assert parse_key(text) is not None
    spoiled = ["", "tsk", text[:-1], text + "x", text + "\n", " " + text, text.upper(), text[1:], "x" + text]
    spoiled += [text.replace("_", "-"), text.replace("demo", "de_mo"), text.replace("demo", ""), text + "\udcff"]
    assert [parse_key(wrong) for wrong in spoiled] == [None] * len(spoiled)


@given(st.text(max_size=200))
def test_any_text_can_be_asked_about(text: str) -> None:
    assert parse_key(text) is None


def test_what_is_kept_is_a_digest() -> None:
    minted = mint_key("demo")
    secret = minted.text.rsplit("_", 1)[1]
    assert minted.secret_hash == hash_secret(secret) == hashlib.sha256(secret.encode()).digest()


def test_a_secret_is_not_shown_by_accident() -> None:
    minted = mint_key("demo")
    parsed = parse_key(minted.text)
    assert parsed is not None
    shown = repr(minted) + str(minted) + repr(parsed) + f"{parsed}"
    assert parsed.secret not in shown
    assert minted.key_id in shown
