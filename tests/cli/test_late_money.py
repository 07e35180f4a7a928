"""``late-money``: listed, accepted once, and refused where nothing waits."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.flows.operations.test_late_money import late, no_to_charges
from tests.support.commands import run_here
from tests.support.database import Database
from tests.support.runtime import BookedProvider, runtime_of


def test_list_and_accept(
    database: Database, fresh_merchant: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def made() -> str:
        provider = BookedProvider()
        provider.before = no_to_charges
        async with runtime_of(database.app_url, provider) as runtime:
            return await late(runtime, fresh_merchant)

    def run(*arguments: str) -> tuple[int, str, str]:
        ran = run_here(monkeypatch, capsys, "late-money", *arguments, database_url=database.app_url)
        return ran.code, ran.out, ran.err

    payment_id = asyncio.run(made())
    code, out, _ = run("list", "--merchant", fresh_merchant, "--json")
    assert code == 0
    [row] = json.loads(out)
    assert (row["payment_id"], row["waiting"], row["currency"]) == (payment_id, 1_000, "EUR")
    words = ("--actor", "kim", "--reason", "ticket 7")
    assert run("accept", payment_id, "--actor", "kim", "--reason", " ")[0] == 2
    code, out, _ = run("accept", payment_id, *words)
    assert (code, out.strip()) == (0, f"payment {payment_id}: late_money_accepted")
    code, _, err = run("return", payment_id, *words)
    assert code == 2 and "has no late money that waits" in err
    code, out, _ = run("list", "--merchant", fresh_merchant, "--json")
    assert (code, json.loads(out)) == (0, [])
