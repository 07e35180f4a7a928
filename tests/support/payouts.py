"""Payouts of the test acquirer that arrive at a bank, and what entries of its statements come to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tallystick.flows.runtime import Runtime
from tallystick.kit.ids import new_id
from tests.support.settlement_days import Acquirer, paid
from tests.support.settlement_imports import imported


async def paid_out(runtime: Runtime, merchant_id: str, where: Path, *amounts: int) -> list[str]:
    """A batch of one charge that is paid out in these amounts; the names of its payouts."""
    file = Acquirer()
    file.of(await paid(runtime, merchant_id, sum(amounts)), "charge", sum(amounts))
    names = [f"po_{new_id('req')}" for _ in amounts]
    for amount, name in zip(amounts, names, strict=True):
        file.row("payout", -amount, effect=name)
    await imported(runtime, file.text(), where, name=f"{names[0]}.csv")
    return names


async def at_bank(runtime: Runtime, account: str) -> dict[str, int]:
    """What the statements of an account posted, debits less credits by account."""
    found = await runtime.pool.fetch(
        "SELECT t.debit, t.credit, t.amount FROM transfer t JOIN bank_statement b ON b.merchant_id = t.merchant_id"
        " AND b.statement_id = t.stream_id WHERE b.account = $1",
        account,
    )
    sums: dict[str, int] = {}
    for row in found:
        sums[row["debit"]] = sums.get(row["debit"], 0) + row["amount"]
        sums[row["credit"]] = sums.get(row["credit"], 0) - row["amount"]
    return {name: amount for name, amount in sums.items() if amount}


async def evidence_of(runtime: Runtime, account: str) -> list[tuple[Any, ...]]:
    """What each entry of an account's statements came to, oldest first: net, version, status, reason, stage, what it
    covers, difference."""
    found = await runtime.pool.fetch(
        "SELECT e.net, e.version, e.status, e.reason, e.stage, e.covers, e.difference FROM settlement_evidence e"
        " JOIN settlement_file f ON f.file_id = e.file_id WHERE f.account = $1"
        " ORDER BY f.file_id, e.position, e.version",
        account,
    )
    return [tuple(row) for row in found]
