"""The log of the recovery worker."""

from __future__ import annotations

from dataclasses import replace
from unittest.mock import Mock

import pytest

from tallystick.domain.verdicts import Verdict
from tallystick.flows.assembly import open_runtime
from tallystick.providers.port import ProviderCall
from tallystick.record.postgres.connections import connect_journal
from tallystick.record.postgres.pipeline import PipelineConnection
from tests.support.database import Database
from tests.support.polling import eventually_async
from tests.support.runtime import SETTINGS, BookedProvider, Client, read, recover, runtime_of, timed_out
from tests.support.work import working

#: A change that cannot be written is given up soon, and its attempt is found again soon.
IMPATIENT = replace(SETTINGS, journal_commit_timeout_ms=50, recovery_lease_ms=100)


class Asked(BookedProvider):
    """Times out after the effect. ``asked``: the payments that it was asked about since."""

    def __init__(self) -> None:
        super().__init__()
        self.after = timed_out
        self.asked: set[str] = set()

    async def fetch(self, call: ProviderCall) -> Verdict:
        self.asked.add(call.payment_id)
        return await super().fetch(call)


async def test_lines_that_were_only_counted_are_written_at_the_end(
    database: Database, fresh_merchant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider, said = Asked(), Mock()
    monkeypatch.setattr("tallystick.flows.recovery.worker.log", said)

    async def to_a_standby() -> PipelineConnection:
        connection = await connect_journal(database.app_url, command_timeout_ms=5_000)
        await connection.execute("SET default_transaction_read_only = on")
        return connection

    async with runtime_of(database.app_url, provider) as runtime:
        client = Client(runtime, fresh_merchant)
        payments = {str(read(await client.create(f"doubtful-{number}"))["id"]) for number in range(3)}
        async with (
            open_runtime(
                IMPATIENT, database.app_url, providers={"simulator": provider}, journal_connect=to_a_standby
            ) as cut_off,
            working(cut_off, "recovery"),
        ):
            await eventually_async(lambda: provider.asked, until=payments.issubset)
        lines = [call.kwargs for call in said.warning.call_args_list if call.args == ("recovery could not finish",)]
        assert sum(line["since_last_line"] for line in lines) >= len(payments)
        await recover(runtime)
