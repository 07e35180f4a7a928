"""Whatever a correctly signed body holds: the answer is 2xx, and every item is in the record.

Bodies are written by hand here, so that they can hold what no writer of JSON writes: numbers that are not finite, half
characters, repeated names, control characters, other encodings, and brackets without end.
"""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import httpx
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tallystick.domain.notices import Unreadable
from tallystick.kit.ids import new_id
from tallystick.providers.adyen.receiver import AdyenReceiver
from tests.support.adyen.fake_adyen import HMAC_KEY, MERCHANT_ACCOUNT, signature
from tests.support.connector_suite import Letters, Signed
from tests.support.database import DEEP, Database
from tests.support.provider_doubles import LETTERS
from tests.support.provider_samples import NOW, adyen_samples, places, samples
from tests.support.signed_deliveries import adyen_item, arrivals, deliver, door, kept, settle, signed_bytes

every_provider = pytest.mark.parametrize("letters", LETTERS, ids=lambda letters: letters.name)

#: Cheap by default; each is a request and a transaction.
EXAMPLES: Final = 500 if DEEP else 30


class Written(NamedTuple):
    """A value as it is written, whatever that is."""

    text: bytes


#: What readers of JSON disagree about, or refuse.
HOSTILE: Final[dict[str, bytes]] = {
    "not a number": b"NaN",
    "infinite": b"-Infinity",
    "no double": b"1e400",
    "tiny": b"-0.0e-999",
    "long": b"9" * 5_000,
    "above 64 bits": b"18446744073709551617",
    "below 64 bits": b"-9223372036854775809",
    "half a character": b'"\\ud800"',
    "the other half": b'"\\udc00\\ud800"',
    "NUL": b'"a\\u0000b"',
    "a raw NUL": b'"a\x00b"',
    "a raw line break": b'"a\nb"',
    "no UTF-8": b'"\xff\xfe"',
    "Latin-1": "é".encode("latin-1").join((b'"', b'"')),
    "an unknown escape": b'"\\x41"',
    "deep": b"[" * 20_000 + b"]" * 20_000,
    "deep objects": b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
    "repeated names": b'{"id":1,"id":2,"amount":3,"amount":"x"}',
    "an empty name": b'{"":{"":""}}',
    "a long text": b'"' + b"x" * 100_000 + b'"',
    "another word": b"undefined",
    "brackets in text": b'"]}]}\\"{[{"',
}


def written(value: Any) -> bytes:
    """JSON, but for what is written already."""
    if isinstance(value, Written):
        return value.text
    if isinstance(value, Mapping):
        return b"{" + b",".join(written(name) + b":" + written(part) for name, part in value.items()) + b"}"
    if isinstance(value, list):
        return b"[" + b",".join(written(part) for part in value) + b"]"
    return json.dumps(value).encode()


_VALUES: Final[st.SearchStrategy[Any]] = st.recursive(
    st.sampled_from([Written(text) for text in HOSTILE.values()])
    | st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=5,
)

#: What Adyen's signature is not of.
_UNSIGNED: Final = ("eventDate", "reason", "operations", "paymentMethod", "live", "")


def adyen_body(items: list[dict[str, Any]], beside: list[dict[str, Any]]) -> bytes:
    """Each item with the right signature of its own fields; ``beside`` is what stands beside the signature."""
    wrapped = []
    for item, data in zip(items, beside, strict=True):
        made = {**data, "hmacSignature": signature({**item, "additionalData": {}})}
        wrapped.append({"NotificationRequestItem": {**item, "additionalData": made}})
    return written({"live": "false", "notificationItems": wrapped})


@st.composite
def _adyen(draw: st.DrawFn) -> tuple[Signed, int]:
    genuine = [dict(item) for _, item in adyen_samples()]
    items, beside = [], []
    for _ in range(draw(st.integers(1, 3))):
        item = draw(st.sampled_from(genuine)) | {"pspReference": new_id("req")}
        for name in draw(st.lists(st.sampled_from(_UNSIGNED), max_size=2)):
            item[name] = draw(_VALUES)
        items.append(item)
        beside.append(draw(st.dictionaries(st.sampled_from(["cardSummary", "x", ""]), _VALUES, max_size=2)))
    mark = draw(st.sampled_from([b"", b"\xef\xbb\xbf"]))
    return Signed(mark + adyen_body(items, beside), {}), len(items)


@st.composite
def _signed_whole(draw: st.DrawFn, letters: Letters) -> tuple[Signed, int]:
    """A genuine event with odd values at some of its places, in any encoding."""
    _, event = draw(st.sampled_from(samples(letters.name)))
    event = copy.deepcopy(event) | {"id": new_id("evt")}
    for path in draw(st.lists(st.sampled_from(list(places(event))), max_size=3)):
        place: Any = event
        try:
            for part in path[:-1]:
                place = place[part]
            place[path[-1]] = draw(_VALUES)
        except (TypeError, KeyError, IndexError, AttributeError):
            continue  # it is inside of what was replaced
    body = written(event)
    if draw(st.integers(0, 9)) == 0:
        body = body.decode("utf-8", "replace").encode(draw(st.sampled_from(["utf-16", "utf-32", "utf-8-sig", "utf-7"])))
    return signed_bytes(letters, body), 1


@every_provider
async def test_whatever_a_correctly_signed_body_holds(
    database: Database, fresh_merchant: str, letters: Letters
) -> None:
    loop = asyncio.get_running_loop()
    bodies = _adyen() if letters.name == "adyen" else _signed_whole(letters)
    async with door(database, fresh_merchant) as app:

        async def round_trip(delivery: Signed) -> tuple[httpx.Response, int]:
            before = await arrivals(app)
            return await deliver(app, letters.name, delivery), await arrivals(app) - before

        @given(bodies)
        @hypothesis_settings(max_examples=EXAMPLES)
        def holds(drawn: tuple[Signed, int]) -> None:
            delivery, items = drawn
            answer, stored = asyncio.run_coroutine_threadsafe(round_trip(delivery), loop).result()
            assert (answer.status_code, stored) == (200, items), (delivery.body[:2_000], answer.text)

        since = len(await kept(app))
        await asyncio.to_thread(holds)
        await settle(app)
        states = {row["state"] for row in await kept(app, since)}
        assert states <= {"dead", "unreadable", "unknown_type", "conflict", "foreign"}, "and each came to an end"


@pytest.mark.exhaustive
@pytest.mark.parametrize("what", HOSTILE)
def test_one_odd_item_costs_the_others_nothing(what: str) -> None:
    """Adyen signs items and not bodies: what is beside an odd one is read as if it were alone."""
    receiver = AdyenReceiver("main", MERCHANT_ACCOUNT, [HMAC_KEY])
    good = [adyen_item(), adyen_item()]
    alone = [receiver.receive(adyen_body([each], [{}]), {}, NOW)[0] for each in good]
    for name in ("reason", "additional"):
        odd = adyen_item() | ({"reason": Written(HOSTILE[what])} if name == "reason" else {})
        beside = [{}, {"x": Written(HOSTILE[what])} if name == "additional" else {}, {}]
        found = receiver.receive(adyen_body([good[0], odd, good[1]], beside), {}, NOW)
        assert [found[0].notice, found[2].notice] == [each.notice for each in alone]
        assert found[1].notice is not None
        if isinstance(found[1].notice, Unreadable):
            assert found[1].provider_event_id.startswith("digest:")
        again = receiver.translate(adyen_body([good[0], odd, good[1]], beside))
        assert again == found, "a replay reads what the door read"
