"""Closing a charge that its payer could still pay: recovery sends the call, and looks at what was refused."""

from __future__ import annotations

import asyncpg
import pytest

from tallystick.domain.verdicts import Approved, Declined, NotSent, RequiresAction, Unknown, Verdict
from tallystick.flows.payments.attempts import settle_verdict
from tallystick.flows.runtime import Runtime
from tallystick.oversight.invariants import verify
from tallystick.providers.port import ProviderCall
from tests.support.database import Database
from tests.support.runtime import HURRIED, SETTINGS, BookedProvider, Client, read, recover, runtime_of


class Secretive(BookedProvider):
    """Gives every payer something to act on. ``paid``: what it says of the charge since; its cancels are counted."""

    def __init__(self) -> None:
        super().__init__()
        self.paid = False
        self.refuses = False
        self.mute = False
        self.unreachable = 0
        self.before = self._before

    async def fetch(self, call: ProviderCall) -> Verdict:
        if call.operation != "authorize":
            return Unknown(reason="time-out") if self.mute else await super().fetch(call)
        if self.paid:
            return Approved(amount=call.amount, currency=call.currency, effect="captured", reference="ch_1")
        return Declined(code="authentication_failed", message="No.", reference="ch_1")

    async def _before(self, call: ProviderCall) -> Verdict | None:
        if call.operation == "authorize":
            return RequiresAction(next_action={"type": "redirect", "url": "/act"}, reference="ch_1")
        if self.unreachable > 0:
            self.unreachable -= 1
            return NotSent(reason="refused")
        return Declined(code="charge_already_captured", message="No.") if self.refuses else None


async def declined(runtime: Runtime, merchant_id: str) -> str:
    """The payer was asked to act, and the provider told that it failed."""
    payment = read(await Client(runtime, merchant_id).create("create"))
    assert payment["state"] == "requires_action"
    loaded = await runtime.reads.load(merchant_id, payment["id"])
    assert loaded is not None
    [attempt] = loaded.stored.attempts
    no = Declined(code="authentication_failed", message="No.", reference="ch_1")
    await settle_verdict(runtime, loaded.stored, attempt.attempt_id, no, cause="webhook", actor="provider:simulator")
    replay = read(await Client(runtime, merchant_id).create("create"))
    assert (replay["state"], replay["final"], replay["in_doubt"]) == ("declined", True, False)
    return str(payment["id"])


async def found(runtime: Runtime, merchant_id: str, payment_id: str) -> tuple[str, int, int, str]:
    """The payment's state, version and late money, and the state of the call that closes its charge."""
    loaded = await runtime.reads.load(merchant_id, payment_id)
    assert loaded is not None
    [closing] = [each for each in loaded.stored.attempts if each.purpose == "close"]
    payment = loaded.stored.payment
    return payment.state, payment.version, payment.amount_late, closing.state


async def wrong(database: Database, merchant_id: str) -> list[str]:
    connection = await asyncpg.connect(database.app_url)
    try:
        report = await verify(connection, settings=SETTINGS, merchant_id=merchant_id)
    finally:
        await connection.close()
    return [f"{each.invariant}: {each.detail}" for each in report.violations]


@pytest.mark.parametrize("unreachable", [0, 1])
async def test_recovery_closes_the_charge_and_nothing_else_moves(
    database: Database, fresh_merchant: str, unreachable: int
) -> None:
    provider = Secretive()
    provider.unreachable = unreachable
    async with runtime_of(database.app_url, provider, settings=HURRIED) as runtime:
        payment_id = await declined(runtime, fresh_merchant)
        messages = await runtime.pool.fetchval("SELECT count(*) FROM outbox WHERE merchant_id = $1", fresh_merchant)
        assert await found(runtime, fresh_merchant, payment_id) == ("declined", 3, 0, "not_sent")
        await recover(runtime)
        assert await found(runtime, fresh_merchant, payment_id) == ("declined", 3, 0, "approved")
        told = await runtime.pool.fetchval("SELECT count(*) FROM outbox WHERE merchant_id = $1", fresh_merchant)
        assert told == messages
    [cancel] = provider.effects_for(fresh_merchant)
    assert (cancel.operation, cancel.parent_reference) == ("cancel", "ch_1")
    assert await wrong(database, fresh_merchant) == []


async def test_a_charge_that_was_paid_meanwhile_is_late_money(database: Database, fresh_merchant: str) -> None:
    """The provider refuses to close it, and no event of it ever comes: what it says of the charge is asked."""
    provider = Secretive()
    async with runtime_of(database.app_url, provider, settings=HURRIED) as runtime:
        payment_id = await declined(runtime, fresh_merchant)
        provider.paid = provider.refuses = True
        await recover(runtime)
        assert await found(runtime, fresh_merchant, payment_id) == ("declined", 4, 1_000, "declined")
        accounts = {row.account: row.debits - row.credits for row in await runtime.reads.accounts(fresh_merchant)}
        assert accounts == {"provider:simulator": 1_000, "suspense:simulator": -1_000}
    assert await wrong(database, fresh_merchant) == []


async def test_a_call_in_doubt_leaves_the_payment_out_of_it(database: Database, fresh_merchant: str) -> None:
    """Nobody learns what became of the call: a person settles it, and the payment's outcome is as sure as before."""
    provider = Secretive()

    async def lost(call: ProviderCall) -> Verdict | None:
        return Unknown(reason="time-out") if call.operation == "cancel" else None

    provider.after, provider.mute = lost, True
    async with runtime_of(database.app_url, provider, settings=HURRIED) as runtime:
        payment_id = await declined(runtime, fresh_merchant)
        await recover(runtime)
        assert (await found(runtime, fresh_merchant, payment_id))[-1] == "unknown"
        stored = await runtime.reads.payment(fresh_merchant, payment_id)
        assert stored is not None and not stored[1]
    assert len(provider.effects_for(fresh_merchant)) == 1
