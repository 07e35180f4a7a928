"""After an erasure nothing has what was erased, nor anything to check a guess by; and everything goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import count
from typing import Any, Final, NamedTuple

import asyncpg
import httpx
import pytest

from tallystick.domain.requests.fingerprint import canonical, fingerprint
from tallystick.domain.verdicts import Declined, Verdict
from tallystick.flows.compliance import four_eyes
from tallystick.flows.compliance.approvable import APPROVABLE, ask_second_person, done_for
from tallystick.flows.compliance.erasure import Erasures
from tallystick.flows.compliance.four_eyes import NotDecided
from tallystick.flows.operations.acts import asked_act
from tallystick.flows.payments.answered_bytes import answered_bytes
from tallystick.flows.runtime import Runtime
from tallystick.flows.webhooks.inbound.envelope import KEPT_WITH, Envelope, sealed_part
from tallystick.flows.webhooks.inbound.intake import Arrival
from tallystick.oversight.invariants.verify import examine, verify
from tallystick.providers.port import ProviderCall
from tallystick.record.postgres import rows
from tallystick.record.postgres.erasures import erasures
from tallystick.record.postgres.trace_rows import trace_rows
from tallystick.record.sealing import delivery_row
from tests.support.approvals import World
from tests.support.api import Inside, inside
from tests.support.console import inside_console
from tests.support.database import Database, NewDatabase
from tests.support.dump import dump
from tests.support.heard import hear
from tests.support.inbox import SEALER, WEBHOOK_SETTINGS, drain, envelope, intake_on
from tests.support.runtime import BookedProvider

#: Words that are nowhere but in personal fields: text, quotes and letters outside ASCII, as they are written in JSON.
WORDS: Final = ("quokkamarmalade", "zyzzyvabrocade", "xylophonistwidow", "jabberwockyjam")
DESCRIPTION: Final = 'For "quokkamarmalade" \\ Müller'
METADATA: Final = {"zyzzyvabrocade": "a name", "description": "xylophonistwidow", "b": ""}
ERASED: Final = {"description": "[erased]", "metadata": {"[erased]": "[erased]"}}
RAW: Final = b'{"payer": "jabberwockyjam"}'

#: An amount whose refund the provider refuses.
REFUSED: Final = 7

#: A row as an erasure leaves it.
AS_ERASED: Final = "description = '[erased]', metadata = '{\"[erased]\":\"[erased]\"}'"

REASON: Final = "the payer asked for it"

_NUMBERS: Final = count(1)


class Filled(NamedTuple):
    """A record with a payment that has everything personal, and who may erase it."""

    database: Database
    api: Inside
    world: World
    merchant: str
    payment: str
    created: httpx.Response
    captured: httpx.Response

    @property
    def runtime(self) -> Runtime:
        return self.world.runtime


def body(amount: int = 1_000, **personal: Any) -> dict[str, Any]:
    fields = {"description": DESCRIPTION, "metadata": METADATA} | personal
    return {"amount": amount, "currency": "EUR", "payment_method": "sim_ok", "capture_method": "manual", **fields}


async def post(api: Inside, path: str, key: str, sent: Any) -> httpx.Response:
    return await api.client.post(path, json=sent, headers={"Idempotency-Key": key})


async def refuses_the_least(call: ProviderCall) -> Verdict | None:
    """A payer's data in what a provider answers to a refund that it refuses."""
    if call.operation != "refund" or call.amount != REFUSED:
        return None
    hear(402, RAW)
    return Declined(code="refund_refused", message="No.")


def arrived(one: Envelope, raw: bytes = RAW, **headers: str) -> Arrival:
    name = (one.provider, one.account, one.provider_event_id, one.delivery_id)
    return Arrival(one, datetime.now(UTC), SEALER.seal(sealed_part(raw, headers), delivery_row(*name)))


async def send(filled: Filled, *arrivals: Arrival) -> None:
    async with intake_on(filled.database) as intake:
        await intake.accept(list(arrivals))
    await drain(filled.runtime)


@asynccontextmanager
async def a_record(new_database: NewDatabase, merchant: str) -> AsyncIterator[Filled]:
    database, provider = new_database(), BookedProvider()
    provider.before = refuses_the_least
    async with inside_console(database, provider) as console, inside(database, merchant, provider) as api:
        created = await post(api, "/v1/payments", "create", body())
        assert created.status_code == 201, created.text
        payment = created.json()["id"]
        captured = await post(api, f"/v1/payments/{payment}/capture", "capture", {"amount": 900})
        assert captured.status_code == 200, captured.text
        assert (await post(api, f"/v1/payments/{payment}/refunds", "refund", {"amount": 100})).status_code == 201
        assert (await post(api, f"/v1/payments/{payment}/refunds", "no", {"amount": REFUSED})).status_code == 201
        filled = Filled(database, api, World(console), merchant, payment, created, captured)
        await send(filled, arrived(await event_of(filled, "first")))
        yield filled


async def event_of(filled: Filled, name: str) -> Envelope:
    found = await filled.runtime.reads.payment(filled.merchant, filled.payment)
    assert found is not None
    return envelope(name, payment=found[0])


async def erase(filled: Filled, act: Any = "payment.erase", target: str | None = None) -> None:
    """Asked for by one person, approved by another."""
    number = next(_NUMBERS)
    ada, bob = [await filled.world.person(f"{name}{number}") for name in ("ada", "bob")]
    asked = asked_act(ada.actor, None, act, target or filled.payment, REASON)
    request = await ask_second_person(filled.runtime, asked)
    seen: dict[str, Any] = {"approves": True, "seen_hash": request.shown_hash, "reason": "so be it"}
    with pytest.raises(NotDecided, match="somebody else"):
        await four_eyes.decide(filled.runtime, APPROVABLE, request.request_id, ada, **seen)
    await four_eyes.decide(filled.runtime, APPROVABLE, request.request_id, bob, **seen)
    done = await done_for(filled.runtime, asked)
    assert done is not None and (done.act, done.result["approved_by"]) == (act, [bob.actor])


async def tables_with(filled: Filled, word: str) -> set[str]:
    """Tables that have the word, as text or as bytes, in any column."""
    connection = await asyncpg.connect(filled.database.owner_url)
    found = set()
    try:
        for (table,) in await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"):
            texts = await connection.fetch(f"SELECT t::text FROM {table} t")
            if any(word in row[0] or word.encode().hex() in row[0] for row in texts):
                found.add(table)
    finally:
        await connection.close()
    return found


async def assert_gone(filled: Filled, key: bytes) -> None:
    """Neither the values, nor the key, nor a hash that a guess could be compared with."""
    copy = await dump(filled.database)
    assert [word for word in WORDS if word in copy] == []
    assert key.hex() not in copy.text
    request = canonical(body())
    for guessed in (DESCRIPTION.encode(), json.dumps(METADATA).encode(), request, filled.created.content):
        assert hashlib.sha256(guessed).hexdigest() not in copy.text
    assert fingerprint("POST", "/v1/payments", request).hex() not in copy.text


async def key_of(filled: Filled) -> bytes:
    found: bytes = await filled.runtime.pool.fetchval(
        "SELECT personal_key FROM payment WHERE payment_id = $1", filled.payment
    )
    return found


async def answers_of(filled: Filled) -> list[str | None]:
    """What the payment's provider answered, as whoever may read it sees it."""
    found, _ = await answered_bytes(filled.runtime.pool, filled.runtime.sealer, filled.merchant, filled.payment, 9)
    return [each.text for each in found]


async def assert_holds(filled: Filled) -> None:
    connection = await asyncpg.connect(filled.database.owner_url)
    try:
        report = await verify(connection, settings=WEBHOOK_SETTINGS)
    finally:
        await connection.close()
    assert report.holds, report


async def test_everything_is_erased_and_goes_on(
    new_database: NewDatabase, fresh_merchant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "answer_key_of", lambda *_: None)  # messages have bodies of their own
    async with a_record(new_database, fresh_merchant) as filled:
        api, path = filled.api, f"/v1/payments/{filled.payment}"
        for word in WORDS[:3]:
            assert await tables_with(filled, word) == {"payment"}, "one row alone has it in clear"
        again = await post(api, "/v1/payments", "create", body())
        assert (again.status_code, again.content) == (201, filled.created.content)
        other = await post(api, "/v1/payments", "create", body(metadata={"b": "c"}))
        assert (other.status_code, other.json()["errors"][0]["field"]) == (422, "metadata.b")
        nobodys = envelope("nobodys", type="unknown")
        kept = {KEPT_WITH: nobodys.delivery_id}
        await send(filled, arrived(nobodys), arrived(await event_of(filled, "with"), raw=b"", **kept))
        await assert_holds(filled)
        key = await key_of(filled)
        assert RAW.decode() in str(await answers_of(filled))

        await erase(filled)

        await assert_gone(filled, key)
        await assert_holds(filled)
        assert await answers_of(filled) == [None], "the provider's answer is erased too"
        created, captured = filled.created.json() | ERASED, filled.captured.json() | ERASED
        for sent in (body(), body(metadata={"any": "thing"}, description="x")):
            again = await post(api, "/v1/payments", "create", sent)
            assert (again.status_code, again.json()) == (201, created)
            assert again.headers["idempotent-replayed"] == "true"
        assert list(again.json()) == list(filled.created.json())
        other = await post(api, "/v1/payments", "create", body(amount=999))
        assert (other.status_code, other.json()["errors"][0]["field"]) == (422, "amount")
        again = await post(api, f"{path}/capture", "capture", {"amount": 900})
        assert (again.status_code, again.json()) == (200, captured)

        late = await post(api, f"{path}/refunds", "late", {"amount": 50})
        assert late.status_code == 201
        assert (await post(api, f"{path}/refunds", "late-no", {"amount": REFUSED})).status_code == 201
        assert [each is None for each in await answers_of(filled)] == [True, False]
        await send(filled, arrived(await event_of(filled, "late"), raw=b'{"payer": "jabberwockyjam again"}'))
        await Erasures(filled.runtime).erase_what_came_since()
        assert await answers_of(filled) == [None, None]
        assert (await api.client.get(path)).json()["description"] == "[erased]"
        await assert_gone(filled, key)
        await assert_holds(filled)
        first = (await filled.runtime.reads.history(filled.merchant, filled.payment))[0]
        assert json.loads(first.change)["metadata"] == ERASED["metadata"]
        told = await filled.runtime.pool.fetch("SELECT body FROM outbox WHERE stream_id = $1", filled.payment)
        assert [b"[erased]" in row["body"] for row in told].count(True) == 2
        traced = await trace_rows(filled.runtime.pool, filled.merchant, filled.payment)
        assert traced is not None and [each.act for each in traced.acts] == ["payment.erase"]
        assert not await filled.runtime.pool.fetchval("SELECT count(*) FROM inbox WHERE raw_key IS NOT NULL")


async def test_a_merchants_data_are_erased_in_pages_that_go_on(
    new_database: NewDatabase, fresh_merchant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tallystick.flows.compliance.erasure.PAGE_PAYMENTS", 2)
    async with a_record(new_database, fresh_merchant) as filled:
        for number in range(3):
            await post(filled.api, "/v1/payments", f"more-{number}", body())
        await send(filled, arrived(envelope("of no payment", type="unknown", merchant_id=filled.merchant)))
        key = await key_of(filled)
        await erase(filled, "merchant.erase", filled.merchant)
        after = (await post(filled.api, "/v1/payments", "after", body())).json()
        assert await Erasures(filled.runtime).round() == 2
        assert await Erasures(filled.runtime).round() == 2, "another worker goes on where the first one ended"
        assert await Erasures(filled.runtime).round() == 0
        assert await Erasures(filled.runtime).round() == 0
        assert await tables_with(filled, WORDS[0]) == {"payment"}, "what came later is not erased"
        left = await filled.runtime.pool.fetch("SELECT payment_id FROM payment WHERE personal_key IS NOT NULL")
        assert [row["payment_id"] for row in left] == [after["id"]]
        [ended] = await erasures(filled.runtime.pool, 10)
        assert (ended.payments, ended.events) == (4, 2) and ended.finished_at is not None
        assert not await filled.runtime.pool.fetchval("SELECT count(*) FROM inbox WHERE raw_key IS NOT NULL")
        copy = await dump(filled.database)
        assert key.hex() not in copy.text
        await assert_holds(filled)
        assert await answers_of(filled) == [None]
        traced = await trace_rows(filled.runtime.pool, filled.merchant, filled.payment)
        assert traced is not None and [each.act for each in traced.acts] == ["merchant.erase"]


#: What somebody with rights on the tables does, and the invariants that name it.
FORGED: Final = {
    "UPDATE payment SET personal_key = NULL": {"history_replays_to_state"},
    f"UPDATE payment SET personal_key = NULL, {AS_ERASED}": {"erased_on_request"},
    f"UPDATE payment SET personal_key = NULL, {AS_ERASED}, erased_by = 'apr_nobody'": {"erased_on_request"},
    "UPDATE payment SET personal_key = '\\x00112233445566778899aabbccddeeff'": {"history_replays_to_state"},
    'UPDATE payment SET metadata = \'{"b":"c"}\'': {"history_replays_to_state"},
    "UPDATE inbox SET raw_key = NULL": {"bytes_erased_on_request"},
    "UPDATE inbox SET erased_by = 'apr_nobody'": {"bytes_erased_on_request"},
    "UPDATE provider_answer_key SET raw_key = NULL, erased_by = 'apr_nobody'": {"answers_erased_on_request"},
}


async def test_what_vanished_without_a_request_is_named(new_database: NewDatabase, fresh_merchant: str) -> None:
    async with a_record(new_database, fresh_merchant) as filled:
        connection = await asyncpg.connect(filled.database.owner_url)
        try:
            await connection.execute("SET idle_in_transaction_session_timeout = 0")  # however slow the machine is
            for statement, names in FORGED.items():
                forged = connection.transaction()
                await forged.start()
                await connection.execute(statement)
                report = await examine(connection, settings=WEBHOOK_SETTINGS)
                await forged.rollback()
                assert names <= report.broken(), statement
        finally:
            await connection.close()
