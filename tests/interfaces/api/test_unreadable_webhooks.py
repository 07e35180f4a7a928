"""What cannot be read, of every provider, through the door: it is acknowledged, kept, listed, and read again later."""

from __future__ import annotations

import asyncio
import base64
import copy
import json
from collections.abc import Mapping
from typing import Any, Final

import asyncpg
import httpx
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from tallystick.access.key_store import OPERATORS, create_key
from tallystick.flows.webhooks.inbound import unreadable
from tallystick.flows.webhooks.inbound.reread import Reread
from tallystick.flows.webhooks.inbound.worker import InboxWorker
from tallystick.kit.ids import new_id
from tallystick.providers.adyen.receiver import AdyenReceiver
from tallystick.providers.assembly import receivers
from tallystick.providers.simulator import receiver as simulator_receiver
from tallystick.record.postgres.inbox_rows import FiledFilter
from tallystick.record.sealing import KEY_BYTES, sealer_of
from tallystick.settings.load import Settings
from tests.support.adyen.fake_adyen import HMAC_KEY, MERCHANT_ACCOUNT, delivery
from tests.support.api import Inside
from tests.support.connector_suite import Letters, Signed
from tests.support.database import DEEP, Database
from tests.support.inbox import drain
from tests.support.provider_doubles import LETTERS
from tests.support.signed_deliveries import adyen_item, arrivals, deliver, door, kept, settle, signed, signed_bytes

every_provider = pytest.mark.parametrize("letters", LETTERS, ids=lambda letters: letters.name)

OTHER_KEY: Final = "00FF" * 16


@every_provider
async def test_what_is_signed_and_cannot_be_read_becomes_a_dead_letter(
    database: Database, fresh_merchant: str, letters: Letters
) -> None:
    async with door(database, fresh_merchant) as app:
        for event in letters.unreadable:
            since = len(await kept(app))
            event = copy.deepcopy(event) | {"nonce": new_id("req")}
            delivery = signed(letters, event)
            for _ in range(2):
                answer = await deliver(app, letters.name, delivery)
                assert answer.status_code == 200, answer.text
            await drain(app.app.state.runtime)
            [row] = await kept(app, since)
            assert (row["type"], row["state"]) == ("unreadable", "dead"), row
            assert row["provider_event_id"].startswith("digest:")


async def test_one_item_that_cannot_be_read_costs_no_other_anything(database: Database, fresh_merchant: str) -> None:
    items = [
        adyen_item("REPORT_AVAILABLE", pspReference=f"report_00:00:00_{new_id('req')}"),
        adyen_item("AUTHORISATION", amount={"value": 12_345, "currency": "CLP"}),
        adyen_item("REFUND", merchantAccountCode="Theirs"),
        adyen_item("CANCELLATION", amount=None),
        adyen_item("AUTHENTICATION", amount={"value": "0", "currency": "EUR"}),
        adyen_item("REFUND"),
    ]
    async with door(database, fresh_merchant) as app:
        since = len(await kept(app))
        answer = await deliver(app, "adyen", Signed(delivery(items), {}))
        assert (answer.status_code, answer.text) == (200, "[accepted]")
        await settle(app)
        states = sorted((row["type"], row["state"]) for row in await kept(app, since))
        assert states == [
            ("AUTHENTICATION", "unknown_type"),
            ("CANCELLATION", "dead"),
            ("REFUND", "dead"),
            ("REFUND", "unknown_type"),
            ("REPORT_AVAILABLE", "unknown_type"),
            ("unreadable", "dead"),
        ]


async def test_good_items_are_kept_where_another_has_a_bad_signature(database: Database, fresh_merchant: str) -> None:
    """401, so that it comes again; and what is kept cannot be read as the item that was left out."""
    good = [adyen_item(), adyen_item()]
    forged = good[0] | {"reason": "forged", "amount": {"value": 999_999, "currency": "EUR"}}
    body = delivery([forged, *good], OTHER_KEY, HMAC_KEY, HMAC_KEY)
    async with door(database, fresh_merchant) as app:
        since = len(await kept(app))
        answer = await deliver(app, "adyen", Signed(body, {}))
        assert (answer.status_code, answer.json()["code"]) == (401, "webhook_signature_invalid")
        names = [row["provider_event_id"] for row in await kept(app, since)]
        assert sorted(names) == sorted(f"REFUND:{each['pspReference']}:true" for each in good)
        runtime = app.app.state.runtime
        opened = []
        for row in await runtime.pool.fetch(
            "SELECT provider_event_id, delivery_id FROM delivery WHERE provider_event_id = ANY($1)", names
        ):
            about = f"adyen/main/{row['provider_event_id']}/{row['delivery_id']}".encode()
            sealed = await runtime.stores.inbox.sealed(("adyen", "main", row["provider_event_id"]), row["delivery_id"])
            opened.append(runtime.sealer.open(sealed, about).partition(b"\n")[2])
        [body] = [each for each in opened if each]
        told = AdyenReceiver("main", MERCHANT_ACCOUNT, [HMAC_KEY]).translate(body)
        assert [each.notice.amount for each in told] == [1_000, 1_000]  # type: ignore[union-attr]  # refunds
        assert b"forged" not in body
        await settle(app)


async def test_a_replay_reads_the_kept_bytes_with_the_code_of_today(
    database: Database, fresh_merchant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator = {"authorization": f"Bearer {await create_key(database.app_url, OPERATORS, operator=True)}"}
    [letters] = [each for each in LETTERS if each.name == "simulator"]
    async with door(database, fresh_merchant) as app:
        payment = (await app.pay()).json()
        event = dashboard_refund(payment, fresh_merchant)
        since = len(await kept(app))
        with monkeypatch.context() as older:
            older.setitem(simulator_receiver._READERS, "dashboard.refunded", defective)
            assert (await deliver(app, "simulator", signed(letters, event))).status_code == 200
            await drain(app.app.state.runtime)
            [row] = await kept(app, since)
            assert (row["type"], row["state"], row["detail"]) == (
                "unreadable",
                "dead",
                "it cannot be read: AttributeError",
            )
            await replay(app, operator, row["event_id"])
            [row] = await kept(app, since)
            assert (row["state"], row["replays"]) == ("dead", 1), "the same code reads no more in it"
        await replay(app, operator, row["event_id"])
        [row] = await kept(app, since)
        assert (row["type"], row["state"]) == ("dashboard.refunded", "applied")
        now = (await app.client.get(f"/v1/payments/{payment['id']}")).json()
        assert now["amount_refunded"] == 300
        [told] = (await app.client.get(f"/v1/provider-events?payment={payment['id']}")).json()["data"]
        assert told["id"] == row["event_id"]
        assert (await deliver(app, "simulator", signed(letters, event))).status_code == 200
        await drain(app.app.state.runtime)
        assert [each["state"] for each in await kept(app, since)] == ["applied", "duplicate_effect"]


def defective(_: object) -> Any:
    """A reader of an older release."""
    raise AttributeError


def dashboard_refund(payment: Mapping[str, Any], merchant_id: str) -> dict[str, Any]:
    """A refund of 300 that the test acquirer tells of."""
    at = "2026-01-02T03:04:05Z"
    data = {"merchant_id": merchant_id, "payment_id": payment["id"], "charge_id": payment["provider_reference"]}
    data |= {"reference": new_id("req"), "amount": 300, "currency": "EUR", "occurred_at": at}
    return {"id": new_id("req"), "type": "dashboard.refunded", "created": at, "data": data}


@every_provider
async def test_a_replay_names_the_key_that_is_not_here(
    database: Database, fresh_merchant: str, letters: Letters
) -> None:
    """Kept bytes that no key opens: a dead letter says why, and the worker goes on."""
    operator = {"authorization": f"Bearer {await create_key(database.app_url, OPERATORS, operator=True)}"}
    lost = sealer_of(Settings(sealing_keys=base64.b64encode(b"l" * KEY_BYTES).decode()))
    [key] = lost.names()
    async with door(database, fresh_merchant) as app:
        since = len(await kept(app))
        event = copy.deepcopy(letters.unreadable[0]) | {"nonce": new_id("req")}
        assert (await deliver(app, letters.name, signed(letters, event))).status_code == 200
        await drain(app.app.state.runtime)
        [row] = await kept(app, since)
        owner = await asyncpg.connect(database.owner_url)
        await owner.execute(
            "UPDATE delivery SET sealed = $1 WHERE provider_event_id = $2",
            lost.seal(b"{}\n{}", b"whatever"),
            row["provider_event_id"],
        )
        await owner.close()
        await replay(app, operator, row["event_id"])
        [row] = await kept(app, since)
        why = f"its bytes cannot be opened: sealed by the key {key.key_id.hex()}, which is not here"
        assert (row["state"], row["replays"], row["detail"]) == ("dead", 1, why)
        shown = await app.client.get("/v1/dead-letters", headers=operator)
        assert why in [each["last_error"] for each in shown.json()["data"]]


async def replay(app: Inside, operator: Mapping[str, str], event_id: str) -> None:
    path = f"/v1/dead-letters/{event_id}/replay"
    answer = await app.client.post(path, headers=operator, json={"reason": "a new release"})
    assert answer.status_code == 200, answer.text
    await drain(app.app.state.runtime)


async def test_one_dead_letter_stands_for_a_flood(
    database: Database, fresh_merchant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every event is stored, a few are listed, and one alert is raised."""
    monkeypatch.setattr(unreadable, "DEAD_LETTERS_AN_HOUR", 3)
    [letters] = [each for each in LETTERS if each.name == "stripe"]
    async with door(database, fresh_merchant) as app:
        owner = await asyncpg.connect(database.owner_url)
        await owner.execute("UPDATE inbox SET state = 'discarded' WHERE state = 'dead'")  # those of other tests
        await owner.close()
        since = len(await kept(app))
        for _ in range(8):
            delivery = signed(letters, {"type": "refund.created", "nonce": new_id("req")})
            assert (await deliver(app, "stripe", delivery)).status_code == 200
        with capture_logs() as logged:
            await drain(app.app.state.runtime)
        rows = await kept(app, since)
        assert sorted(row["state"] for row in rows) == ["dead"] * 4 + ["unreadable"] * 4
        standing = [row for row in rows if "it stands for all later ones" in row["detail"]]
        assert [row["state"] for row in standing] == ["dead"]
        assert len([line for line in logged if line.get("alert")]) == 1


async def test_what_a_dead_letter_stands_for_is_read_again_with_it(
    database: Database, fresh_merchant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unreadable, "DEAD_LETTERS_AN_HOUR", 0)
    [letters] = [each for each in LETTERS if each.name == "simulator"]
    async with door(database, fresh_merchant) as app:
        runtime, payment = app.app.state.runtime, (await app.pay()).json()
        owner = await asyncpg.connect(database.owner_url)
        await owner.execute("UPDATE inbox SET state = 'discarded' WHERE state IN ('dead', 'unreadable')")
        await owner.close()
        since = len(await kept(app))
        with monkeypatch.context() as older:
            older.setitem(simulator_receiver._READERS, "dashboard.refunded", defective)
            for _ in range(3):
                event = dashboard_refund(payment, fresh_merchant)
                assert (await deliver(app, "simulator", signed(letters, event))).status_code == 200
            await drain(runtime)
        assert sorted(row["state"] for row in await kept(app, since)) == ["dead", "unreadable", "unreadable"]
        rereading = Reread(
            runtime.stores.inbox, receivers(runtime.settings), runtime.sealer, runtime.actions, runtime.words
        )
        worker = InboxWorker(runtime, runtime.stores.inbox)
        for filed_as in ("dead", "unreadable"):
            which = FiledFilter(type="unreadable", state=filed_as)
            async for batch in rereading.batches(which):
                await rereading.put_through(worker, batch, which, actor="operator:kim", reason="a new release")
        assert [(row["type"], row["state"]) for row in await kept(app, since)] == [
            ("dashboard.refunded", "applied")
        ] * 3
        assert (await app.client.get(f"/v1/payments/{payment['id']}")).json()["amount_refunded"] == 900


_JSON: Final[st.SearchStrategy[Any]] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)

#: What has one text to be signed.
_SCALAR: Final = st.none() | st.integers() | st.text(max_size=300)

_SIGNED_FIELDS: Final = (
    "eventCode",
    "merchantAccountCode",
    "merchantReference",
    "originalReference",
    "pspReference",
    "success",
)

_CODES: Final = st.sampled_from(["REFUND", "CAPTURE", "CHARGEBACK", "REPORT_AVAILABLE", "EXPIRE", "SOMETHING_NEW"])


@st.composite
def _items(draw: st.DrawFn) -> dict[str, Any]:
    item = adyen_item(draw(_CODES))
    for name in draw(st.lists(st.sampled_from(_SIGNED_FIELDS), max_size=2)):
        item[name] = draw(_SCALAR)
    if draw(st.booleans()):
        item["amount"] = draw(st.none() | st.fixed_dictionaries({}, optional={"value": _SCALAR, "currency": _SCALAR}))
    for name in draw(st.lists(st.sampled_from(["reason", "eventDate", "operations", "live"]), max_size=2)):
        item[name] = draw(_JSON)
    return item


@st.composite
def _bodies(draw: st.DrawFn, letters: Letters) -> tuple[Signed, int]:
    """A correctly signed delivery, and how many items it has."""
    if letters.name == "adyen":
        items = draw(st.lists(_items(), min_size=1, max_size=4))
        return Signed(delivery(items), {}), len({json.dumps(item, sort_keys=True) for item in items})
    event = copy.deepcopy(letters.event(1))
    for name in draw(st.lists(st.sampled_from(sorted(event)), max_size=3)):
        event[name] = draw(_JSON)
    data = event["data"]
    inner = data.get("object", data) if isinstance(data, dict) else None
    if isinstance(inner, dict) and inner and draw(st.booleans()):
        for name in draw(st.lists(st.sampled_from(sorted(inner)), max_size=3)):
            inner[name] = draw(_JSON)
    good = signed(letters, event)
    if draw(st.booleans()):
        return good, 1
    return signed_bytes(letters, draw(st.binary(max_size=200))), 1


@every_provider
async def test_whatever_is_correctly_signed_is_acknowledged_and_in_the_record(
    database: Database, fresh_merchant: str, letters: Letters
) -> None:
    loop = asyncio.get_running_loop()

    async with door(database, fresh_merchant) as app:

        async def round_trip(delivery: Signed) -> tuple[httpx.Response, int]:
            before = await arrivals(app)
            return await deliver(app, letters.name, delivery), await arrivals(app) - before

        @given(_bodies(letters))
        @hypothesis_settings(max_examples=500 if DEEP else 30)  # each is a request and a transaction
        def holds(drawn: tuple[Signed, int]) -> None:
            delivery, items = drawn
            answer, stored = asyncio.run_coroutine_threadsafe(round_trip(delivery), loop).result()
            assert (answer.status_code, stored) == (200, items), (delivery, answer.text)

        await asyncio.to_thread(holds)
