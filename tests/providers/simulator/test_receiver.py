"""The test acquirer's webhooks as we read them: signatures, times, every type, and whatever bytes there are."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.domain.notices import AttemptNotice, ChargeNotice, DisputeNotice, RefundNotice, Unreadable
from tallystick.domain.verdicts import Approved, Declined, RequiresAction, Reversed
from tallystick.providers.assembly import receivers
from tallystick.providers.receiver import BadSignature, Notification, Receiver, StaleTimestamp, name_by_digest
from tallystick.providers.registry import CONNECTOR_SETTINGS
from tallystick.providers.simulator.receiver import HEADER_LIMIT_CHARS, TOLERANCE_S, SimulatorReceiver
from tallystick.settings.load import SettingsError, load_settings

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
SECRET, OLD_SECRET = "whsec_new", "whsec_old"
RECEIVER: Receiver = SimulatorReceiver("main", [SECRET, OLD_SECRET])

OPERATION: dict[str, Any] = {
    "object": "operation",
    "merchant_id": "m",
    "payment_id": "pay_1",
    "attempt_id": "att_1",
    "operation": "authorize",
    "status": "approved",
    "effect": "captured",
    "amount": 1_000,
    "currency": "EUR",
    "charge_id": "ch_1",
    "reference": "ch_1",
    "decline_code": None,
    "decline_message": None,
    "next_action": None,
    "occurred_at": "2026-05-04T03:02:00Z",
}
NAMES = {"merchant_id": "m", "payment_id": "pay_1", "charge_id": "ch_1"}
MONEY = {"amount": 1_000, "currency": "EUR", "occurred_at": "2026-05-04T03:02:00Z"}


def event(kind: str = "charge.captured", data: Any = OPERATION, **changed: Any) -> bytes:
    whole = {"id": "evt_sim_1", "type": kind, "created": "2026-05-04T03:02:00Z", "sequence": 1, "data": data}
    return json.dumps(whole | changed).encode()


def signed(body: bytes, *, secret: str = SECRET, at: datetime = NOW) -> dict[str, str]:
    second = str(int(at.timestamp()))
    made = hmac.new(secret.encode(), second.encode() + b"." + body, hashlib.sha256).hexdigest()
    return {"acquirer-signature": f"t={second},v1={made}", "content-type": "application/json"}


def receive(body: bytes, headers: dict[str, str] | None = None) -> Notification:
    (notification,) = RECEIVER.receive(body, signed(body) if headers is None else headers, NOW)
    return notification


def test_a_known_signature() -> None:
    """Worked out with another tool: printf '1777863721.{}' | openssl dgst -sha256 -hmac whsec_new."""
    value = "t=1777863721,v1=58089b3c5e1325316e3a562efcccf1ff85c03e2be2a13d7e00fb1f8f38f5ab4d"
    [found] = RECEIVER.receive(b"{}", {"acquirer-signature": value}, NOW)
    assert isinstance(found.notice, Unreadable)


@pytest.mark.parametrize("secret", [SECRET, OLD_SECRET])
def test_any_secret_will_do(secret: str) -> None:
    assert receive(event(), signed(event(), secret=secret)).provider_event_id == "evt_sim_1"


def test_any_of_several_signatures_will_do() -> None:
    value = signed(event())["acquirer-signature"].replace(",v1=", f",v1={'0' * 64},v1=")
    assert receive(event(), {"acquirer-signature": value}).type == "charge.captured"


GOOD = signed(event())["acquirer-signature"]

BAD_HEADERS = {
    "none": None,
    "empty": "",
    "no signature": GOOD.partition(",")[0],
    "no time": GOOD.partition(",")[2],
    "another secret": signed(event(), secret="whsec_other")["acquirer-signature"],
    "another time": GOOD.replace("t=", "t=1"),
    "other bytes": signed(event() + b" ")["acquirer-signature"],
    "upper case": GOOD.upper(),
    "one digit less": GOOD[:-1],
    "more behind it": GOOD + ",",
    "other digits": GOOD.replace("t=1", "t=\u0661"),
    "a line break": GOOD + "\n",
    "another version": GOOD.replace("v1=", "v0="),
    "endless": GOOD + (",v1=" + "0" * 64) * (HEADER_LIMIT_CHARS // 68),
    "not ASCII": GOOD[:-1] + "é",
}


@pytest.mark.parametrize("what", BAD_HEADERS)
def test_a_bad_signature_is_refused(what: str) -> None:
    value = BAD_HEADERS[what]
    with pytest.raises(BadSignature):
        receive(event(), {} if value is None else {"acquirer-signature": value})


@pytest.mark.parametrize("at_s", [-TOLERANCE_S - 1, TOLERANCE_S + 1, -86_400])
def test_a_stale_time_is_told_apart_only_after_a_right_signature(at_s: int) -> None:
    at = NOW + timedelta(seconds=at_s)
    with pytest.raises(StaleTimestamp):
        receive(event(), signed(event(), at=at))
    with pytest.raises(BadSignature):
        receive(event(), signed(event(), at=at, secret="whsec_other"))


@pytest.mark.parametrize("at_s", [-TOLERANCE_S, TOLERANCE_S])
def test_clocks_may_differ(at_s: int) -> None:
    assert receive(event(), signed(event(), at=NOW + timedelta(seconds=at_s))).notice is not None


def test_an_outcome_of_our_call() -> None:
    found = receive(event())
    assert (found.merchant_id, found.payment_id, found.charge_reference) == ("m", "pay_1", "ch_1")
    assert found.occurred_at == NOW - timedelta(seconds=1)
    assert found.notice == AttemptNotice(
        operation="authorize",
        attempt_id="att_1",
        reference="ch_1",
        verdict=Approved(
            amount=1_000,
            currency="EUR",
            effect="captured",
            reference="ch_1",
            occurred_at=NOW - timedelta(seconds=1),
        ),
    )


DECLINE = {"status": "declined", "effect": None, "decline_code": "insufficient_funds", "decline_message": "No."}


def _verdict(kind: str, **changed: Any) -> Any:
    notice = receive(event(kind, OPERATION | changed)).notice
    assert isinstance(notice, AttemptNotice)
    return notice.verdict


def test_a_decline_and_an_action() -> None:
    declined = _verdict("charge.declined", **DECLINE)
    assert isinstance(declined, Declined)
    assert (declined.code, declined.retryable) == ("insufficient_funds", True)
    action = {"type": "redirect", "url": "/x"}
    waiting = _verdict("charge.action_required", status="requires_action", effect=None, next_action=action)
    assert waiting == RequiresAction(next_action=action, reference="ch_1")


@pytest.mark.parametrize(("kind", "operation"), [("refund.failed", "refund"), ("capture.failed", "capture")])
def test_a_late_failure_is_a_reversal(kind: str, operation: str) -> None:
    late = {"operation": operation, "status": "failed", "effect": None, "decline_code": kind.replace(".", "_")}
    found = _verdict(kind, **late)
    assert isinstance(found, Reversed)
    assert (found.code, found.reference) == (kind.replace(".", "_"), "ch_1")


@pytest.mark.parametrize(
    ("kind", "effect", "expired"), [("dashboard.captured", "captured", False), ("charge.expired", "voided", True)]
)
def test_what_became_of_a_charge_by_itself(kind: str, effect: str, expired: bool) -> None:
    notice = receive(event(kind, NAMES | MONEY | {"effect": effect, "reference": "ch_1"})).notice
    assert isinstance(notice, ChargeNotice)
    assert notice.expired is expired
    assert isinstance(notice.verdict, Approved)
    assert (notice.verdict.effect, notice.verdict.amount, notice.verdict.reference) == (effect, 1_000, "ch_1")


def test_a_refund_of_the_dashboard() -> None:
    notice = receive(event("dashboard.refunded", NAMES | MONEY | {"reference": "re_1"})).notice
    assert notice == RefundNotice(
        reference="re_1", amount=1_000, currency="EUR", occurred_at=NOW - timedelta(seconds=1)
    )


@pytest.mark.parametrize(
    ("kind", "state", "funds"),
    [
        ("dispute.opened", "opened", None),
        ("dispute.funds_withdrawn", "opened", "withdrawn"),
        ("dispute.funds_withdrawn", "won", "withdrawn"),
        ("dispute.under_review", "under_review", None),
        ("dispute.won", "won", "returned"),
        ("dispute.lost", "lost", None),
    ],
)
def test_a_dispute(kind: str, state: str, funds: str | None) -> None:
    data = NAMES | MONEY | {"reference": "dp_1", "status": state, "funds": funds, "reason": "fraudulent"}
    notice = receive(event(kind, data)).notice
    assert isinstance(notice, DisputeNotice)
    assert (notice.reference, notice.state, notice.funds, notice.reason) == ("dp_1", state, funds, "fraudulent")


@pytest.mark.parametrize("data", [NAMES, {}, {"whatever": [1, {}]}])
def test_what_is_not_about_payments_is_kept_and_says_nothing(data: dict[str, Any]) -> None:
    found = receive(event("report.ready", data))
    assert (found.notice, found.type, found.payment_id) == (None, "report.ready", data.get("payment_id"))


@pytest.mark.parametrize("data", [NAMES, {}, {"whatever": [1, {}]}])
def test_a_type_that_is_not_known_is_kept_for_a_person(data: dict[str, Any]) -> None:
    found = receive(event("payout.paid", data))
    assert (found.notice, found.type) == (Unreadable(reason="its type is not known here"), "unreadable")


UNPARSEABLE: dict[str, bytes] = {
    "empty": b"",
    "no JSON": b"{",
    "no object": b"[]",
    "not UTF-8": event().replace(b"EUR", b"\xff\xfe\xfd"),
    "half a surrogate": event().replace(b'"att_1"', b'"\\ud800"'),
    "too deep": b"[" * 100_000,
    "too deep within": event(data=0).replace(b'"data": 0', b'"data": ' + b"[" * 50_000 + b"]" * 50_000),
    "no id": event(id=""),
    "an id that is a number": event(id=1),
    "a time without a zone": event(created="2026-05-04T03:02:00"),
    "no data": event(data=None),
    "no merchant": event(data={k: v for k, v in OPERATION.items() if k != "merchant_id"}),
    "a fraction": event(data=OPERATION | {"amount": 1.5}),
    "an amount as text": event(data=OPERATION | {"amount": "1000"}),
    "nothing": event(data=OPERATION | {"amount": 0}),
    "less than nothing": event(data=OPERATION | {"amount": -1}),
    "a flag": event(data=OPERATION | {"amount": True}),
    "endless money": event(data=OPERATION | {"amount": 2**53}),
    "no currency": event(data=OPERATION | {"currency": "EURO"}),
    "a currency and a line break": event(data=OPERATION | {"currency": "EUR\n"}),
    "an operation that there is not": event(data=OPERATION | {"operation": "guess"}),
    "an effect that there is not": event(data=OPERATION | {"effect": "maybe"}),
    "a status that there is not": event(data=OPERATION | {"status": "perhaps"}),
    "approved to no effect": event(data=OPERATION | {"effect": None}),
    "a failure that is none": event("refund.failed"),
    "a charge to no effect": event("dashboard.captured", NAMES | MONEY | {"effect": "x"}),
    "a dispute that there is not": event("dispute.won", NAMES | MONEY | {"reference": "dp", "status": "x"}),
    "funds that there are not": event(
        "dispute.won", NAMES | MONEY | {"reference": "dp", "status": "won", "funds": "half"}
    ),
    "names that are none": event("payout.paid", {"merchant_id": 7}),
}


@pytest.mark.parametrize("what", UNPARSEABLE)
def test_what_is_signed_and_cannot_be_read(what: str) -> None:
    found = receive(UNPARSEABLE[what])
    assert found.provider_event_id == name_by_digest(hashlib.sha256(UNPARSEABLE[what]).digest())
    assert isinstance(found.notice, Unreadable) or found.type == "payout.paid", "a type that is not about payments"
    assert "att_1" not in str(found)


def test_a_receiver_without_a_secret_is_not_made() -> None:
    for secrets in ([], [""], ["a", ""]):
        with pytest.raises(ValueError):
            SimulatorReceiver("main", secrets)


@pytest.mark.parametrize("text", [",", "a,", ",a", "a,,b"])
def test_the_setting_names_no_empty_secret(text: str) -> None:
    with pytest.raises(SettingsError, match="SIMULATOR_WEBHOOK_SECRETS: "):
        load_settings({"TALLYSTICK_SIMULATOR_WEBHOOK_SECRETS": text}, CONNECTOR_SETTINGS)


def test_the_settings_make_the_receiver() -> None:
    environ = {"TALLYSTICK_SIMULATOR_ACCOUNT": "eu", "TALLYSTICK_SIMULATOR_WEBHOOK_SECRETS": f"whsec_first,{SECRET}"}
    settings = load_settings(environ, CONNECTOR_SETTINGS)
    made = receivers(settings)["simulator", "eu"]
    assert made.receive(event(), signed(event()), NOW)


@given(st.text(), st.binary())
def test_no_header_does_harm(header: str, body: bytes) -> None:
    with pytest.raises(BadSignature):
        RECEIVER.receive(body, {"acquirer-signature": header}, NOW)


@given(st.integers(0, 10**12 - 1), st.lists(st.text("0123456789abcdef", min_size=64, max_size=64), max_size=3))
def test_no_forged_header_does_harm(time: int, signatures: list[str]) -> None:
    value = f"t={time}" + "".join(f",v1={each}" for each in signatures)
    with pytest.raises(BadSignature):
        RECEIVER.receive(event(), {"acquirer-signature": value}, NOW)


def _harmless(body: bytes) -> None:
    found = receive(body)
    assert isinstance(found.provider_event_id, str)


@given(st.binary())
def test_no_bytes_do_harm(body: bytes) -> None:
    _harmless(body)


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
KINDS = st.sampled_from(
    ["charge.captured", "refund.failed", "dashboard.captured", "dashboard.refunded", "dispute.won", "other"]
)


@pytest.mark.exhaustive
@given(KINDS, st.dictionaries(st.sampled_from(sorted({*OPERATION, "funds", "reason"})), ANY_JSON), ANY_JSON)
def test_no_values_do_harm(kind: str, changed: dict[str, Any], created: Any) -> None:
    _harmless(event(kind, OPERATION | changed))
    _harmless(event(kind, OPERATION | changed, created=created))


@given(st.integers(0, len(event()) - 1), st.integers(0, 255))
def test_no_changed_byte_does_harm(place: int, byte: int) -> None:
    body = bytearray(event())
    body[place] = byte
    _harmless(bytes(body))
