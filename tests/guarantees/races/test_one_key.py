"""One key, many callers: one executes."""

from __future__ import annotations

import asyncio

from tests.support.database import Database
from tests.support.runtime import BookedProvider, Client, read, recover, runtime_of, timed_out


async def test_fifty_clients_with_one_key(database: Database, fresh_merchant: str) -> None:
    provider = BookedProvider()

    async def slowly(_: object) -> None:
        await asyncio.sleep(0.1)  # the provider takes so long, while the others come

    provider.before = slowly
    async with runtime_of(database.app_url, provider) as runtime:
        client = Client(runtime, fresh_merchant)
        replies = await asyncio.gather(*(client.create("key") for _ in range(50)))
        later = await client.create("key")
    assert len(provider.calls) == len(provider.effects_for(fresh_merchant)) == 1
    first = [reply for reply in replies if reply.status == 201 and not reply.replayed]
    assert len(first) == 1
    # On a busy machine some come after the first was answered: they get that very answer.
    early = [reply for reply in replies if reply.status == 409]
    replayed = [reply for reply in replies if reply.replayed]
    assert len(early) + len(replayed) == 49
    assert {reply.body for reply in replayed} <= {first[0].body}
    assert {read(reply)["code"] for reply in early} <= {"instruction_in_flight"}
    assert {read(reply)["payment_id"] for reply in early} <= {read(first[0])["id"]}
    assert all(reply.retry_after_s for reply in early)
    assert later.replayed
    assert later.body == first[0].body


async def test_fifty_clients_over_two_journals(database: Database, fresh_merchant: str) -> None:
    provider = BookedProvider()
    async with runtime_of(database.app_url, provider) as one, runtime_of(database.app_url, provider) as other:
        clients = [Client(one, fresh_merchant), Client(other, fresh_merchant)]
        replies = await asyncio.gather(*(clients[n % 2].create("key") for n in range(50)))
        keys = await asyncio.gather(*(clients[n % 2].create(f"key-{n // 2}") for n in range(100)))
    assert sum(reply.status == 201 and not reply.replayed for reply in replies) == 1
    assert {reply.status for reply in replies} <= {201, 409}
    assert sum(reply.status == 201 and not reply.replayed for reply in keys) == 50
    assert len(provider.effects_for(fresh_merchant)) == 51


async def test_same_key_twice_in_one_batch_with_other_payloads(database: Database, fresh_merchant: str) -> None:
    provider = BookedProvider()
    async with runtime_of(database.app_url, provider) as runtime:
        client = Client(runtime, fresh_merchant)
        replies = await asyncio.gather(*(client.create("key", amount) for amount in (100, 200, 300)))
    assert sorted(reply.status for reply in replies) == [201, 422, 422]
    refused = [read(reply) for reply in replies if reply.status == 422]
    assert {body["code"] for body in refused} == {"idempotency_key_reused"}
    assert {body["errors"][0]["field"] for body in refused} == {"amount"}
    assert len(provider.effects_for(fresh_merchant)) == 1


async def test_a_key_is_taken_by_its_operation_and_path(database: Database, fresh_merchant: str) -> None:
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        client = Client(runtime, fresh_merchant)
        payment = read(await client.create("key", manual=True))
        other = read(await client.create("key-2", manual=True))
        wrong_operation = read(await client.capture("key", payment["id"]))
        await client.capture("key-3", payment["id"])
        wrong_path = read(await client.capture("key-3", other["id"]))
        missing = read(await client.capture("key", "pay_" + "0" * 32))
    assert wrong_operation["errors"][0]["field"] == "operation"
    assert wrong_path["errors"][0]["field"] == "path"
    assert missing["code"] == "idempotency_key_reused", "an existing key is looked up before the payment is"


async def test_an_unfinal_instruction_answers_202_and_later_replays(database: Database, fresh_merchant: str) -> None:
    provider = BookedProvider()
    provider.after = timed_out
    async with runtime_of(database.app_url, provider) as runtime:
        client = Client(runtime, fresh_merchant)
        unknown = await client.create("key")
        assert unknown.status == 202
        assert not unknown.replayed
        assert read(unknown)["in_doubt"]
        again = await client.create("key")
        assert (again.status, again.replayed) == (202, False)
        await recover(runtime)
        final = await client.create("key")
        assert (final.status, final.replayed) == (201, True)
        assert read(final)["state"] == "captured"
        assert (await client.create("key")).body == final.body
    assert len(provider.effects_for(fresh_merchant)) == 1
