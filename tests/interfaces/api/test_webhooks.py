"""The webhook door over HTTP: who is let in, what is kept, what an operator can do about it."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import asyncpg
import httpx
import pytest
from msgspec.structs import replace

from tallystick.access.key_store import OPERATORS, create_key
from tallystick.flows.webhooks.inbound.envelope import envelope_of
from tallystick.interfaces.api.routes.provider_webhooks import MAX_WEBHOOK_BYTES
from tallystick.kit.ids import new_id
from tallystick.providers.receiver import Notification
from tallystick.providers.simulator.receiver import SimulatorReceiver
from tallystick.record.sealing import SealBroken, sealer_of
from tallystick.settings.load import Settings
from tests.support.api import SEALING_KEY, Inside, inside
from tests.support.database import Database
from tests.support.inbox import drain
from tests.support.polling import eventually_async
from tests.support.provider_webhooks import PATH, SECRET, event, signature
from tests.support.runtime import BookedProvider
from tests.support.screen import SCREEN


def dispute_named(reference: str) -> bytes:
    """An event about a dispute: known by what the provider calls it, and by nothing else."""
    names: dict[str, Any] = {
        "merchant_id": "m",
        "payment_id": new_id("pay"),
        "charge_id": "ch_1",
        "reference": reference,
    }
    about: dict[str, Any] = {
        "status": "opened",
        "amount": 400,
        "currency": "EUR",
        "occurred_at": "2026-01-02T03:04:05Z",
    }
    whole = json.loads(event(**names, **about)) | {"type": "dispute.opened"}
    return json.dumps(whole).encode()


async def deliver(client: httpx.AsyncClient, body: bytes, sign: str | None = None, **more: Any) -> httpx.Response:
    """POST it without an API key."""
    headers = {"acquirer-signature": signature(body) if sign is None else sign, "content-type": "application/json"}
    request = client.build_request("POST", more.pop("path", PATH), content=body, headers=headers | more)
    request.headers.pop("authorization", None)
    return await client.send(request)


async def taken(client: httpx.AsyncClient, body: bytes) -> None:
    """Deliver it until it is taken, as a provider does: a busy machine may miss the commit's short time-out."""

    async def status() -> int:
        return (await deliver(client, body)).status_code

    await eventually_async(status, until=lambda found: found == 200)


async def stored(app: Inside, table: str = "delivery") -> int:
    """Rows of a table."""
    return int(await app.app.state.runtime.pool.fetchval(f"SELECT count(*) FROM {table}"))


async def test_a_signed_event_is_durable_and_acknowledged(database: Database, fresh_merchant: str) -> None:
    async with inside(database, fresh_merchant, BookedProvider()) as app:
        body = event()
        first, second = await deliver(app.client, body), await deliver(app.client, body)
        assert (first.status_code, first.json()) == (second.status_code, second.json()) == (200, {"received": True})
        assert first.headers["request-id"].startswith("req_")
        rows = await app.app.state.runtime.pool.fetch(
            "SELECT result FROM delivery WHERE provider_event_id = $1", json.loads(body)["id"]
        )
        assert sorted(row[0] for row in rows) == ["first", "redelivery"]


REFUSED: dict[str, tuple[int, str, Callable[[bytes], tuple[bytes, str]]]] = {
    "no signature": (401, "webhook_signature_invalid", lambda body: (body, "")),
    "another secret": (401, "webhook_signature_invalid", lambda body: (body, signature(body, secret="other"))),
    "other bytes": (401, "webhook_signature_invalid", lambda body: (body + b" ", signature(body))),
    "garbage": (401, "webhook_signature_invalid", lambda body: (body, "t=1,v1=zz, ,=")),
    "too old": (400, "webhook_timestamp_stale", lambda body: (body, signature(body, age_s=400))),
    "too new": (400, "webhook_timestamp_stale", lambda body: (body, signature(body, age_s=-400))),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_what_is_refused_leaves_nothing(database: Database, fresh_merchant: str, case: str) -> None:
    status, code, make = REFUSED[case]
    async with inside(database, fresh_merchant, BookedProvider()) as app:
        before = await stored(app)
        body, sign = make(event())
        answer = await deliver(app.client, body, sign)
        assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert await stored(app) == before


UNREADABLE: dict[str, Callable[[bytes], bytes]] = {
    "no JSON": lambda _: b"{",
    "no event": lambda _: b"{}",
    "half a character": lambda _: event("\ud800"),
    "a dispute without a name": lambda _: dispute_named(""),
    "a dispute with a hopeless name": lambda _: dispute_named("x" * 300),
}

#: Of a type that moves nothing.
NAMELESS: dict[str, Callable[[bytes], bytes]] = {
    "an id with NUL": lambda _: event("a\x00b"),
    "a hopeless id": lambda _: event("x" * 300),
    "a time that cannot be": lambda body: body.replace(b"2026-01-02T03:04:05Z", b"0001-01-01T00:00:00+23:59"),
}


@pytest.mark.parametrize("case", [*UNREADABLE, *NAMELESS])
async def test_what_is_signed_is_kept_by_its_digest_whatever_it_is(
    database: Database, fresh_merchant: str, case: str
) -> None:
    async with inside(database, fresh_merchant, BookedProvider()) as app:
        body = (UNREADABLE | NAMELESS)[case](event())
        answer = await deliver(app.client, body)
        assert answer.status_code == 200, answer.text
        name = f"digest:{hashlib.sha256(body).hexdigest()}"
        notice = await app.app.state.runtime.pool.fetchval(
            "SELECT coalesce(notice ->> 'notice', 'none') FROM inbox WHERE provider_event_id = $1", name
        )
        assert notice == ("unreadable" if case in UNREADABLE else "none")


async def test_unknown_providers_and_accounts(database: Database, fresh_merchant: str) -> None:
    async with inside(database, fresh_merchant, BookedProvider()) as app:
        for path in ("/v1/webhooks/simulator/other", "/v1/webhooks/nobody/main"):
            answer = await deliver(app.client, event(), path=path)
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_refusals_are_counted_for_operators(database: Database, fresh_merchant: str) -> None:
    """By reason and hour, without a word of what strangers sent, and complete when the process has ended."""
    operator = {"authorization": f"Bearer {await create_key(database.app_url, OPERATORS, operator=True)}"}

    async def counts(app: Inside) -> Counter[tuple[str, str, str]]:
        listed = await app.client.get("/v1/webhook-refusals?hours=3", headers=operator)
        assert listed.status_code == 200
        sums: Counter[tuple[str, str, str]] = Counter()
        for each in listed.json()["data"]:
            sums[each["provider"], each["account"], each["reason"]] += each["count"]
        return sums

    async with inside(database, fresh_merchant, BookedProvider()) as app:
        before = await counts(app)
    async with inside(database, fresh_merchant, BookedProvider()) as app:
        for _, _, make in REFUSED.values():
            await deliver(app.client, *make(event()))
        for number in range(30):
            await deliver(app.client, event(), path=f"/v1/webhooks/stranger{number}/{number}")
        await deliver(app.client, b" " * (MAX_WEBHOOK_BYTES + 1))
    async with inside(database, fresh_merchant, BookedProvider()) as app:
        refused = Counter(("simulator", "main", code) for _, code, _ in REFUSED.values())
        refused["simulator", "main", "body_too_large"] = 1
        refused["(unknown)", "(unknown)", "not_found"] = 30
        assert await counts(app) - before == refused
        waiting = (await app.client.get("/v1/webhook-refusals", headers=operator)).json()["waiting"]
        [strangers] = [each for each in waiting if each["provider"] == "(unknown)"]
        assert strangers["count"] >= 30 and strangers["owner"] is None
        await _closed(app, operator, f"/v1/webhook-refusals/{strangers['id']}")
        forbidden = await app.client.get("/v1/webhook-refusals")
        assert (forbidden.status_code, forbidden.json()["code"]) == (403, "forbidden")
        for query in ("hours=0", "hours=721", "hours=x", "hours=1&hours=2", "since=1", "hours="):
            invalid = await app.client.get(f"/v1/webhook-refusals?{query}", headers=operator)
            assert (invalid.status_code, invalid.json()["code"]) == (422, "validation_failed"), query


async def _closed(app: Inside, operator: dict[str, str], path: str) -> None:
    """A kind is taken, given back, and closed; then nothing of it waits."""

    async def act(name: str, **body: str) -> tuple[int, str]:
        headers = {**operator, "idempotency-key": new_id("req")}
        answer = await app.client.post(f"{path}/{name}", json={"reason": "why", **body}, headers=headers)
        return answer.status_code, answer.json().get("code") or answer.json()["act"]

    assert await act("give-back") == (409, "not_owned")
    assert await act("take") == (200, "work.take")
    assert await act("hand-on", owner="nobody-at-all") == (422, "owner_unknown")
    waiting = (await app.client.get("/v1/webhook-refusals", headers=operator)).json()["waiting"]
    assert [each["owner"][:4] for each in waiting if each["id"] in path] == ["key:"]
    assert await act("give-back") == (200, "work.give_back")
    assert await act("close") == (200, "webhook_refusal.close")
    assert await act("close") == (409, "refusals_closed")
    waiting = (await app.client.get("/v1/webhook-refusals", headers=operator)).json()["waiting"]
    assert not [each for each in waiting if each["id"] in path]


async def test_the_size_of_a_delivery(database: Database, fresh_merchant: str) -> None:
    async with inside(database, fresh_merchant, BookedProvider()) as app:
        room = MAX_WEBHOOK_BYTES - len(event(padding=""))
        largest = event(padding="x" * room)
        assert len(largest) == MAX_WEBHOOK_BYTES
        assert (await deliver(app.client, largest)).status_code == 200
        over = await deliver(app.client, event(padding="x" * (room + 1)))
        assert (over.status_code, over.json()["code"]) == (413, "body_too_large")


async def test_raw_bytes_are_kept_encrypted(database: Database, fresh_merchant: str) -> None:
    """A card number in a provider's event is no reason to refuse it, and never readable in the database."""
    number = "4242424242424242"
    async with inside(database, fresh_merchant, BookedProvider()) as app:
        body = event(note=f"card {number}", secret="plain to see")
        assert (await deliver(app.client, body)).status_code == 200
        name = json.loads(body)["id"]
        row = await app.app.state.runtime.pool.fetchrow(
            "SELECT delivery_id, sealed FROM delivery WHERE provider_event_id = $1", name
        )
        connection = await asyncpg.connect(database.owner_url)
        inbox = await connection.fetchrow("SELECT i::text FROM inbox i WHERE provider_event_id = $1", name)
        await connection.close()
        assert inbox is not None and number not in inbox[0] and "plain to see" not in inbox[0]
        assert number.encode() not in row["sealed"] and b"plain to see" not in row["sealed"]
        sealer = sealer_of(Settings(sealing_keys=SEALING_KEY))
        about = f"simulator/main/{name}/{row['delivery_id']}".encode()
        with pytest.raises(SealBroken):
            sealer.open(row["sealed"], about)
        sealed = await app.app.state.runtime.stores.inbox.sealed(("simulator", "main", name), row["delivery_id"])
        headers, _, raw = sealer.open(sealed, about).partition(b"\n")
        assert raw == body and "acquirer-signature" in json.loads(headers)
        with pytest.raises(SealBroken):
            sealer.open(sealed, about + b"x")


async def test_the_database_is_away(database: Database, fresh_merchant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """503 with Retry-After, never a 2xx; and the same delivery is taken when it is back."""
    async with inside(database, fresh_merchant, BookedProvider(), webhook_commit_timeout_ms=300) as app:
        owner = await asyncpg.connect(database.owner_url)
        name = await owner.fetchval("SELECT current_database()")
        body = event()
        try:
            await taken(app.client, event())  # connections are open
            await owner.execute(f'ALTER DATABASE "{name}" WITH CONNECTION LIMIT 0')
            await owner.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tallystick'"
                " AND datname = current_database()"
            )
            away = await deliver(app.client, body)
            assert (away.status_code, away.json()["code"]) == (503, "not_ready"), away.text
            assert int(away.headers["retry-after"]) >= 1
            await owner.execute(f'ALTER DATABASE "{name}" WITH CONNECTION LIMIT -1')
            await taken(app.client, body)
            named = json.loads(body)["id"]
            assert await owner.fetchval("SELECT count(*) FROM inbox WHERE provider_event_id = $1", named) == 1
        finally:
            await owner.execute(f'ALTER DATABASE "{name}" WITH CONNECTION LIMIT -1')
            await owner.close()


async def test_events_and_dead_letters_over_http(database: Database, fresh_merchant: str) -> None:
    async with inside(database, fresh_merchant, BookedProvider()) as app:
        operator = {"authorization": f"Bearer {await create_key(database.app_url, OPERATORS, operator=True)}"}
        other = {"authorization": f"Bearer {await create_key(database.app_url, fresh_merchant + 'o')}"}
        payment = (await app.pay()).json()
        body = event(merchant_id=fresh_merchant, payment_id=payment["id"])
        assert (await deliver(app.client, body)).status_code == 200
        pool = app.app.state.runtime.pool
        name = json.loads(body)["id"]
        event_id = await pool.fetchval("SELECT event_id FROM inbox WHERE provider_event_id = $1", name)

        assert (await app.client.get(f"/v1/provider-events/{event_id}", headers=operator)).status_code == 200
        assert (await app.client.get(f"/v1/provider-events/{event_id}", headers=other)).status_code == 404
        mine = await app.client.get(f"/v1/provider-events/{event_id}")
        assert mine.status_code == 200
        assert mine.json()["envelope"]["source"] == "/providers/simulator/main"
        assert [each["name"] for each in mine.json()["checkpoints"]] == ["ingest", "validate", "dedup", "reconcile"]

        await pool.execute(
            "UPDATE inbox SET state = 'dead', next_try_at = NULL, closed_at = now(), detail = 'by hand', tries = 12"
            " WHERE event_id = $1",
            event_id,
        )
        refused = await app.client.get("/v1/dead-letters")
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
        payments = await app.client.get("/v1/payments", headers=operator)
        assert (payments.status_code, payments.json()["code"]) == (403, "forbidden")
        lane = (await app.client.get("/v1/dead-letters?provider=simulator&limit=100", headers=operator)).json()
        (letter,) = [each for each in lane["data"] if each["event_id"] == event_id]
        assert (letter["tries"], letter["last_error"], letter["owner"]) == (12, "by hand", "payments-oncall")

        path = f"/v1/dead-letters/{event_id}"
        nameless = await app.client.post(f"{path}/replay", headers=operator, json={})
        assert (nameless.status_code, nameless.json()["code"]) == (422, "validation_failed")
        replayed = await app.client.post(f"{path}/replay", headers=operator, json={"reason": "mended"})
        assert (replayed.status_code, replayed.json()["state"], replayed.json()["replays"]) == (200, "received", 1)
        again = await app.client.post(f"{path}/discard", headers=operator, json={"reason": "not dead"})
        assert (again.status_code, again.json()["code"]) == (409, "not_replayable")
        neither = await app.client.post("/v1/dead-letters/replay", headers=operator, json={"reason": "all?"})
        assert neither.status_code == 422
        for field, value in (
            ("dead_before", "0001-01-01T00:00:00+23:59"),
            ("dead_before", "2026-01-02T03:04:05"),  # by whose clock?
            ("type", "a\x00b"),
            ("type", "\ud800"),
        ):
            raw = json.dumps({"reason": "no such time or text", field: value}).encode()
            odd = await app.client.post(
                "/v1/dead-letters/discard", headers=operator | {"content-type": "application/json"}, content=raw
            )
            assert odd.status_code in (400, 422), odd.text
        many = await app.client.post(
            "/v1/dead-letters/replay", headers=operator, json={"reason": "mended", "type": "no such type"}
        )
        assert (many.status_code, many.json()) == (200, {"count": 0})


async def test_dead_letters_are_paged_in_the_order_of_their_arrival(database: Database, fresh_merchant: str) -> None:
    """Two that arrived in one moment are told apart by their ids; a cursor of another list is refused."""
    async with inside(database, fresh_merchant, BookedProvider()) as app:
        operator = {"authorization": f"Bearer {await create_key(database.app_url, OPERATORS, operator=True)}"}
        names = []
        for _ in range(5):
            body = event(merchant_id=fresh_merchant)
            assert (await deliver(app.client, body)).status_code == 200
            names.append(json.loads(body)["id"])
        pool = app.app.state.runtime.pool
        ids = [await pool.fetchval("SELECT event_id FROM inbox WHERE provider_event_id = $1", name) for name in names]
        owner = await asyncpg.connect(database.owner_url)
        for event_id, second in zip(ids, (3, 1, 2, 1, 1), strict=True):  # not the order of their ids
            await owner.execute(
                "UPDATE inbox SET state = 'dead', next_try_at = NULL, closed_at = now(), merchant_id = $2,"
                " received_at = $3 WHERE event_id = $1",
                event_id, fresh_merchant, datetime(2026, 1, 1, 0, 0, second, 250_000, tzinfo=UTC),
            )  # fmt: skip
        await owner.close()
        in_order = [ids[number] for number in (1, 3, 4, 2, 0)]

        found: list[str] = []
        cursor: dict[str, str] = {}
        while True:
            parameters = {"merchant_id": fresh_merchant, "limit": "2"} | cursor
            page = (await app.client.get("/v1/dead-letters", params=parameters, headers=operator)).json()
            assert page["has_more"] is (page["next_cursor"] is not None)
            found += [letter["event_id"] for letter in page["data"]]
            if not page["has_more"]:
                break
            cursor = {"cursor": page["next_cursor"]}
        assert found == in_order

        await app.pay()
        await app.pay()
        others = (await app.client.get("/v1/payments?limit=1")).json()["next_cursor"]
        for wrong in (others, ids[0]):
            refused = await app.client.get("/v1/dead-letters", params={"cursor": wrong}, headers=operator)
            assert [error["field"] for error in refused.json()["errors"]] == ["cursor"]
        assert (await app.client.get("/v1/payments", params=cursor)).status_code == 422

        everything = {"reason": "not ours", "merchant_id": fresh_merchant}
        done = await app.client.post("/v1/dead-letters/discard", headers=operator, json=everything)
        assert done.json() == {"count": 5}


async def test_disputes_over_http(database: Database, fresh_merchant: str) -> None:
    async with inside(database, fresh_merchant, BookedProvider()) as app:
        payment = (await app.pay()).json()
        assert (await app.client.get(f"/v1/disputes?payment={payment['id']}")).json()["data"] == []
        data: dict[str, Any] = {"merchant_id": fresh_merchant, "payment_id": payment["id"]}
        data |= {
            "charge_id": payment["provider_reference"],
            "reference": "dp_1",
            "object": "dispute",
            "status": "opened",
            "amount": 400,
        }
        body = json.loads(event(**data, currency="EUR", funds=None, occurred_at="2026-01-02T03:04:05Z")) | {
            "type": "dispute.opened"
        }
        assert (await deliver(app.client, json.dumps(body).encode())).status_code == 200
        await drain(app.app.state.runtime, fresh_merchant)  # others' events here wait for hours
        (dispute,) = (await app.client.get(f"/v1/disputes?payment={payment['id']}")).json()["data"]
        assert (dispute["state"], dispute["amount"], dispute["funds_withdrawn"]) == ("opened", 400, False)
        assert (await app.client.get(f"/v1/disputes/{dispute['id']}")).json() == dispute
        (told,) = (await app.client.get(f"/v1/provider-events?payment={payment['id']}")).json()["data"]
        assert (told["type"], told["state"], told["tries"]) == ("dispute.opened", "applied", 1)
        assert (await app.client.get(f"/v1/provider-events/{told['id']}")).json()["payment_id"] == payment["id"]
        strange = await app.client.get(f"/v1/provider-events?payment={new_id('pay')}")
        assert (strange.status_code, strange.json()["code"]) == (404, "not_found")
        unknown = await app.client.get(f"/v1/disputes/{new_id('dp')}")
        assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")


async def test_the_bytes_of_a_delivery_are_kept_once(database: Database, fresh_merchant: str) -> None:
    """However many events it holds, and however often one of them."""
    async with inside(database, fresh_merchant, BookedProvider()) as app:
        door = app.app.state.webhooks
        names = [new_id("req") for _ in range(3)]
        many = [Notification(provider_event_id=name, type="report.ready") for name in (*names, *names, names[0])]
        receiver = SimulatorReceiver("main", [SECRET])
        body = event(padding="x" * 50_000)
        now = datetime.now(UTC)
        envelopes = [envelope_of(receiver, each, body, {}, now, SCREEN) for each in many]
        arrivals = door._arrivals(envelopes, body, {}, now)
        assert [arrival.envelope.provider_event_id for arrival in arrivals] == names
        other = replace(envelope_of(receiver, many[0], body, {}, now, SCREEN), digest=b"other words")
        told_apart = door._arrivals([*envelopes, other], body, {}, now)
        assert [arrival.envelope.delivery_id for arrival in told_apart][3:] == [other.delivery_id]
        assert len(arrivals[0].sealed) > 50_000 and sum(len(arrival.sealed) for arrival in arrivals[1:]) < 1_000
