"""Withdrawing files whose totals one report of payouts states."""

from __future__ import annotations

from pathlib import Path

from tests.support.database import NewDatabase
from tests.support.letters import new_letters
from tests.support.news_files import Stripe, at_providers, newest, work
from tests.support.settlement_days import paid
from tests.support.settlement_imports import imported
from tests.support.withdrawals import withdrawn


async def test_files_of_one_report_of_payouts_do_not_hold_each_other(new_database: NewDatabase, tmp_path: Path) -> None:
    """The payouts come first, each with its rows in a file of its own afterwards. One file of rows goes alone: the
    report, which is older, has another batch that a newer file proves. The last one takes the report with it."""
    async with at_providers(new_database()) as (runtime, _):
        files = []
        for amount in (1_000, 500):
            made = await paid(runtime, "shop", amount, provider="stripe")
            file = Stripe(f"po{new_letters()}")
            file.row("charge", amount, charge=made["charge"], effect="", movement=new_letters())
            files.append(file)
        header, *_ = files[0].payout().splitlines()
        payouts = "\n".join([header, *(file.payout().splitlines()[1] for file in files), ""])
        report = (await imported(runtime, payouts, tmp_path, name="payouts.csv", provider="stripe")).file.file_id
        rows = []
        for file in files:
            rows.append((await imported(runtime, file.text(), tmp_path, provider="stripe")).file.file_id)
            await work(runtime, "shop")
        assert [await newest(runtime, file.name) for file in files] == [{"charge": "matched: same"}] * 2
        first = await withdrawn(runtime, rows[0])
        assert first.result is not None and "with_it" not in first.result
        assert [await newest(runtime, file.name) for file in files] == [
            {"charge": "explained: withdrawn"},
            {"charge": "matched: same"},
        ]
        last = await withdrawn(runtime, rows[1])
        assert last.result is not None and last.result["with_it"] == [report]
