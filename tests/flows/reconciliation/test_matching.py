"""A settlement file end to end on a real database: imported, compared, kept as evidence, and posted."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any, Final

import asyncpg
import pytest

from tallystick.access.key_store import OPERATORS
from tallystick.domain.settlement import SettledBatch
from tallystick.domain.settlement_evidence import Evidence
from tallystick.flows.reconciliation.formats.simulator import COLUMNS
from tallystick.flows.reconciliation.matching import Compared, NotComparable, compare_file
from tallystick.flows.reconciliation.posting import batch_id_of, post_batch
from tallystick.flows.runtime import Runtime
from tallystick.kit.ids import new_id
from tests.support.database import Database
from tests.support.inbox import assert_invariants
from tests.support.runtime import BookedProvider, Client, read, runtime_of
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


async def paid(runtime: Runtime, merchant_id: str, amount: int = 1_000) -> dict[str, Any]:
    payment = read(await Client(runtime, merchant_id).create(new_id("req"), amount))
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


async def evidence_of(runtime: Runtime, file_id: str) -> Sequence[Any]:
    return await runtime.pool.fetch("SELECT * FROM settlement_evidence WHERE file_id = $1 ORDER BY position", file_id)


async def test_a_day_is_settled_to_the_unit(database: Database, fresh_merchant: str, tmp_path: Path) -> None:
    """Worked out by hand. Two captures of 1,000 and a refund of 400 with fees of 30, 30 and 0; a fee of 5, a reserve of 100,
    a row of 77 that nobody knows, and all of it is paid out."""
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        first, second = await paid(runtime, fresh_merchant), await paid(runtime, fresh_merchant)
        back = await refunded(runtime, second, 400)
        assert await balances(runtime, fresh_merchant) == {"provider:simulator": 1_600, "merchant": -1_600}
        file = Acquirer()
        file.of(first, "charge", 1_000, 30)
        file.of(second, "charge", 1_000, 30)
        file.of(back, "refund", -400)
        file.row("fee", -5)
        file.row("reserve", -100)
        file.row("riddle", 77)
        file.row("payout", -(940 + 572))
        file_id, compared, batch = await settled(runtime, file.text(), tmp_path)
        assert compared.by_reason == {
            ("matched", "same"): 3,
            ("explained", "provider_fee"): 1,
            ("explained", "reserve"): 1,
            ("unexplained", "unknown_type"): 1,
            ("explained", "payout"): 1,
        }
        assert await balances(runtime, fresh_merchant) == {"merchant_available": -1_600, "settled:simulator": 1_600}
        assert await posted_of(runtime, batch) == {
            "settled:simulator": -1_600,
            "fees:provider": 65,
            "reserve:simulator": 100,
            "unexplained:simulator": -77,
            "bank_in_transit:simulator": 1_512,
        }, "the provider's balance is zero again"
        assert (batch.state, batch.net, batch.version) == ("posted", 0, 2)
        [row, *_] = await evidence_of(runtime, file_id)
        assert (row["payment_id"], row["covers"], row["difference"], row["stage"]) == (
            first["id"],
            1_000,
            -30,
            "provider_reference",
        )
        [kept] = await runtime.stores.evidence.of_payment(fresh_merchant, first["id"])
        assert isinstance(kept, Evidence) and kept.compared["amount"] == [1_000, 1_000]
    await assert_invariants(database, fresh_merchant)


async def test_the_same_again_posts_nothing(database: Database, fresh_merchant: str, tmp_path: Path) -> None:
    """The file again, by two processes at once, each comparing and posting."""
    async with (
        runtime_of(database.app_url, BookedProvider()) as one,
        runtime_of(database.app_url, BookedProvider()) as other,
    ):
        file = Acquirer()
        file.of(await paid(one, fresh_merchant), "charge", 1_000, 30)
        stored = (await imported(one, file.text(), tmp_path)).file
        done = await asyncio.gather(
            *(compare_file(each, stored.file_id, ACTOR) for each in (one, other, one, other)), return_exceptions=True
        )
        assert sorted(each.rows for each in done if isinstance(each, Compared)) == [0, 0, 0, 1], done
        [name] = await one.stores.evidence.batches_of(stored.file_id)
        posted = await asyncio.gather(*(post_batch(each, name, ACTOR) for each in (one, other, one, other)))
        assert {each.state for each in posted} == {"posted"}
        assert await balances(one, fresh_merchant) == {"merchant_available": -1_000, "settled:simulator": 1_000}
        again = await imported(other, file.text(), tmp_path)
        assert again.already
        assert (await compare_file(other, again.file.file_id, ACTOR)).rows == 0
        steps = await one.pool.fetchval(
            "SELECT count(*) FROM transition WHERE merchant_id = $1 AND subject_id = $2", OPERATORS, batch_id_of(name)
        )
        assert steps == 2
    await assert_invariants(database, fresh_merchant)


async def test_a_supplement_posts_the_difference(database: Database, fresh_merchant: str, tmp_path: Path) -> None:
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        file = Acquirer()
        file.of(await paid(runtime, fresh_merchant), "charge", 1_000, 30)
        await settled(runtime, file.text(), tmp_path)
        file.of(await paid(runtime, fresh_merchant, 500), "charge", 500, 20)
        _, compared, batch = await settled(runtime, file.text(), tmp_path, name="again.csv")
        assert compared.rows == 1, "the row that is known is not compared again"
        assert await balances(runtime, fresh_merchant) == {"merchant_available": -1_500, "settled:simulator": 1_500}
        assert (batch.merchants, batch.fees, len(batch.files), batch.state) == (1_500, 50, 2, "posted")
    await assert_invariants(database, fresh_merchant)


async def test_a_late_row_of_another_batch_is_a_duplicate(
    database: Database, fresh_merchant: str, tmp_path: Path
) -> None:
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        payment = await paid(runtime, fresh_merchant)
        first, second = Acquirer(), Acquirer()
        first.of(payment, "charge", 1_000)
        second.of(payment, "charge", 1_000)
        await settled(runtime, first.text(), tmp_path)
        _, compared, batch = await settled(runtime, second.text(), tmp_path, name="second.csv")
        assert compared.by_reason == {("mismatched", "duplicate"): 1}
        assert await balances(runtime, fresh_merchant) == {"merchant_available": -1_000, "settled:simulator": 1_000}
        assert batch.unexplained == 1_000
    await assert_invariants(database, fresh_merchant)


async def test_a_batch_that_does_not_add_up_is_not_compared(
    database: Database, fresh_merchant: str, tmp_path: Path
) -> None:
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        file = Acquirer()
        file.of(await paid(runtime, fresh_merchant), "charge", 1_000)
        text = file.text().replace(",1000,,,,,,,,,", ",999,,,,,,,,,")
        assert text != file.text()
        stored = (await imported(runtime, text, tmp_path)).file
        assert (await compare_file(runtime, stored.file_id, ACTOR)).rows == 0
        assert await runtime.stores.evidence.batches_of(stored.file_id) == []
        assert await balances(runtime, fresh_merchant) == {"provider:simulator": 1_000, "merchant": -1_000}


async def test_what_is_not_imported_is_not_compared(database: Database) -> None:
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        with pytest.raises(NotComparable):
            await compare_file(runtime, new_id("stl"), ACTOR)


async def test_evidence_is_never_changed(database: Database) -> None:
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        for table in ("settlement_evidence", "settlement_evidence_set", "settlement_evidence_sum"):
            for statement in (f"UPDATE {table} SET currency = 'USD'", f"DELETE FROM {table}"):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await runtime.pool.execute(statement)
