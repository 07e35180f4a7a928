"""``webhooks reread``: listed for people, processed on request, and refused where the words are missing."""

from __future__ import annotations

import asyncio

import pytest

from tests.flows.webhooks.inbound.test_reread import place_of
from tests.support.commands import run_here
from tests.support.database import Database
from tests.support.inbox import WEBHOOK_SETTINGS

WORDS = ("--actor", "kim", "--reason", "ticket 7")


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
    for words in ((), WORDS[:2], WORDS[2:], ("--actor", " ", "--reason", "ticket 7")):
        code, _, err = run(*ours, "--yes", *words)
        assert code == 2 and "must not be empty" in err
    assert run(*ours, "--yes", "--filed-as", "applied", *WORDS)[0] == 2
    code, out, _ = run(*ours, "--yes", *WORDS)
    assert code == 0 and f"{event_id} │ dashboard.refunded: applied" in out
    assert "1 of 1 were processed again." in out
    assert run(*ours, "--yes", *WORDS)[1] == "0 of 0 were processed again."
