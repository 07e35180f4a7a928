"""``reconciliation run`` tells of news as a worker does, and says which files wait for it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from tallystick.cli.context import console
from tests.flows.reconciliation.test_news import tell_file
from tests.support.commands import Ran, run_here
from tests.support.database import NewDatabase
from tests.support.inbox import drain
from tests.support.letters import new_letters
from tests.support.news_files import Adyen, at_providers
from tests.support.runtime import SETTINGS
from tests.support.settlement_days import paid


def test_a_file_with_news_is_told_of_and_compared_afterwards(
    new_database: NewDatabase, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    database = new_database()
    monkeypatch.setattr(console, "width", 400)  # sentences in one piece

    def run(*options: str) -> Ran:
        urls = {"database_url": database.app_url, "sealing_keys": str(SETTINGS.sealing_keys)}
        return run_here(monkeypatch, capsys, "reconciliation", "run", *options, **urls)

    async def imported() -> None:
        async with at_providers(database) as (runtime, _):
            payment = await paid(runtime, f"m{new_letters()}", provider="adyen")
            file = Adyen(f"b{new_letters()}")
            file.row("refund", -300, charge=payment["charge"], effect=f"mod{new_letters()}", movement="")
            await tell_file(runtime, file, tmp_path)

    async def decided() -> None:
        async with at_providers(database) as (runtime, _):
            await drain(runtime)

    asyncio.run(imported())
    told = run()
    assert told.code == 0 and "has news: movements told of now: 1; it waits until" in told.out, told
    [waits] = json.loads(run("--json").out)
    assert (waits["waits"], waits["news"], waits["rows"], waits["reasons"]) == (True, 0, 0, [])
    asyncio.run(decided())
    [done] = json.loads(run("--json").out)
    assert done == {
        "id": waits["id"],
        "rows": 2,
        "reasons": [
            {"status": "explained", "reason": "payout", "rows": 1},
            {"status": "matched", "reason": "same", "rows": 1},
        ],
        "news": 0,
        "waits": False,
    }
    assert "Nothing was left to compare." in run().out
