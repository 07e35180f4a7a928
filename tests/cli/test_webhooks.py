"""``webhooks``: events are read again on request, with the words that it takes; foreign ones are counted."""

from __future__ import annotations

import asyncio
import json

import pytest

from tallystick.domain.notices import RefundNotice
from tallystick.flows.assembly import open_runtime
from tallystick.kit.ids import new_id
from tests.support.commands import run_here
from tests.support.database import Database
from tests.support.filed_events import place_of
from tests.support.inbox import WEBHOOK_SETTINGS, accept, drain, envelope
from tests.support.runtime import BookedProvider

WORDS = ("--reason", "ticket 7")


def test_listed_and_processed(
    database: Database, fresh_merchant: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*arguments: str) -> tuple[int, str, str]:
        environment = {"database_url": database.app_url, "sealing_keys": str(WEBHOOK_SETTINGS.sealing_keys)}
        ran = run_here(monkeypatch, capsys, "webhooks", "reread", *arguments, **environment)
        return ran.code, " ".join(ran.out.split()), ran.err

    async def filed() -> str:
        async with place_of(database, fresh_merchant, "simulator") as place:
            [envelope] = await place.file(place.body("one", 300))
            return envelope.event_id

    event_id = asyncio.run(filed())
    ours = ("--type", "dashboard.refunded")
    code, out, err = run(*ours)
    assert code == 0 and event_id in out and "1 of 1 would be processed again: --yes does it." in out
    assert "1 match, 0 processed" in err
    assert run(*ours, "--provider", "stripe")[1] == "No such events."
    for words in ((), ("--reason", " ")):
        code, _, err = run(*ours, "--yes", *words)
        assert code == 2 and "must not be empty" in err
    assert run(*ours, "--yes", "--filed-as", "applied", *WORDS)[0] == 2
    code, out, _ = run(*ours, "--yes", *WORDS)
    assert code == 0 and f"{event_id} │ dashboard.refunded: applied" in out
    assert "1 of 1 were processed again." in out
    assert run(*ours, "--yes", *WORDS)[1] == "0 of 0 were processed again."


def test_foreign_events_are_counted(
    database: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    account = new_id("req")

    async def file() -> None:
        provider = BookedProvider()
        provider.account = account
        async with open_runtime(WEBHOOK_SETTINGS, database.app_url, providers={"simulator": provider}) as runtime:
            notice = RefundNotice(reference="re_1", amount=1, currency="EUR")
            await accept(database, [envelope(new_id("req"), notice, account=account, mark="absent") for _ in range(2)])
            await drain(runtime)

    asyncio.run(file())
    environment = {"database_url": database.app_url, "sealing_keys": str(WEBHOOK_SETTINGS.sealing_keys)}
    ran = run_here(monkeypatch, capsys, "webhooks", "foreign", "--json", **environment)
    [row] = [each for each in json.loads(ran.out) if each["account"] == account]
    assert (ran.code, row["provider"], row["type"], row["events"]) == (0, "simulator", "charge.captured", 2)
    ran = run_here(monkeypatch, capsys, "webhooks", "foreign", **environment)
    assert ran.code == 0 and "Foreign events" in ran.out
