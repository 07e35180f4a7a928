"""``webhook-refusals``: what operators see of what was refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest

from tallystick.flows.webhooks.inbound.rejected import UNKNOWN, RejectedDeliveries
from tallystick.kit.clock import Clock
from tallystick.record.postgres.connections import open_pool
from tallystick.record.postgres.refused_webhooks import RejectedDeliveryCounts
from tests.support.commands import Ran, run_here
from tests.support.database import Database
from tests.support.inbox import WEBHOOK_SETTINGS

Command = Callable[..., Ran]


@pytest.fixture
def command(database: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """``tallystick webhook-refusals …`` on the test database."""
    return lambda *arguments: run_here(
        monkeypatch, capsys, "webhook-refusals", *arguments, database_url=database.app_url
    )


def refuse(database: Database, *refused: tuple[str, str, str], age_hours: int = 0) -> None:
    """Count these as refused."""

    async def count() -> None:
        pool = await open_pool(database.app_url, WEBHOOK_SETTINGS)
        rejected = RejectedDeliveries(RejectedDeliveryCounts(pool, Clock()), Clock(shift_ms=-age_hours * 3_600_000))
        for each in refused:
            rejected.count(*each)
        await rejected.stop()
        await pool.close()

    asyncio.run(count())


def test_refusals_are_listed_by_hour_and_reason(database: Database, command: Command) -> None:
    nothing = command()
    assert nothing.code == 0 and "No webhooks were rejected" in nothing.out
    forged = ("stripe", "main", "webhook_signature_invalid")
    refuse(database, *[forged] * 1_234, (UNKNOWN, UNKNOWN, "not_found"))
    refuse(database, forged, age_hours=30)
    listed = json.loads(command("--json").out)
    assert [(each["provider"], each["reason"], each["count"]) for each in listed] == [
        ("(unknown)", "not_found", 1),
        ("stripe", "webhook_signature_invalid", 1_234),
    ]
    assert [each["count"] for each in json.loads(command("--json", "--hours", "40").out)] == [1, 1_234, 1]
    table = command()
    assert table.code == 0
    assert all(word in table.out for word in ("webhook_signature_invalid", "1,234", "(unknown)", "not_found"))
    assert command("--hours", "0").code == command("--hours", "721").code == 2
