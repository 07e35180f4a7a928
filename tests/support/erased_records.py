"""A record with a payment that has everything personal, its erasure, and what must not be left of it."""

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
from tallystick.flows.compliance.four_eyes import NotDecided
from tallystick.flows.operations.acts import asked_act
from tallystick.flows.payments.answered_bytes import answered_bytes
from tallystick.flows.runtime import Runtime
from tallystick.flows.webhooks.inbound.envelope import Envelope, sealed_part
from tallystick.flows.webhooks.inbound.intake import Arrival
from tallystick.oversight.invariants.verify import verify
from tallystick.providers.port import ProviderCall
from tallystick.record.sealing import delivery_row
from tests.support.api import Inside, inside
from tests.support.approvals import World
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

#: What a delivery holds of the payer, and an answer of the provider.
RAW: Final = b'{"payer": "jabberwockyjam"}'

#: An amount whose refund the provider refuses.
REFUSED: Final = 7

#: Why it is erased.
REASON: Final = "the payer asked for it"

#: Of the two people of an erasure: they sign in for the first time once.
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
    """What a client sends to create the payment, with personal fields."""
    fields = {"description": DESCRIPTION, "metadata": METADATA} | personal
    return {"amount": amount, "currency": "EUR", "payment_method": "sim_ok", "capture_method": "manual", **fields}


async def post(api: Inside, path: str, key: str, sent: Any) -> httpx.Response:
    """As the merchant, under a key."""
    return await api.client.post(path, json=sent, headers={"Idempotency-Key": key})


async def refuses_the_least(call: ProviderCall) -> Verdict | None:
    """A payer's data in what a provider answers to a refund that it refuses."""
    if call.operation != "refund" or call.amount != REFUSED:
        return None
    hear(402, RAW)
    return Declined(code="refund_refused", message="No.")


def arrived(one: Envelope, raw: bytes = RAW, **headers: str) -> Arrival:
    """An event with the bytes that it came with."""
    name = (one.provider, one.account, one.provider_event_id, one.delivery_id)
    return Arrival(one, datetime.now(UTC), SEALER.seal(sealed_part(raw, headers), delivery_row(*name)))


async def send(filled: Filled, *arrivals: Arrival) -> None:
    """The events arrive, and are processed."""
    async with intake_on(filled.database) as intake:
        await intake.accept(list(arrivals))
    await drain(filled.runtime)


@asynccontextmanager
async def a_record(new_database: NewDatabase, merchant: str) -> AsyncIterator[Filled]:
    """A payment that was captured in part, refunded in part, and once in vain; and an event of it."""
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
    """An event of the payment, by a name."""
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
    """The key of the payment's personal fields."""
    found: bytes = await filled.runtime.pool.fetchval(
        "SELECT personal_key FROM payment WHERE payment_id = $1", filled.payment
    )
    return found


async def answers_of(filled: Filled) -> list[str | None]:
    """What the payment's provider answered, as whoever may read it sees it."""
    found, _ = await answered_bytes(filled.runtime.pool, filled.runtime.sealer, filled.merchant, filled.payment, 9)
    return [each.text for each in found]


async def assert_holds(filled: Filled) -> None:
    """Every invariant, of all merchants."""
    connection = await asyncpg.connect(filled.database.owner_url)
    try:
        report = await verify(connection, settings=WEBHOOK_SETTINGS)
    finally:
        await connection.close()
    assert report.holds, report
