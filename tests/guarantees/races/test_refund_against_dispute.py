"""A refund and a dispute of the same money: one of them is decided on the other, wherever they meet."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tallystick.decisions.change_builder import Cause
from tallystick.decisions.provider_events.dispositions import Decided
from tallystick.decisions.provider_events.route import decide_notice
from tallystick.domain.change import Change
from tallystick.domain.notices import DisputeNotice
from tallystick.domain.subjects import Dispute
from tallystick.domain.verdicts import NotSent
from tallystick.flows.runtime import Runtime
from tallystick.kit.ids import new_id
from tallystick.providers.port import ProviderCall
from tallystick.record.journal import Committed, Fresh
from tallystick.record.postgres.reads import Reads
from tests.support.database import Database
from tests.support.runtime import SETTINGS, BookedProvider, Client, read, recover, runtime_of

#: Recovery comes back soon to what lost its race.
BRIEF = replace(SETTINGS, recovery_lease_ms=100)


async def charge_back(runtime: Runtime, merchant_id: str, payment_id: str, amount: int = 1_000) -> None:
    """The provider tells of a chargeback, and it is in the record."""
    loaded = await runtime.reads.load(merchant_id, payment_id)
    assert loaded is not None
    notice = DisputeNotice(reference="dp_1", state="opened", amount=amount, currency="EUR", movements=())
    cause = Cause(change_id=new_id("chg"), at=runtime.clock.now(), trigger="webhook", actor="provider:simulator")
    decided = decide_notice(
        loaded.stored,
        notice,
        provider="simulator",
        account="main",
        cause=cause,
        rejection_id=new_id("rej"),
        checks=runtime.checks("simulator"),
    )
    assert isinstance(decided, Decided) and decided.change is not None
    assert isinstance(await runtime.journal.commit(decided.change), Fresh)


async def refunded(runtime: Runtime, merchant_id: str, payment_id: str) -> int:
    found = await runtime.reads.payment(merchant_id, payment_id)
    assert found is not None
    return found[0].amount_refunded + found[0].amount_refund_pending


async def test_a_dispute_between_the_reads_of_a_refund(
    database: Database, fresh_merchant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = BookedProvider()
    async with runtime_of(database.app_url, provider) as runtime:
        client = Client(runtime, fresh_merchant)
        payment_id = read(await client.create("create"))["id"]
        disputes, told = Reads.disputes, False

        async def late(self: Reads, merchant_id: str, payment_id: str) -> list[Dispute]:
            """The disputes as they were, and a new one right after."""
            nonlocal told
            found = await disputes(self, merchant_id, payment_id)
            if not told:
                told = True
                await charge_back(runtime, merchant_id, payment_id)
            return found

        monkeypatch.setattr(Reads, "disputes", late)
        reply = await client.refund("refund", payment_id)
        assert (reply.status, read(reply)["code"]) == (409, "transition_rejected")
        assert await refunded(runtime, fresh_merchant, payment_id) == 0
    assert [call.operation for call in provider.effects_for(fresh_merchant)] == ["authorize"]


async def test_a_dispute_right_before_a_refund_is_sent_again(
    database: Database, fresh_merchant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Recovery has decided to send it, and the dispute is committed first: the refund is decided on anew, and fails."""
    provider = BookedProvider()

    async def down(call: ProviderCall) -> NotSent | None:
        return NotSent(reason="refused") if call.operation == "refund" else None

    provider.before = down
    async with runtime_of(database.app_url, provider, settings=BRIEF) as runtime:
        client = Client(runtime, fresh_merchant)
        payment_id = read(await client.create("create"))["id"]
        refund_id = read(await client.refund("refund", payment_id))["id"]
        provider.before = None
        commit, told = runtime.journal.commit, False

        async def late(change: Change) -> Committed:
            nonlocal told
            if not told and any(step.event == "resubmit" for step in change.transitions):
                told = True
                await charge_back(runtime, fresh_merchant, payment_id, 1)
            return await commit(change)

        monkeypatch.setattr(runtime.journal, "commit", late)
        await recover(runtime)
        assert told
        refund = await runtime.reads.refund(fresh_merchant, refund_id)
        assert refund is not None and refund[0].failure is not None
        assert (refund[0].state, refund[0].failure.code) == ("failed", "refund_no_longer_possible")
        assert await refunded(runtime, fresh_merchant, payment_id) == 0
        replay = await client.refund("refund", payment_id)
        assert (replay.status, read(replay)["state"]) == (201, "failed")
    assert [call.operation for call in provider.effects_for(fresh_merchant)] == ["authorize"]
