"""One payment, many instructions: the guard lets one through and keeps every refusal."""

from __future__ import annotations

import asyncio
from collections import Counter

import asyncpg
import pytest

from tallystick.domain.lifecycles.attempt import ATTEMPT_OPEN
from tallystick.domain.verdicts import Approved, Declined, NotSent, RequiresAction, Verdict
from tallystick.flows.payments.attempts import settle_verdict
from tallystick.kit.clock import monotonic_ms
from tallystick.providers.port import ProviderCall
from tests.support.database import Database
from tests.support.polling import eventually_async
from tests.support.runtime import HURRIED, BookedProvider, Client, read, recover, runtime_of


async def test_twenty_refunds_of_sixty_percent(database: Database, fresh_merchant: str) -> None:
    provider = BookedProvider()
    async with runtime_of(database.app_url, provider) as runtime:
        client = Client(runtime, fresh_merchant)
        payment = read(await client.create("create"))
        replies = await asyncio.gather(*(client.refund(f"r{n}", payment["id"], 600) for n in range(20)))
        replays = await asyncio.gather(*(client.refund(f"r{n}", payment["id"], 600) for n in range(20)))
        found = await runtime.reads.payment(fresh_merchant, payment["id"])
        rejected = await runtime.reads.rejections(fresh_merchant, payment["id"])
    assert Counter(reply.status for reply in replies) == {201: 1, 409: 19}
    assert found is not None
    assert (found[0].amount_refunded, found[0].amount_refund_pending) == (600, 0)
    assert len(rejected) == 19
    assert {row.reason for row in rejected} == {"600 is above the 400 that is left to refund"}
    assert [reply.body for reply in replays] == [reply.body for reply in replies]
    assert all(reply.replayed for reply in replays)
    assert [call.operation for call in provider.effects_for(fresh_merchant)] == ["authorize", "refund"]


async def test_twenty_captures_with_different_keys(database: Database, fresh_merchant: str) -> None:
    provider = BookedProvider()
    async with runtime_of(database.app_url, provider) as one, runtime_of(database.app_url, provider) as other:
        clients = [Client(one, fresh_merchant), Client(other, fresh_merchant)]
        payment = read(await clients[0].create("create", manual=True))
        replies = await asyncio.gather(*(clients[n % 2].capture(f"c{n}", payment["id"]) for n in range(20)))
        rejected = await one.reads.rejections(fresh_merchant, payment["id"])
        history = await one.reads.history(fresh_merchant, payment["id"])
    assert Counter(reply.status for reply in replies) == {200: 1, 409: 19}
    refused = [read(reply) for reply in replies if reply.status == 409]
    assert {(body["code"], body["retryable"]) for body in refused} == {("transition_rejected", False)}
    assert len(rejected) == 19
    assert {row.event for row in rejected} == {"capture"}
    assert not any(row.alert for row in rejected)
    assert [row.version for row in history] == [1, 2, 3, 4]
    assert [call.operation for call in provider.effects_for(fresh_merchant)] == ["authorize", "capture"]


async def test_capture_against_cancel(database: Database, fresh_merchant: str) -> None:
    provider = BookedProvider()
    async with runtime_of(database.app_url, provider) as runtime:
        client = Client(runtime, fresh_merchant)
        for round_number in range(10):
            payment = read(await client.create(f"create-{round_number}", manual=True))
            captured, canceled = await asyncio.gather(
                client.capture(f"capture-{round_number}", payment["id"]),
                client.cancel(f"cancel-{round_number}", payment["id"]),
            )
            assert sorted((captured.status, canceled.status)) == [200, 409]
            found = await runtime.reads.payment(fresh_merchant, payment["id"])
            assert found is not None
            assert found[0].state == ("captured" if captured.status == 200 else "canceled")
    assert len(provider.effects_for(fresh_merchant)) == 20


async def test_a_frozen_sender_that_wakes_after_recovery_sent_again(database: Database, fresh_merchant: str) -> None:
    """Frozen before the write: it does not write. Frozen after it: its answer meets a closed attempt, and is kept."""
    for forgetful in (False, True):
        provider = BookedProvider(forgetful=forgetful)
        awake = asyncio.Event()

        async def frozen(call: ProviderCall, provider: BookedProvider = provider, awake: asyncio.Event = awake) -> None:
            if call.merchant_id == fresh_merchant and len(provider.calls) == 1:
                await awake.wait()

        provider.before = frozen
        key = f"frozen-{forgetful}"
        async with runtime_of(database.app_url, provider, settings=HURRIED) as sender:
            sending = asyncio.create_task(Client(sender, fresh_merchant).create(key))
            first = (await eventually_async(lambda: provider.calls))[0]  # noqa: B023  # it is awaited in this round
            await eventually_async(lambda: monotonic_ms() > first.send_by_ms)  # noqa: B023  # likewise
            async with runtime_of(database.app_url, provider, shift_ms=2_000) as rescuer:
                await recover(rescuer)
            assert len(provider.effects_for(fresh_merchant)) == 1
            awake.set()
            reply = await sending
        assert reply.status == 201
        assert read(reply)["state"] == "captured"
        assert len(provider.effects_for(fresh_merchant)) == 1, "the sender that woke must not send"


async def test_money_on_a_closed_edge_goes_to_suspense(database: Database, fresh_merchant: str) -> None:
    """A forgetful provider executes a request long after everything it promised: recorded, posted, alerted, once."""
    provider = BookedProvider(forgetful=True)
    stuck: list[asyncio.Event] = []

    async def late(call: object) -> None:
        stuck.append(asyncio.Event())
        await stuck[-1].wait()

    provider.before = late
    async with runtime_of(database.app_url, provider) as runtime:
        client = Client(runtime, fresh_merchant)
        sending = asyncio.create_task(client.create("key"))
        first_call = (await eventually_async(lambda: provider.calls))[0]
        async with runtime_of(database.app_url, _NeverThere(), shift_ms=10_000) as rescuer:
            await recover(rescuer)
        failed = await client.create("key")
        assert read(failed)["state"] == "failed"
        provider.before = None
        provider.effects.append(first_call)
        for _ in range(2):
            verdict = await provider.fetch(first_call)
            loaded = await runtime.reads.load(fresh_merchant, read(failed)["id"])
            assert loaded is not None
            await settle_verdict(
                runtime, loaded.stored, first_call.attempt_id, verdict, cause="recovery", actor="provider:simulator"
            )
        accounts = {row.account: row.debits - row.credits for row in await runtime.reads.accounts(fresh_merchant)}
        rejected = await runtime.reads.rejections(fresh_merchant, read(failed)["id"])
        replay = await client.create("key")
        for event in stuck:
            event.set()
        await sending
    assert accounts == {"provider:simulator": 1_000, "suspense:simulator": -1_000}
    assert [(row.origin, row.alert) for row in rejected] == [("provider", True)]
    assert replay.body == failed.body


class _NeverThere(BookedProvider):
    """Refuses every connection: nothing is ever sent, and its lookup knows nothing."""

    async def _do(self, call: ProviderCall) -> Verdict:
        return NotSent(reason="refused")


async def test_history_cannot_be_changed_by_the_application(database: Database, fresh_merchant: str) -> None:
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        await Client(runtime, fresh_merchant).create("key")
        for table in ("transition", "transfer", "response", "rejection", "instruction"):
            for statement in (f"DELETE FROM {table}", f"UPDATE {table} SET merchant_id = 'x'", f"TRUNCATE {table}"):
                try:
                    await runtime.pool.execute(statement)
                except asyncpg.InsufficientPrivilegeError:
                    continue
                raise AssertionError(f"the application may run: {statement}")


@pytest.mark.parametrize("declined", [True, False])
async def test_the_customer_acts_while_a_cancel_is_under_way(
    database: Database, fresh_merchant: str, declined: bool
) -> None:
    """The payment is captured before the cancel's own answer comes: that answer still ends the cancel instruction."""
    provider = BookedProvider()

    async def waits(call: ProviderCall) -> Verdict:
        return RequiresAction(next_action={"type": "redirect", "url": "/"}, reference="ch_1")

    async with runtime_of(database.app_url, provider) as runtime:
        client = Client(runtime, fresh_merchant)
        provider.after = waits
        payment = read(await client.create("create"))
        assert payment["state"] == "requires_action"

        async def acts(call: ProviderCall) -> Verdict | None:
            loaded = await runtime.reads.load(fresh_merchant, payment["id"])
            assert loaded is not None
            attempt = loaded.stored.attempts[0]
            captured = Approved(amount=1_000, currency="EUR", effect="captured", reference="ch_1")
            await settle_verdict(
                runtime, loaded.stored, attempt.attempt_id, captured, cause="recovery", actor="provider:simulator"
            )
            return Declined(code="charge_already_captured", message="Too late.") if declined else None

        provider.after, provider.before = None, acts
        canceled = await client.cancel("cancel", payment["id"])
        replay = await client.cancel("cancel", payment["id"])
        rejected = await runtime.reads.rejections(fresh_merchant, payment["id"])
        loaded = await runtime.reads.load(fresh_merchant, payment["id"])
    assert canceled.status == 200
    assert read(canceled)["state"] == "captured"
    assert replay.replayed
    assert replay.body == canceled.body
    assert loaded is not None
    assert not {attempt.state for attempt in loaded.stored.attempts} & ATTEMPT_OPEN
    assert [row.alert for row in rejected] == ([] if declined else [True])
