"""Late money: payments that were declined, and captured at the provider all the same."""

from __future__ import annotations

from tallystick.domain.verdicts import Approved, Declined, Verdict
from tallystick.flows.payments.attempts import settle_verdict
from tallystick.flows.runtime import Runtime
from tallystick.providers.port import ProviderCall
from tests.support.database import Database
from tests.support.runtime import BookedProvider, Client, read, runtime_of


async def no_to_charges(call: ProviderCall) -> Verdict | None:
    """Declines every charge, and decides nothing else."""
    return Declined(code="card_declined", message="No.") if call.operation == "authorize" else None


def declining_provider() -> BookedProvider:
    """A provider that declines every charge, and does whatever else is asked."""
    provider = BookedProvider()
    provider.before = no_to_charges
    return provider


async def late(runtime: Runtime, merchant_id: str, key: str = "create", reference: str = "ch_1") -> str:
    """A payment that was declined, and captured all the same; its id. ``reference``: the charge at the provider."""
    payment = read(await Client(runtime, merchant_id).create(key))
    loaded = await runtime.reads.load(merchant_id, payment["id"])
    assert loaded is not None and payment["state"] == "declined"
    [attempt] = loaded.stored.attempts
    said = Approved(amount=1_000, currency="EUR", effect="captured", reference=reference)
    await settle_verdict(runtime, loaded.stored, attempt.attempt_id, said, cause="webhook", actor="provider:simulator")
    return str(payment["id"])


async def late_payment(database: Database, merchant_id: str) -> str:
    """A payment of the merchant whose late money waits, by a runtime that has ended; its id."""
    async with runtime_of(database.app_url, declining_provider()) as runtime:
        return await late(runtime, merchant_id)
