"""What a person says of an act may be kept, or the act is refused; and one key asks for one act."""

from __future__ import annotations

from typing import Any

import pytest

from tallystick.domain.operator_act import REASON_CHARS, AskedAct, WordsRefused
from tests.support.acts import INES, asked

SECRETS = {"TALLYSTICK_STRIPE_WEBHOOK_SECRET": "a-secret-of-the-settings", "TALLYSTICK_X": "short"}

#: Reasons that are not kept. Numbers of test cards, and secrets that open nothing.
REFUSED = {
    "empty": "",
    "blank": "  \t ",
    "too long": "x" * (REASON_CHARS + 1),
    "a control character": "line\x07",
    "a NUL": "a\x00b",
    "half a character": "\ud800",
    "a card number": "charged 4242424242424242 twice",
    "a card number in groups": "card 4000 0566 5566 5556",
    "a card number of other digits": "٤٢٤٢٤٢٤٢٤٢٤٢٤٢٤٢",
    "an API key of ours": "used tsk_shop_abcdefghijklmnop_" + "q" * 45,
    "a signing secret": "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
    "a key of Stripe's": "sk_test_51HxyzABCDEFGH",
    "a restricted key": "rk_live_51HxyzABCDEFGH",
    "a private key": "-----BEGIN EC PRIVATE KEY-----",
    "a bearer header": "Authorization: Bearer abcdefghijklmnopqrstuvwxyz",
    "a signed token": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
    "a secret of the settings": "it is a-secret-of-the-settings, I think",
}


@pytest.mark.parametrize("how", REFUSED)
def test_words_that_are_not_kept(how: str) -> None:
    with pytest.raises(WordsRefused) as refused:
        act(reason=REFUSED[how]).require_words(SECRETS)
    assert refused.value.field == "reason"
    assert refused.value.card_data == ("card number" in how)
    said = REFUSED[how].strip()
    assert not said or said not in str(refused.value), "it is not repeated"


@pytest.mark.parametrize("field", ["evidence", "owner", "reference"])
def test_the_same_holds_for_everything_else_that_is_said(field: str) -> None:
    for words in (REFUSED["a card number"], REFUSED["a signing secret"]):
        with pytest.raises(WordsRefused) as refused:
            act(**{field: words}).require_words(SECRETS)
        assert refused.value.field == field
    with pytest.raises(WordsRefused, match="target"):
        asked("annotate", "4242424242424242").require_words({})
    with pytest.raises(WordsRefused, match="idempotency_key"):
        asked("annotate", "pay_1", "4242-4242-4242-4242").require_words({})


def test_ordinary_words_are_kept() -> None:
    for reason in ("ticket 812: a short word", "l'émetteur a confirmé\nligne 2", "statement of 25 November, line 7"):
        act(reason=reason, evidence="statement line 7", amount=1250).require_words(SECRETS)


def test_a_key_asks_for_one_act() -> None:
    one = act("k", evidence="line 7")
    assert one.fingerprint == act("k", evidence="line 7", operator=INES).fingerprint, "it is in the scope"
    others = [
        act("k", evidence="line 8"),
        act("k", reason="another"),
        asked("case.ignore", "case_2", "k", evidence="line 7"),
        asked("case.acknowledge", "case_1", "k", evidence="line 7"),
        act("k"),
    ]
    assert len({one.fingerprint, *(each.fingerprint for each in others)}) == len(others) + 1


def test_without_a_key_each_is_an_act_of_its_own() -> None:
    assert act().idempotency_key != act().idempotency_key


def act(key: str | None = None, **more: Any) -> AskedAct:
    return asked("case.ignore", "case_1", key, **more)
