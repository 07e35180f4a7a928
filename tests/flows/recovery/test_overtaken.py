"""A sender that was overtaken: while it slept, recovery proved that nothing had happened, and sent the attempt again.
What it then learns of its own submission says nothing of the newer one."""

from __future__ import annotations

import asyncio

from tallystick.domain.verdicts import Unknown, Verdict
from tallystick.flows.payments.idempotency import Reply
from tallystick.providers.port import ProviderCall
from tests.support.database import Database
from tests.support.runtime import HURRIED, BookedProvider, Client, read, recover, runtime_of


class Sleeping(BookedProvider):
    """The first sender sleeps until the second one's request was executed, and its answer is lost."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.after = self.sleep, self.lose
        self.resume = asyncio.Event()
        self.woken: asyncio.Task[Reply] | None = None

    async def sleep(self, call: ProviderCall) -> None:
        if [each.key for each in self.calls].count(call.key) == 1:
            await self.resume.wait()

    async def lose(self, _: ProviderCall) -> Verdict:
        assert self.woken is not None
        self.resume.set()
        await self.woken
        return Unknown(reason="time-out")


async def test_a_sender_that_wakes_too_late_does_not_deny_the_next_submission(
    database: Database, fresh_merchant: str
) -> None:
    provider = Sleeping()
    async with runtime_of(database.app_url, provider, settings=HURRIED) as runtime:
        client = Client(runtime, fresh_merchant)
        provider.woken = asyncio.ensure_future(client.create("key"))
        while not provider.resume.is_set():  # until the attempt is due, recovery finds nothing
            await recover(runtime)
        assert (await provider.woken).status == 202
        await recover(runtime)
        final = read(await client.create("key"))
    assert len(provider.effects_for(fresh_merchant)) == 1
    assert (final["state"], final["final"]) == ("captured", True)
