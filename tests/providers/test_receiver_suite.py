"""One suite for every receiver: what the inbox builds on is true of each provider's webhooks."""

from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.domain.notices import Unreadable
from tallystick.flows.webhooks.inbound.envelope import envelope_of
from tallystick.providers.receiver import BadSignature, StaleTimestamp, Unparseable, name_by_digest
from tests.support.connector_suite import Letters, Signed
from tests.support.provider_doubles import LETTERS
from tests.support.screen import SCREEN

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
A_DAY = timedelta(days=1)

CLEAN = (BadSignature, StaleTimestamp, Unparseable)

every_provider = pytest.mark.parametrize("letters", LETTERS, ids=lambda letters: letters.name)


def signed(letters: Letters, number: int = 1, *, secret: str | None = None, at: datetime = NOW) -> Signed:
    return letters.sign(letters.event(number), secret or letters.secrets[0], at)


def markers(letters: Letters, delivery: Signed, *, secrets: tuple[str, ...] = (), now: datetime = NOW) -> list[str]:
    """What the inbox tells redeliveries by."""
    found = letters.receiver(secrets or letters.secrets[:1]).receive(delivery.body, delivery.headers, now)
    return [one.provider_event_id for one in found]


@every_provider
def test_who_it_is(letters: Letters) -> None:
    receiver = letters.receiver(letters.secrets)
    assert (receiver.name, receiver.account) == (letters.name, "main")
    assert receiver.acknowledgement
    assert b"/" in receiver.content_type


@every_provider
def test_without_a_secret_there_is_none(letters: Letters) -> None:
    for secrets in ([], [""], [letters.secrets[0], ""]):
        with pytest.raises(ValueError):
            letters.receiver(secrets)


@every_provider
def test_a_good_one(letters: Letters) -> None:
    delivery = signed(letters)
    [found] = letters.receiver(letters.secrets[:1]).receive(delivery.body, delivery.headers, NOW)
    assert found.provider_event_id
    assert found.type
    assert found.notice is not None


@every_provider
def test_a_bad_signature(letters: Letters) -> None:
    good = signed(letters)
    bad = [letters.unsigned(letters.event(1)), signed(letters, secret=letters.secrets[1]), letters.changed(good)]
    for delivery in (*bad, *letters.garbled(good)):
        with pytest.raises(BadSignature) as refused:
            markers(letters, delivery)
        assert not any(secret in str(refused.value) for secret in letters.secrets)


@every_provider
def test_while_a_secret_is_replaced_both_are_good(letters: Letters) -> None:
    for secret in letters.secrets:
        for secrets in (letters.secrets, letters.secrets[::-1]):
            assert markers(letters, signed(letters, secret=secret), secrets=secrets)
    with pytest.raises(BadSignature):
        markers(letters, signed(letters, secret=letters.secrets[1]), secrets=letters.secrets[:1])


@every_provider
@pytest.mark.parametrize("off", [A_DAY, -A_DAY], ids=["old", "new"])
def test_a_recording(letters: Letters, off: timedelta) -> None:
    delivery = signed(letters, at=NOW - off)
    if not letters.timed:
        assert markers(letters, delivery) == markers(letters, signed(letters)), "told by its marker alone"
        return
    with pytest.raises(StaleTimestamp):
        markers(letters, delivery)
    with pytest.raises(BadSignature):  # who cannot sign learns nothing of our clock
        markers(letters, signed(letters, secret=letters.secrets[1], at=NOW - off))


@every_provider
def test_signed_and_unreadable(letters: Letters) -> None:
    for event in letters.unreadable:
        delivery = letters.sign(event, letters.secrets[0], NOW)
        [found] = letters.receiver(letters.secrets[:1]).receive(delivery.body, delivery.headers, NOW)
        assert isinstance(found.notice, Unreadable)
        assert found.item_digest is not None
        assert found.provider_event_id == name_by_digest(found.item_digest)
        assert "1000" not in str(found), "what was sent is not repeated"


@every_provider
def test_the_marker_is_of_the_bytes_alone(letters: Letters) -> None:
    first = markers(letters, signed(letters))
    assert first == markers(letters, signed(letters)), "the same bytes, the same marker"
    later = NOW + timedelta(minutes=4)
    assert first == markers(letters, signed(letters), now=later), "whenever it arrives"
    again = signed(letters, secret=letters.secrets[1], at=later)
    assert first == markers(letters, again, secrets=letters.secrets, now=later), "however it is signed"
    assert first != markers(letters, signed(letters, 2)), "another event, another marker"


@every_provider
def test_what_is_told_by_is_told_of_each_receiver_alike(letters: Letters) -> None:
    delivery = signed(letters)
    one, other = (letters.receiver(letters.secrets).receive(delivery.body, delivery.headers, NOW) for _ in range(2))
    assert list(one) == list(other)


@every_provider
@given(body=st.binary(), header=st.text(), name=st.sampled_from(["acquirer-signature", "stripe-signature", "x"]))
def test_whatever_the_bytes_only_clean_refusals(letters: Letters, body: bytes, header: str, name: str) -> None:
    with pytest.raises(CLEAN):
        letters.receiver(letters.secrets).receive(body, {name: header}, NOW)


@every_provider
@given(data=st.data())
def test_a_spoiled_byte_is_refused_or_says_nothing_else(letters: Letters, data: st.DataObject) -> None:
    """Of what decides nothing may change unseen; white space in JSON may."""
    good = signed(letters)
    [before] = letters.receiver(letters.secrets[:1]).receive(good.body, good.headers, NOW)
    place = data.draw(st.integers(0, len(good.body) - 1))
    body = bytearray(good.body)
    body[place] = data.draw(st.integers(0, 255))
    try:
        [after] = letters.receiver(letters.secrets[:1]).receive(bytes(body), good.headers, NOW)
    except CLEAN:
        return
    if isinstance(after.notice, Unreadable):
        assert not letters.timed, "the spoilt byte is in a field that is not signed: nothing is read from the item"
        return
    assert (after.provider_event_id, after.type, after.payment_id) == (
        before.provider_event_id,
        before.type,
        before.payment_id,
    )
    if letters.timed:
        assert bytes(body) == good.body, "where all bytes are signed"


_JSON: st.SearchStrategy[object] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.exhaustive
@every_provider
@given(data=st.data())
def test_whatever_is_signed_is_kept(letters: Letters, data: st.DataObject) -> None:
    event = copy.deepcopy(letters.event(1))
    for name in data.draw(st.lists(st.sampled_from(sorted(event)), max_size=3)):
        event[name] = data.draw(_JSON)
    try:
        delivery = letters.sign(event, letters.secrets[0], NOW)
    except (AttributeError, TypeError, UnicodeEncodeError):
        return  # which not even they could sign
    receiver = letters.receiver(letters.secrets[:1])
    try:
        found = receiver.receive(delivery.body, delivery.headers, NOW)
    except BadSignature:
        assert not letters.timed, "only where fields are signed and not bytes: not every value has one text"
        return
    [kept] = [envelope_of(receiver, one, delivery.body, {}, NOW, SCREEN) for one in found]
    assert kept.provider_event_id.encode()
