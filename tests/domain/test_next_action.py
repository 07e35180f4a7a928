"""What payers have to do next: what of it may be kept, who opens it, and what is shown of it when."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from msgspec.structs import replace

from tallystick.decisions.terms import evidence_of
from tallystick.domain.next_action import kept_part, public_part
from tallystick.domain.notices import AttemptNotice, ChargeNotice, RefundNotice
from tallystick.domain.subjects import Payment, PaymentState
from tallystick.domain.verdicts import Pending, RequiresAction
from tallystick.domain.views import encode, payment_view
from tallystick.record.next_action_seal import ActionSeal
from tallystick.record.sealing import KEY_BYTES, sealer_of
from tallystick.settings.load import Settings
from tests.support.paper_record import PaperRecord

SECRET = "pi_1_secret_abc"
ACTION: dict[str, Any] = {
    "url": f"https://bank.example/?t={SECRET}",
    "type": "redirect_to_url",
    "client_secret": SECRET,
}
WORD = RequiresAction(next_action=ACTION, reference="pi_1")


def _keys(letters: str) -> ActionSeal:
    keys = ",".join(base64.b64encode(letter.encode() * KEY_BYTES).decode() for letter in letters)
    return ActionSeal(sealer_of(Settings(data_dir="unused", sealing_keys=keys)))


def _payment(action: dict[str, Any] | None, state: str = "requires_action", **fields: Any) -> Payment:
    values: dict[str, Any] = {
        "merchant_id": "shop",
        "payment_id": "pay_1",
        "version": 2,
        "state": state,
        "amount": 1_000,
        "currency": "EUR",
        "payment_method": "pm",
        "provider": "stripe",
        "next_action": action,
        "created_at": datetime.now(UTC),
        "updated_at": datetime.now(UTC),
    }
    return Payment(**(values | fields))


def _kept(seal: ActionSeal, word: RequiresAction = WORD) -> dict[str, Any]:
    """As it would be stored for the payment."""
    verdict = seal.verdict(word, "shop", "pay_1")
    assert isinstance(verdict, RequiresAction)
    return verdict.next_action


def test_what_is_kept_says_no_more_than_its_type() -> None:
    kept = _kept(_keys("a"))
    assert kept.keys() == {"type", "sealed"}
    assert kept["type"] == "redirect_to_url"
    assert SECRET.encode() not in json.dumps(kept).encode() + base64.b64decode(kept["sealed"])
    assert kept_part(kept) == kept


def test_the_merchants_own_request_gets_it_back_as_it_came() -> None:
    opened = _keys("a").opened(_payment(_kept(_keys("a"))))
    assert json.dumps(opened) == json.dumps(ACTION), "and in its order: answers are compared byte for byte"


@pytest.mark.parametrize("other", [{"merchant_id": "thief"}, {"payment_id": "pay_2"}])
def test_it_opens_for_its_own_payment_alone(other: dict[str, str]) -> None:
    assert _keys("a").opened(_payment(_kept(_keys("a")), **other)) is None


def test_keys_rotate_and_get_lost() -> None:
    payment = _payment(_kept(_keys("a")))
    assert _keys("ba").opened(payment) == ACTION
    assert _keys("b").opened(payment) is None
    view = payment_view(payment, in_doubt=False, opened=_keys("b").opened(payment))
    assert view.next_action == {"type": "redirect_to_url"}


@pytest.mark.parametrize("sealed", ["", "not base64!", base64.b64encode(b"short").decode(), 7, None, {"a": 1}])
def test_what_is_no_seal_opens_nothing(sealed: Any) -> None:
    assert _keys("a").opened(_payment({"type": "redirect", "sealed": sealed})) is None


def test_without_a_place_for_a_key_the_word_is_kept_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    seal = ActionSeal(sealer_of(Settings(data_dir=str(tmp_path / "file" / "below"))))
    assert seal.verdict(WORD, "shop", "pay_1") == replace(WORD, next_action={"type": "redirect_to_url"})


def test_what_nobody_sealed_goes_no_further() -> None:
    assert kept_part(ACTION) == public_part(ACTION) == {"type": "redirect_to_url"}
    assert kept_part({"sealed": {"client_secret": SECRET}}) == {}
    assert SECRET not in json.dumps(evidence_of(WORD))
    assert evidence_of(WORD)["next_action"] == {"type": "redirect_to_url"}


@pytest.mark.parametrize("told", [False, True])
def test_no_decision_lets_a_forgotten_seal_pass(told: bool) -> None:
    """Neither on the answer to a call nor on an event."""
    record = PaperRecord()
    if told:
        record.take(ChargeNotice(verdict=WORD))
    else:
        record.answer("authorize", WORD)
    assert record.payment.state == "requires_action"
    assert SECRET not in msgspec.json.encode(record.changes).decode()
    assert [json.loads(message.body)["data"]["next_action"] for message in record.messages] == [
        {"type": "redirect_to_url"}
    ]


@pytest.mark.parametrize("kind", [None, 7, ["a"], "", "a" * 65, "https://bank.example/?token=1", "a\x00", "é"])
def test_a_type_that_is_no_name_could_be_anything(kind: Any) -> None:
    assert public_part({"type": kind}) == {}


def test_an_event_is_sealed_for_the_inbox_and_again_for_its_payment() -> None:
    seal = _keys("a")
    for notice in (ChargeNotice(verdict=WORD), AttemptNotice(operation="authorize", attempt_id="att_1", verdict=WORD)):
        boxed = seal.notice(notice, "evt_1")
        assert isinstance(boxed, ChargeNotice | AttemptNotice)
        assert SECRET not in msgspec.json.encode(boxed).decode()
        assert isinstance(boxed.verdict, RequiresAction)
        assert seal.opened(_payment(boxed.verdict.next_action)) is None, "it belongs to its event yet"
        told = seal.delivered(boxed, "evt_1", "shop", "pay_1")
        assert isinstance(told, ChargeNotice | AttemptNotice)
        assert isinstance(told.verdict, RequiresAction)
        assert seal.opened(_payment(told.verdict.next_action)) == ACTION
        for lost in (seal.delivered(boxed, "evt_2", "shop", "pay_1"), _keys("b").delivered(boxed, "evt_1", "s", "p")):
            assert isinstance(lost, ChargeNotice | AttemptNotice)
            assert lost.verdict == replace(WORD, next_action={"type": "redirect_to_url"})


def test_what_has_no_action_stays_as_it_is() -> None:
    seal, waits = _keys("a"), Pending(reference="pi_1")
    refund = RefundNotice(reference="re_1", amount=1, currency="EUR")
    assert seal.verdict(waits, "shop", "pay_1") is waits
    for notice in (refund, ChargeNotice(verdict=waits)):
        assert seal.notice(notice, "evt_1") is notice
        assert seal.delivered(notice, "evt_1", "shop", "pay_1") is notice
    assert seal.opened(_payment(None)) is None


@pytest.mark.parametrize("state", sorted(get_args(PaymentState)))
def test_it_is_shown_while_the_payer_has_to_act(state: str) -> None:
    seal, payment = _keys("a"), _payment(_kept(_keys("a")), state)
    due = state == "requires_action"
    assert payment_view(payment, in_doubt=False, opened=seal.opened(payment)).next_action == (ACTION if due else None)
    unasked = encode(payment_view(payment, in_doubt=False))
    assert json.loads(unasked)["next_action"] == ({"type": "redirect_to_url"} if due else None)
    assert b"sealed" not in unasked
