"""Settlement files of the test acquirer, written by hand, and a file from its import to its postings."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any, Final

from tallystick.access.key_store import OPERATORS
from tallystick.domain.settlement import SettledBatch
from tallystick.flows.reconciliation.formats.simulator import COLUMNS
from tallystick.flows.reconciliation.matching import Compared, compare_file
from tallystick.flows.reconciliation.posting import post_batch
from tallystick.flows.reconciliation.worker import ReconciliationWorker
from tallystick.flows.runtime import Runtime
from tallystick.kit.ids import new_id
from tests.support.runtime import Client, read
from tests.support.settlement_imports import imported

ACTOR: Final = "shell:test@here"


class Acquirer:
    """Writes the test acquirer's file for one batch, by hand."""

    def __init__(self) -> None:
        self.batch = new_id("req")
        self.lines: list[dict[str, Any]] = []
        self._numbers: Iterator[int] = count(1)

    def row(self, kind: str, gross: int, fee: int = 0, currency: str = "EUR", **named: Any) -> dict[str, Any]:
        line = {
            "entry_id": f"{self.batch}_{next(self._numbers)}",
            "type": kind,
            "batch": self.batch,
            "currency": currency,
            "gross": gross,
            "fee": fee,
            "net": gross - fee,
            "booked_at": "2026-03-02T10:00:00Z",
            "occurred_at": "2026-03-02T10:00:00Z",
            **named,
        }
        self.lines.append(line)
        return line

    def of(self, what: dict[str, Any], kind: str, gross: int, fee: int = 0, **named: Any) -> dict[str, Any]:
        """The row of a payment or refund of ours."""
        return self.row(kind, gross, fee, **{"charge": what["charge"], "effect": what["effect"], **named})

    def text(self) -> str:
        lines = [*self.lines]
        for currency in sorted({line["currency"] for line in lines}):
            net = sum(line["net"] for line in lines if line["currency"] == currency)
            lines.append({"entry_id": "total", "batch": self.batch, "currency": currency, "net": net})
        rows = [",".join(str(line.get(name, "")) for name in COLUMNS) for line in lines]
        return "\n".join([",".join(COLUMNS), *rows, ""])


async def paid(runtime: Runtime, merchant_id: str, amount: int = 1_000, provider: str = "simulator") -> dict[str, Any]:
    payment = read(await Client(runtime, merchant_id).create(new_id("req"), amount, provider=provider))
    assert payment["state"] == "captured", payment
    reference = await runtime.pool.fetchval(
        "SELECT provider_reference FROM attempt WHERE merchant_id = $1 AND payment_id = $2", merchant_id, payment["id"]
    )
    return {"id": payment["id"], "amount": amount, "charge": reference, "effect": reference, "merchant_id": merchant_id}


async def refunded(runtime: Runtime, payment: dict[str, Any], amount: int) -> dict[str, Any]:
    refund = read(await Client(runtime, payment["merchant_id"]).refund(new_id("req"), payment["id"], amount))
    reference = await runtime.pool.fetchval(
        "SELECT provider_reference FROM attempt WHERE merchant_id = $1 AND payment_id = $2 AND operation = 'refund'",
        payment["merchant_id"],
        payment["id"],
    )
    return {**payment, "refund_id": refund["id"], "amount": amount, "effect": reference}


async def settled(runtime: Runtime, content: str, where: Path, **asked: Any) -> tuple[str, Compared, SettledBatch]:
    """The file imported, compared and posted."""
    file = (await imported(runtime, content, where, **asked)).file
    assert file.state == "imported", file
    compared = await compare_file(runtime, file.file_id, ACTOR)
    posted = [await post_batch(runtime, name, ACTOR) for name in await runtime.stores.evidence.batches_of(file.file_id)]
    return file.file_id, compared, posted[0]


async def balances(runtime: Runtime, merchant_id: str) -> dict[str, int]:
    """Debits less credits of each account that is not zero."""
    found = await runtime.pool.fetch(
        "SELECT account, (debits - credits)::bigint AS n FROM balance WHERE merchant_id = $1", merchant_id
    )
    return {row["account"]: row["n"] for row in found if row["n"]}


async def posted_of(runtime: Runtime, batch: SettledBatch) -> dict[str, int]:
    """What the platform's side of a batch posted, debits less credits by account."""
    found = await runtime.pool.fetch(
        "SELECT debit, credit, amount FROM transfer WHERE merchant_id = $1 AND stream_id = $2",
        OPERATORS,
        batch.batch_id,
    )
    sums: dict[str, int] = {}
    for row in found:
        sums[row["debit"]] = sums.get(row["debit"], 0) + row["amount"]
        sums[row["credit"]] = sums.get(row["credit"], 0) - row["amount"]
    return {account: amount for account, amount in sums.items() if amount}


async def rounds(runtime: Runtime) -> None:
    """What is imported is compared and posted, until nothing is left."""
    worker = ReconciliationWorker(runtime, ACTOR)
    while await worker.round():
        pass
