"""Stripe's signature: over the bytes as they came, with any live secret, and for five minutes."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import stripe
from hypothesis import example, given
from hypothesis import strategies as st

from tallystick.domain.notices import Unreadable
from tallystick.providers.receiver import BadSignature, StaleTimestamp, name_by_digest
from tallystick.providers.stripe.receiver import StripeReceiver

# The vector of Stripe's own documentation of its signatures.
SECRET = "whsec_test_secret"
SIGNED_AT = 1_614_265_330
BODY = (
    b'{\n  "id": "evt_test_webhook",\n  "object": "event",\n'
    b'  "data": { "object": { "id": "rdr_123", "object": "terminal.reader" } }\n}'
)
SIGNATURE = "117f2d4aa1697fc9f837f2feca4e5e23ec790ffa7b6b669073d3677ae48c4b5f"

#: What the vector lacks to be a whole event.
EVENT = b'{"id": "evt_1", "type": "terminal.reader.action_succeeded", "created": 1614265330}'


def sign(body: bytes, secret: str = SECRET, at: int = SIGNED_AT) -> str:
    return hmac.new(secret.encode(), b"%d.%s" % (at, body), hashlib.sha256).hexdigest()


def receive(body: bytes, header: str | None, *, at_s: float = SIGNED_AT, secrets: tuple[str, ...] = (SECRET,)) -> Any:
    now = datetime.fromtimestamp(at_s, UTC)
    headers = {} if header is None else {"stripe-signature": header}
    return StripeReceiver("main", secrets).receive(body, headers, now)


def test_the_documented_vector() -> None:
    [found] = receive(BODY, f"t={SIGNED_AT},v1={SIGNATURE}")
    assert isinstance(found.notice, Unreadable), "the signature is right, and the example has no type"
    with pytest.raises(BadSignature):
        receive(BODY.replace(b"rdr_123", b"rdr_124"), f"t={SIGNED_AT},v1={SIGNATURE}")


def test_an_event() -> None:
    [notification] = receive(EVENT, f"t={SIGNED_AT},v1={sign(EVENT)}")
    assert notification.provider_event_id == "evt_1"
    assert notification.occurred_at == datetime.fromtimestamp(SIGNED_AT, UTC)
    receiver = StripeReceiver("eu", [SECRET])
    assert (receiver.name, receiver.account) == ("stripe", "eu")
    assert receiver.acknowledgement == b'{"received": true}'


GOOD = sign(EVENT)

#: header -> whether it is accepted
HEADERS: list[tuple[str | None, bool]] = [
    (f"t={SIGNED_AT},v1={GOOD}", True),
    (f"t={SIGNED_AT},v1={'0' * 64},v1={GOOD},v0=old", True),
    (f"v1={GOOD},t={SIGNED_AT}", True),
    (f"t={SIGNED_AT},v0={GOOD}", False),
    (f"t={SIGNED_AT}", False),
    (f"v1={GOOD}", False),
    (f"t={SIGNED_AT + 1},v1={GOOD}", False),
    (f"t={SIGNED_AT},t={SIGNED_AT},v1={GOOD}", False),
    (f"t={SIGNED_AT},v1={GOOD.upper()}", False),
    (f"t={SIGNED_AT},v1={GOOD}0", False),
    (f"t={SIGNED_AT},v1= {GOOD}", False),
    (f"t=-{SIGNED_AT},v1={GOOD}", False),
    (f"t={SIGNED_AT}.0,v1={GOOD}", False),
    ("t=١٦١٤٢٦٥٣٣٠,v1=" + GOOD, False),
    (f"t={'9' * 5_000},v1={GOOD}", False),
    (f"t={SIGNED_AT}," + ",".join([f"v1={'0' * 64}"] * 100 + [f"v1={GOOD}"]), False),
    ("", False),
    (",,,===", False),
    (None, False),
]


@pytest.mark.parametrize(("header", "good"), HEADERS)
def test_headers(header: str | None, good: bool) -> None:
    if good:
        assert len(receive(EVENT, header)) == 1
    else:
        with pytest.raises(BadSignature):
            receive(EVENT, header)


def test_while_a_secret_is_replaced_both_are_good() -> None:
    for secret in ("whsec_old", "whsec_new"):
        header = f"t={SIGNED_AT},v1={sign(EVENT, secret)}"
        assert receive(EVENT, header, secrets=("whsec_new", "whsec_old"))
    with pytest.raises(BadSignature):
        receive(EVENT, f"t={SIGNED_AT},v1={sign(EVENT, 'whsec_old')}", secrets=("whsec_new",))


def test_the_secret_is_used_whole() -> None:
    with pytest.raises(BadSignature):
        receive(EVENT, f"t={SIGNED_AT},v1={sign(EVENT, SECRET.removeprefix('whsec_'))}")


def test_a_receiver_without_a_secret_cannot_be_made() -> None:
    for secrets in ([], [""], [SECRET, ""]):
        with pytest.raises(ValueError, match="secret"):
            StripeReceiver("main", secrets)


@pytest.mark.parametrize("off_s", [0, 300, -300, 299.9, -299.9])
def test_in_time(off_s: float) -> None:
    assert receive(EVENT, f"t={SIGNED_AT},v1={GOOD}", at_s=SIGNED_AT + off_s)


@pytest.mark.parametrize("off_s", [301, -301, 10**6, -(10**6)])
def test_too_old_or_too_new(off_s: float) -> None:
    with pytest.raises(StaleTimestamp):
        receive(EVENT, f"t={SIGNED_AT},v1={GOOD}", at_s=SIGNED_AT + off_s)
    with pytest.raises(BadSignature):  # who cannot sign learns nothing of our clock
        receive(EVENT, f"t={SIGNED_AT},v1={'0' * 64}", at_s=SIGNED_AT + off_s)
    with pytest.raises(StaleTimestamp):  # and what is stale is not even read
        receive(b"nonsense", f"t={SIGNED_AT},v1={sign(b'nonsense')}", at_s=SIGNED_AT + off_s)


NO_EVENTS = [
    b"",
    b"nonsense",
    b"[]",
    b"null",
    b"{}",
    b'{"id": "evt_1"}',
    b'{"id": 1, "type": "x"}',
    b'{"id": "evt_1", "type": "x", "created": -1}',
    b'{"id": "evt_1", "type": "x", "created": 1e400}',
    b'{"id": "evt_1", "type": "x", "created": 999999999999999999999}',
    b'{"id": "evt_1", "type": "x", "created": true}',
    b'{"id": "evt_1", "type": "x", "data": []}',
    b'{"id": "evt_\xff", "type": "x"}',
    b'{"id": "evt_1", "type": "payment_intent.succeeded", "data": {"object": 7}}',
    b"[" * 100_000,
    b'{"id": "evt_1", "type": "x", "data": {"object": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}",
]


@pytest.mark.parametrize("body", NO_EVENTS, ids=range(len(NO_EVENTS)))
def test_signed_and_no_event(body: bytes) -> None:
    [found] = receive(body, f"t={SIGNED_AT},v1={sign(body)}")
    assert found.provider_event_id == name_by_digest(hashlib.sha256(body).digest())
    assert isinstance(found.notice, Unreadable) or found.type == "x", "a type that is not about payments"
    assert "evt" not in str(found), "what was sent is not repeated"


_NAMES = st.sampled_from(["t", "v1", "v0", "T", " t", ""])
_VALUES = st.one_of(st.text(), st.integers().map(str), st.sampled_from([str(SIGNED_AT), GOOD, SIGNATURE]))
_HEADERS = st.one_of(
    st.text(),
    st.lists(st.tuples(_NAMES, _VALUES).map("=".join)).map(",".join),
)


@given(body=st.binary() | st.just(EVENT), header=_HEADERS)
@example(body=EVENT, header="t=1_614,v1=\ud800")
def test_whatever_the_bytes_only_clean_refusals(body: bytes, header: str) -> None:
    try:
        receive(body, header)
    except BadSignature:
        return
    assert body == EVENT
    assert GOOD in header


_KEYS = st.sampled_from(
    "id object amount currency status metadata payment_intent created next_action last_payment_error reason".split()
)
_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=6),
    max_leaves=20,
)
_TYPES = st.sampled_from(
    "payment_intent.succeeded payment_intent.canceled payment_intent.requires_action refund.updated refund.created"
    " charge.dispute.created customer.created".split()
)
_STATUSES = st.sampled_from("succeeded canceled requires_action requires_payment_method failed pending lost".split())
_OBJECTS = st.fixed_dictionaries(
    {
        "id": st.text() | _JSON,
        "object": st.sampled_from(["payment_intent", "refund", "dispute"]),
        "status": _STATUSES,
        "amount": st.integers() | st.just(1_000),
        "currency": st.sampled_from(["eur", "isk", "mga", "xxx", "", "\x00"]),
    },
    optional={"metadata": _JSON, "payment_intent": _JSON, "created": _JSON, "last_payment_error": _JSON},
)


@pytest.mark.exhaustive
@given(kind=_TYPES, thing=_OBJECTS | _JSON, created=_JSON)
def test_whatever_is_signed_is_an_event_or_cleanly_refused(kind: str, thing: Any, created: Any) -> None:
    body = json.dumps({"id": "evt_1", "type": kind, "created": created, "data": {"object": thing}}).encode()
    assert receive(body, f"t={SIGNED_AT},v1={sign(body)}")


@given(body=st.text().map(str.encode), flipped=st.integers(0, 63), spoil=st.booleans())
def test_the_sdk_agrees(body: bytes, flipped: int, spoil: bool) -> None:
    """Stripe's library and we accept the same; in time, as it only looks at the past."""
    at = int(time.time())
    signature = sign(body, at=at)
    if spoil:
        signature = signature[:flipped] + format(int(signature[flipped], 16) ^ 1, "x") + signature[flipped + 1 :]
    header = f"t={at},v1={signature}"
    try:
        theirs = stripe.WebhookSignature.verify_header(body, header, SECRET, 300)
    except stripe.SignatureVerificationError:
        theirs = False
    try:
        receive(body, header, at_s=at)
        ours = True
    except BadSignature:
        ours = False
    assert ours == theirs == (not spoil)


def test_the_sdk_agrees_on_what_is_old() -> None:
    at = int(time.time()) - 400
    header = f"t={at},v1={sign(EVENT, at=at)}"
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.WebhookSignature.verify_header(EVENT, header, SECRET, 300)
    with pytest.raises(StaleTimestamp):
        receive(EVENT, header, at_s=at + 400)


def test_another_tolerance() -> None:
    receiver = StripeReceiver("main", [SECRET], tolerance_ms=10_000)
    now = datetime.fromtimestamp(SIGNED_AT, UTC)
    headers = {"stripe-signature": f"t={SIGNED_AT},v1={GOOD}"}
    assert receiver.receive(EVENT, headers, now + timedelta(seconds=10))
    with pytest.raises(StaleTimestamp):
        receiver.receive(EVENT, headers, now + timedelta(seconds=11))
