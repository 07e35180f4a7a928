"""Adyen's notifications: the signature of every item, and what items mean. Whatever the bytes are: clean refusals."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tallystick.domain.notices import (
    AttemptNotice,
    CancelOrRefundNotice,
    CaptureNotice,
    ChargeNotice,
    DisputeNotice,
    RefundNotice,
    UnknownNotice,
    Unreadable,
)
from tallystick.domain.subjects import Operation
from tallystick.domain.verdicts import Approved, Declined, Reversed
from tallystick.kit.ids import new_id
from tallystick.providers.adyen.receiver import AdyenReceiver
from tallystick.providers.adyen.reference import Reference, read_reference, write_reference
from tallystick.providers.receiver import BadSignature, Notification, Unparseable
from tests.support.adyen.fake_adyen import HMAC_KEY, MERCHANT_ACCOUNT, delivery, signature
from tests.support.database import DEEP

NOW = datetime(2030, 1, 1, tzinfo=UTC)
OTHER_KEY = "00FF" * 16
PAYMENT_ID, ATTEMPT_ID = new_id("pay"), new_id("att")


def reference(operation: Operation, *, sale: bool = False) -> str:
    return write_reference(Reference("m-1", PAYMENT_ID, ATTEMPT_ID, operation, sale))


SALE, HOLD = reference("authorize", sale=True), reference("authorize")


def item(code: str = "AUTHORISATION", **fields: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "amount": {"value": 1_000, "currency": "EUR"},
        "eventCode": code,
        "eventDate": "2030-01-01T12:00:00+01:00",
        "merchantAccountCode": MERCHANT_ACCOUNT,
        "merchantReference": HOLD,
        "originalReference": "PAYMENTPSP",
        "pspReference": "OWNPSP",
        "reason": "",
        "success": "true",
    }
    return values | fields


def receiver(*keys: str) -> AdyenReceiver:
    return AdyenReceiver("main", MERCHANT_ACCOUNT, keys or (HMAC_KEY,))


def read(*items: dict[str, Any]) -> list[Notification]:
    return list(receiver().receive(delivery(list(items)), {}, NOW))


def notice(code: str, **fields: Any) -> Any:
    [found] = read(item(code, **fields))
    assert found.provider_event_id == f"{code}:OWNPSP:{fields.get('success', 'true')}"
    return found.notice


EXAMPLE = {
    "pspReference": "7914073381342284",
    "merchantAccountCode": "TestMerchant",
    "merchantReference": "TestPayment-1407325143704",
    "amount": {"value": 1130, "currency": "EUR"},
    "eventCode": "AUTHORISATION",
    "success": "true",
}


def test_adyens_own_example() -> None:
    right = "coqCmt/IZ4E3CzPvMY8zTjQVL5hYJUiBRg8UU+iCWo0="
    assert signature(EXAMPLE) == right
    signed = {"NotificationRequestItem": EXAMPLE | {"additionalData": {"hmacSignature": right}}}
    body = json.dumps({"live": "false", "notificationItems": [signed]}).encode()
    [found] = AdyenReceiver("main", "TestMerchant", [HMAC_KEY]).receive(body, {}, NOW)
    assert found.provider_event_id == "AUTHORISATION:7914073381342284:true"
    assert (found.merchant_id, found.payment_id) == (None, None)


def test_the_acknowledgement() -> None:
    assert (receiver().acknowledgement, receiver().content_type) == (b"[accepted]", b"text/plain")


@pytest.mark.parametrize("bad", range(3))
def test_one_bad_item_of_three_is_left_out(bad: int) -> None:
    keys = [HMAC_KEY] * 3
    keys[bad] = OTHER_KEY
    items = [item(pspReference=f"P{number}") for number in range(3)]
    assert len(read(*items)) == 3
    with pytest.raises(BadSignature) as refused:
        receiver().receive(delivery(items, *keys), {}, NOW)
    good = read(*(each for number, each in enumerate(items) if number != bad))
    assert list(refused.value.signed) == good
    assert list(receiver().translate(refused.value.body)) == good, "nothing else can be read from what is kept"


@pytest.mark.parametrize(
    "field", ["pspReference", "originalReference", "merchantReference", "eventCode", "success", "amount"]
)
def test_every_signed_field_counts(field: str) -> None:
    body = json.loads(delivery([item()]))
    one = body["notificationItems"][0]["NotificationRequestItem"]
    changed = {"success": "false", "amount": {"value": 999, "currency": "EUR"}}
    one[field] = changed.get(field, "Changed")
    with pytest.raises(BadSignature):
        receiver().receive(json.dumps(body).encode(), {}, NOW)


def test_a_signature_is_needed() -> None:
    for data in (None, {}, {"hmacSignature": ""}, {"hmacSignature": 5}, {"hmacSignature": "ü"}):
        body = {"notificationItems": [{"NotificationRequestItem": item(additionalData=data)}]}
        with pytest.raises(BadSignature):
            receiver().receive(json.dumps(body).encode(), {}, NOW)


def test_rotation() -> None:
    body = delivery([item(), item(pspReference="SECOND")], HMAC_KEY, OTHER_KEY)
    assert len(receiver(HMAC_KEY, OTHER_KEY).receive(body, {}, NOW)) == 2
    with pytest.raises(BadSignature):
        receiver(OTHER_KEY).receive(body, {}, NOW)


def test_another_merchant_account() -> None:
    ours, theirs = read(item(), item("REFUND", merchantAccountCode="Theirs", merchantReference="theirs"))
    assert ours.notice is not None
    assert (theirs.type, theirs.notice) == ("REFUND", None), "acknowledged"
    [odd] = read(item("REFUND", merchantAccountCode="Theirs"))
    assert isinstance(odd.notice, Unreadable), "it has a reference of ours"


def test_a_colon_cannot_move_the_fields() -> None:
    """The signed text is not escaped: other fields with the same text would have the same signature."""
    for field in ("pspReference", "originalReference", "merchantAccountCode", "eventCode"):
        [found] = read(item(**{field: "A:B"}))
        assert isinstance(found.notice, Unreadable), field
        assert "A:B" not in str(found)
    [found] = read(item(pspReference=":", merchantReference=":"))
    assert isinstance(found.notice, Unreadable)
    [found] = read(item(merchantReference="A:B"))
    assert isinstance(found.notice, AttemptNotice), "one field may have it"


def test_what_is_not_about_payments_is_acknowledged_however_it_is_written() -> None:
    beside, refund = read(item("REPORT_AVAILABLE", pspReference="report_2030-01-01T00:00:00.csv"), item("REFUND"))
    assert (beside.type, beside.notice) == ("REPORT_AVAILABLE", None)
    assert isinstance(refund.notice, RefundNotice)
    [odd] = read(item("REPORT_AVAILABLE", amount={"value": 10.5, "currency": 7}))
    assert (odd.type, odd.notice) == ("REPORT_AVAILABLE", None)


def test_an_amount_as_text() -> None:
    told = notice("CAPTURE", amount={"value": "1000", "currency": "EUR"})
    assert (told.amount, told.currency) == (1_000, "EUR")
    assert notice("REPORT_AVAILABLE", amount={"value": "0", "currency": "EUR"}) is None
    for odd in ("-1", "1e3", "1.5", " 1", "", "9" * 20):
        [found] = read(item("CAPTURE", amount={"value": odd, "currency": "EUR"}))
        assert isinstance(found.notice, Unreadable), odd


@pytest.mark.parametrize("amount", [None, {}, {"value": 12_345, "currency": "CLP"}, {"value": 5, "currency": "XXX"}])
def test_an_amount_that_is_not_used_is_not_missed(amount: Any) -> None:
    for code in ("CANCELLATION", "EXPIRE", "TECHNICAL_CANCEL"):
        told = notice(code, amount=amount)
        assert told.verdict.effect == "voided"


def test_a_receiver_without_a_key() -> None:
    for keys in ((), ("",), ("xyz",)):
        with pytest.raises(ValueError, match=r"key|hexadecimal"):
            AdyenReceiver("main", MERCHANT_ACCOUNT, keys)


def test_the_digest_is_of_what_the_item_says() -> None:
    alone, beside = read(item())[0], read(item("REPORT_AVAILABLE"), item())[1]
    [rotated] = receiver(OTHER_KEY).receive(delivery([item()], OTHER_KEY), {}, NOW)
    assert alone.digest == beside.digest == rotated.digest
    assert read(item(reason="other"))[0].digest != alone.digest
    assert read(dict(reversed(item().items())))[0].digest == alone.digest


def test_authorisation() -> None:
    for merchant_reference, effect in ((SALE, "captured"), (HOLD, "authorized")):
        [found] = read(item(merchantReference=merchant_reference))
        assert (found.merchant_id, found.payment_id, found.charge_reference) == ("m-1", PAYMENT_ID, "PAYMENTPSP")
        told = found.notice
        assert isinstance(told, AttemptNotice)
        assert isinstance(told.verdict, Approved)
        assert (told.attempt_id, told.operation, told.verdict.effect) == (ATTEMPT_ID, "authorize", effect)
        assert (told.verdict.amount, told.verdict.currency, told.verdict.reference) == (1_000, "EUR", "OWNPSP")
    told = notice("AUTHORISATION", success="false", reason="05 : Not enough balance")
    assert isinstance(told.verdict, Declined)
    assert (told.verdict.code, told.verdict.retryable) == ("insufficient_funds", True)


@pytest.mark.parametrize(
    ("code", "operation", "effect"), [("CAPTURE", "capture", "captured"), ("REFUND", "refund", "refunded")]
)
def test_modifications_of_ours(code: str, operation: Operation, effect: str) -> None:
    told = notice(code, merchantReference=reference(operation))
    assert isinstance(told, AttemptNotice)
    assert (told.operation, told.attempt_id, told.reference) == (operation, ATTEMPT_ID, "OWNPSP")
    assert isinstance(told.verdict, Approved)
    assert told.verdict.effect == effect
    refused = notice(code, merchantReference=reference(operation), success="false", reason="Insufficient")
    assert isinstance(refused.verdict, Declined)
    assert (refused.attempt_id, refused.verdict.code) == (ATTEMPT_ID, f"{operation}_failed")


def test_cancellations() -> None:
    told = notice("CANCELLATION", merchantReference=reference("cancel"), amount={"value": 0, "currency": "EUR"})
    assert isinstance(told, ChargeNotice)
    assert (told.verdict.effect, told.expired) == ("voided", False)  # type: ignore[union-attr]  # an approval
    refused = notice("CANCELLATION", merchantReference=reference("cancel"), success="false")
    assert isinstance(refused, AttemptNotice)
    assert (refused.operation, refused.attempt_id) == ("cancel", ATTEMPT_ID)
    for code in ("EXPIRE", "TECHNICAL_CANCEL"):
        assert notice(code).expired
        assert notice(code, success="false") is None


def test_what_was_done_in_the_dashboard() -> None:
    captured, refunded = notice("CAPTURE"), notice("REFUND")
    assert isinstance(captured, CaptureNotice)
    assert (captured.reference, captured.amount, captured.currency) == ("OWNPSP", 1_000, "EUR")
    for told in (notice("CAPTURE", merchantReference=SALE), notice("CAPTURE", originalReference=None)):
        assert isinstance(told, ChargeNotice)  # a sale is captured once, and so is what has no name beside the charge
        assert told.verdict.effect == "captured"  # type: ignore[union-attr]  # an approval
    assert isinstance(refunded, RefundNotice)
    assert (refunded.reference, refunded.amount) == ("OWNPSP", 1_000)


def test_late_failures() -> None:
    failures: dict[str, Operation] = {
        "CAPTURE_FAILED": "capture",
        "REFUND_FAILED": "refund",
        "REFUNDED_REVERSED": "refund",
    }
    for code, operation in failures.items():
        told = notice(code, merchantReference=reference(operation))
        assert isinstance(told.verdict, Reversed)
        assert (told.operation, told.attempt_id, told.reference) == (operation, ATTEMPT_ID, "OWNPSP")
        stranger = notice(code)
        assert (stranger.operation, stranger.attempt_id, stranger.reference) == (operation, None, "OWNPSP")
    sale = notice("CAPTURE_FAILED", merchantReference=SALE)
    assert isinstance(sale.verdict, Reversed)
    assert (sale.operation, sale.attempt_id) == ("authorize", ATTEMPT_ID)


@pytest.mark.parametrize(
    ("code", "state", "funds"),
    [
        ("NOTIFICATION_OF_CHARGEBACK", "opened", None),
        ("CHARGEBACK", "opened", "withdrawn"),
        ("CHARGEBACK_REVERSED", "under_review", "returned"),
        ("SECOND_CHARGEBACK", "lost", "withdrawn"),
        ("DISPUTE_DEFENSE_PERIOD_ENDED", "lost", None),
        ("ISSUER_RESPONSE_TIMEFRAME_EXPIRED", "won", None),
        ("PREARBITRATION_LOST", "lost", None),
        ("PREARBITRATION_WON", "won", None),
        ("SCHEME_ARBITRATION_LOST", "lost", None),
        ("SCHEME_ARBITRATION_WON", "won", None),
    ],
)
def test_disputes(code: str, state: str, funds: str | None) -> None:
    told = notice(code, reason="Not as described")
    assert isinstance(told, DisputeNotice)
    assert (told.reference, told.state, told.funds, told.amount) == ("OWNPSP", state, funds, 1_000)
    assert told.movements is not None
    moved = [(each.reference, each.funds, each.amount) for each in told.movements]
    assert moved == ([(code, funds, 1_000)] if funds else [])
    assert told.opens == (code not in ("DISPUTE_DEFENSE_PERIOD_ENDED", "ISSUER_RESPONSE_TIMEFRAME_EXPIRED"))


def test_what_was_canceled_or_refunded() -> None:
    told = notice("CANCEL_OR_REFUND")
    assert isinstance(told, CancelOrRefundNotice)
    assert (told.reference, told.amount, told.currency) == ("OWNPSP", 1_000, "EUR")
    refund = notice("REFUND_WITH_DATA")
    assert isinstance(refund, RefundNotice)
    assert (refund.reference, refund.amount) == ("OWNPSP", 1_000)
    voided = notice("VOID_PENDING_REFUND", originalReference="REFUNDPSP")
    assert isinstance(voided, AttemptNotice)
    assert isinstance(voided.verdict, Declined)
    assert (voided.operation, voided.attempt_id, voided.reference) == ("refund", None, "REFUNDPSP")
    for code in ("CANCEL_OR_REFUND", "REFUND_WITH_DATA", "VOID_PENDING_REFUND"):
        assert notice(code, success="false") is None


def test_a_code_that_nobody_knows_is_money_where_its_signed_fields_say_so() -> None:
    told = notice("SOMETHING_NEW", amount={"value": 501, "currency": "CLP"})
    assert told == UnknownNotice(code="SOMETHING_NEW", value=501, currency="CLP")
    for silent in (
        {"success": "false"},
        {"amount": {"value": 0, "currency": "EUR"}},
        {"amount": {"currency": "EUR"}},
        {"amount": None},
    ):
        assert notice("AUTHORISATION_ADJUSTMENT", **silent) is None, "nothing moved"
        [found] = read(item("SOMETHING_NEW", **silent))
        assert found.notice == Unreadable(reason="its eventCode is not known here"), "nobody can say that"


def test_other_events_say_nothing_of_money() -> None:
    for code in (
        "REPORT_AVAILABLE",
        "REQUEST_FOR_INFORMATION",
        "INFORMATION_SUPPLIED",
        "ISSUER_COMMENTS",
        "NOTIFICATION_OF_FRAUD",
        "PREARBITRATION_OPEN",
    ):
        assert notice(code) is None


def test_exponents() -> None:
    told = notice("AUTHORISATION", amount={"value": 500, "currency": "CLP"})
    assert (told.verdict.amount, told.verdict.currency) == (5, "CLP")
    told = notice("AUTHORISATION", amount={"value": 10, "currency": "IDR"})
    assert told.verdict.amount == 1_000
    for amount in ({"value": 501, "currency": "CLP"}, {"value": 5, "currency": "XXX"}, None, {"value": 5}):
        [found] = read(item(amount=amount))
        assert isinstance(found.notice, Unreadable)
        assert found.provider_event_id.startswith("digest:")


@given(st.from_regex(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?", fullmatch=True), st.integers(0, 2**128 - 1), st.booleans())
def test_references_come_back(merchant_id: str, value: int, sale: bool) -> None:
    written = Reference(merchant_id, f"pay_{value:032x}", f"att_{value ^ 1:032x}", "authorize", sale)
    assert len(write_reference(written)) <= 80
    assert read_reference(write_reference(written)) == written


@given(st.text(alphabet="abcz09AZ.-", max_size=90))
def test_what_is_not_ours_is_not_read_as_ours(text: str) -> None:
    found = read_reference(text)
    assert found is None or write_reference(found) == text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=20), inner, max_size=3),
    max_leaves=10,
)


def refused_cleanly(body: bytes) -> None:
    with contextlib.suppress(BadSignature, Unparseable):
        receiver().receive(body, {}, NOW)


@given(st.binary(max_size=300))
def test_any_bytes(body: bytes) -> None:
    refused_cleanly(body)


@pytest.mark.exhaustive
@given(st.dictionaries(st.sampled_from(sorted(item())), JSON))
@settings(max_examples=2_000 if DEEP else 60)
def test_signed_nonsense(fields: dict[str, Any]) -> None:
    """Even with a right signature."""
    broken = item("REFUND") | fields
    try:
        body = delivery([broken])
    except (AttributeError, TypeError, UnicodeEncodeError, ValueError):
        return
    refused_cleanly(body)


@given(JSON)
def test_any_json(value: Any) -> None:
    refused_cleanly(json.dumps({"notificationItems": value}).encode())
    refused_cleanly(json.dumps({"notificationItems": [{"NotificationRequestItem": value}]}).encode())


def test_deep_nesting() -> None:
    refused_cleanly(b'{"notificationItems":' + b"[" * 100_000)


def test_dates_that_are_none() -> None:
    for date in ("", "yesterday", "2030-01-01T12:00:00", "9999-99-99T99:99:99Z"):
        assert read(item(eventDate=date))[0].occurred_at is None
    assert read(item())[0].occurred_at == datetime(2030, 1, 1, 11, tzinfo=UTC)
