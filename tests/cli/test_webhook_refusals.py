"""``webhook-refusals``: what operators see of what was refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest

from tallystick.access.operator import operator_of_shell
from tallystick.flows.webhooks.inbound.rejected import UNKNOWN, RejectedDeliveries
from tallystick.kit.clock import Clock
from tallystick.record.postgres.connections import open_pool
from tallystick.record.postgres.refused_webhooks import RejectedDeliveryCounts
from tests.support.commands import Ran, run_here
from tests.support.database import Database, NewDatabase
from tests.support.inbox import WEBHOOK_SETTINGS

Command = Callable[..., Ran]


@pytest.fixture
def command(database: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """``tallystick webhook-refusals …`` on the test database."""
    return lambda *arguments, of=database: run_here(
        monkeypatch, capsys, "webhook-refusals", *arguments, database_url=of.app_url
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


def test_kinds_are_listed_taken_and_closed(new_database: NewDatabase, command: Command) -> None:
    database = new_database()
    forged = ("stripe", "main", "webhook_signature_invalid")
    refuse(database, *[forged] * 12)

    def on_it(*line: str) -> Ran:
        return command(*line, of=database)

    [kind] = json.loads(on_it("list", "--json").out)
    assert (kind["provider"], kind["reason"], kind["count"], kind["owner"]) == ("stripe", forged[2], 12, None)
    assert "Nobody has it." not in on_it("take", kind["id"], "--reason", "mine").out
    listed = on_it("list").out
    assert operator_of_shell().name in " ".join(listed.split()) and kind["id"] in listed
    assert on_it("hand-on", kind["id"], "--to", "grace", "--reason", "hers").code == 2, "there is no such operator"
    assert "Nobody has it." in on_it("give-back", kind["id"], "--reason", "not mine").out
    assert "Nothing of it waits any more." in on_it("close", kind["id"], "--reason", "a rotated secret").out
    assert on_it("close", kind["id"], "--reason", "twice").code == 2
    assert "None waits." in on_it("list").out
    refuse(database, forged)
    assert [each["count"] for each in json.loads(on_it("list", "--json").out)] == [1]


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
