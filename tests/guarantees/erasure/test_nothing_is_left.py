"""After an erasure nothing has what was erased, nor anything to check a guess by; and everything goes on."""

from __future__ import annotations

import json
from typing import Final

import asyncpg
import pytest

from tallystick.flows.compliance.erasure import Erasures
from tallystick.flows.webhooks.inbound.envelope import KEPT_WITH
from tallystick.oversight.invariants.verify import examine
from tallystick.record.postgres import rows
from tallystick.record.postgres.erasures import erasures
from tallystick.record.postgres.trace_rows import trace_rows
from tests.support.database import NewDatabase
from tests.support.dump import dump
from tests.support.erased_records import (
    RAW,
    REFUSED,
    WORDS,
    a_record,
    answers_of,
    arrived,
    assert_gone,
    assert_holds,
    body,
    erase,
    event_of,
    key_of,
    post,
    send,
    tables_with,
)
from tests.support.inbox import WEBHOOK_SETTINGS, envelope

#: What is shown of personal fields after an erasure.
ERASED: Final = {"description": "[erased]", "metadata": {"[erased]": "[erased]"}}

#: A row as an erasure leaves it.
AS_ERASED: Final = "description = '[erased]', metadata = '{\"[erased]\":\"[erased]\"}'"


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
