"""After an older back-up was restored, an instruction that reaches nobody is parked for a person, who settles it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tallystick.domain.verdicts import NotSent
from tallystick.flows.recovery.in_doubt import resolve
from tallystick.providers.port import ProviderCall
from tests.support.database import Database
from tests.support.runtime import HURRIED, BookedProvider, Client, read, recover, runtime_of


class Away(BookedProvider):
    """Refuses every connection."""

    def __init__(self) -> None:
        super().__init__()
        self.before = self.refuse

    async def refuse(self, _: ProviderCall) -> NotSent:
        return NotSent(reason="connection refused")


@pytest.mark.parametrize("restored", [True, False])
async def test_an_instruction_that_reaches_nobody(database: Database, fresh_merchant: str, restored: bool) -> None:
    settings = replace(HURRIED, record_was_restored=restored)
    async with runtime_of(database.app_url, Away(), settings=settings) as runtime:
        client = Client(runtime, fresh_merchant)
        payment = read(await client.create("key"))
        await recover(runtime)
        answer = await client.create("key")
        assert answer.status == (202 if restored else 201)
        if restored:
            loaded = await runtime.reads.load(fresh_merchant, payment["id"])
            assert loaded is not None
            attempt_id = loaded.stored.attempts[0].attempt_id
            assert loaded.clocks[attempt_id].parked
            found = await runtime.reads.payment(fresh_merchant, payment["id"])
            assert found is not None and found[1], "nobody knows what became of it"
            book = runtime.stores.schedule_book
            await resolve(runtime, book, attempt_id, "not_executed", evidence="books", actor="jo", reason="restored")
            answer = await client.create("key")
    final = read(answer)
    assert (answer.status, final["state"], final["failure"]["code"]) == (201, "failed", "provider_unreachable")
