"""A report that posts nothing, compared with the record: what each of its rows comes to, and that the books are as the
settlement file alone makes them, whichever is first. The tables were written by hand, before what must meet them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Final

import asyncpg
import pytest

from tallystick.access.key_store import OPERATORS
from tallystick.domain.dispute_movement import Movement
from tallystick.domain.notices import DisputeNotice
from tallystick.domain.report_evidence import ComparedReport
from tallystick.domain.settlement_file import SettlementFile
from tallystick.flows.reconciliation.matching import Compared, NotComparable, compare_file
from tallystick.flows.reconciliation.posting import batch_id_of
from tallystick.flows.reconciliation.reports import compare_report
from tallystick.flows.reconciliation.worker import ReconciliationWorker
from tallystick.flows.runtime import Runtime
from tests.support.adyen.settlement_details import COLUMNS
from tests.support.database import Database
from tests.support.inbox import PATIENT_WEBHOOKS, accept, assert_invariants, drain, envelope
from tests.support.letters import new_letters
from tests.support.runtime import BookedProvider, runtime_of
from tests.support.settlement_days import ACTOR, balances, paid, posted_of, refunded, settled
from tests.support.settlement_imports import imported

#: How both reports are imported.
WHERE: Final[dict[str, Any]] = {"provider": "simulator", "zone": "Europe/Amsterdam"}

HEADER: Final = (
    "Company Account,Merchant Account,Psp Reference,Merchant Reference,Payment Method,Booking Date,TimeZone,"
    "Main Currency,Main Amount,Record Type,Settlement Currency,Payable (SC),Commission (SC),Markup (SC),"
    "Modification Psp Reference"
)

#: The movements of the scene: payment, type, what the accounting report has (main amount, payable, commission, markup)
#: and what the settlement details have (gross, net, commission, markup), debits below zero. 10.01 is not what the
#: second payment was captured with, and the record has no payment of the third row.
MOVEMENTS: Final = (
    ("first", "Settled", ("10.00", "9.70", "0.30", ""), ("10.00", "9.70", "0.30", "")),
    ("second", "Settled", ("10.01", "9.71", "0.30", ""), ("10.00", "9.70", "0.30", "")),
    ("stranger", "Settled", ("5.00", "5.00", "", ""), None),
    ("third", "Settled", None, ("10.00", "9.70", "0.30", "")),
    ("third", "Refunded", ("4.00", "-4.00", "", ""), ("-4.00", "-4.00", "", "")),
    ("fourth", "Settled", None, ("10.00", "9.70", "0.30", "")),
    ("fourth", "Chargeback", ("10.00", "-17.50", "", "7.50"), ("-10.00", "-17.50", "", "7.50")),
)

#: What the five rows of the accounting report come to, in its order: kind, gross, status, reason, stage, payment.
ROWS: Final = (
    ("charge", 1_000, "matched", "same", "provider_reference", "first"),
    ("charge", 1_001, "mismatched", "amount", "provider_reference", "second"),
    ("charge", 500, "unexplained", "not_in_record", "none", None),
    ("refund", -400, "matched", "same", "provider_reference", "third"),
    ("dispute", -1_000, "matched", "same", "provider_reference", "fourth"),
)

#: What the settlement details come to: 4 captures of 10.00 less a refund of 4.00 and a chargeback of 10.00 are the
#: merchant's 26.00; 4 times 0.30 and 7.50 are costs; 17.30 are paid out. The open dispute is posted by its webhook.
MERCHANTS: Final = {
    "merchant_available": -2_600,
    "settled:simulator": 2_600,
    "disputes:simulator": 1_000,
    "dispute_reserve": -1_000,
}
PLATFORMS: Final = {"settled:simulator": -2_600, "fees:provider": 870, "bank_in_transit:simulator": 1_730}


class Scene:
    """Four payments, of which one is refunded in part and one is disputed."""

    def __init__(self) -> None:
        self.payments: dict[str, str] = {}
        self.references: dict[tuple[str, str], tuple[str, str]] = {}

    async def made(self, database: Database, runtime: Runtime, merchant_id: str) -> Scene:
        for name in ("first", "second", "third", "fourth"):
            payment = await paid(runtime, merchant_id)
            self.payments[name] = payment["id"]
            self.references[name, "Settled"] = (payment["charge"], payment["effect"])
            if name == "third":
                back = await refunded(runtime, payment, 400)
                self.references[name, "Refunded"] = (payment["charge"], back["effect"])
            if name == "fourth":
                dispute = f"x{new_letters()}"
                notice = DisputeNotice(
                    reference=dispute,
                    state="opened",
                    amount=1_000,
                    currency="EUR",
                    movements=(
                        Movement(reference=f"{dispute}_out", funds="withdrawn", amount=1_000, before_verdict=True),
                    ),
                )
                loaded = await runtime.reads.load(merchant_id, payment["id"])
                assert loaded is not None
                await accept(database, [envelope(new_letters(), notice, payment=loaded.stored.payment)])
                await drain(runtime, merchant_id)
                self.references[name, "Chargeback"] = (payment["charge"], dispute)
        self.references["stranger", "Settled"] = (f"x{new_letters()}", f"x{new_letters()}")
        return self

    def accounting(self) -> str:
        lines = [HEADER]
        for name, kind, said, _ in MOVEMENTS:
            if said is not None:
                psp, modification = self.references[name, kind]
                main, payable, commission, markup = said
                lines.append(
                    f"Shop,ShopEU,{psp},,visa,2026-03-02 10:00:01,CET,EUR,{main},{kind},EUR,{payable},{commission},"
                    f"{markup},{modification}"
                )
        return "\n".join([*lines, ""])

    def details(self) -> str:
        batch = new_letters()
        rows = [
            {
                "Type": kind,
                "Psp Reference": self.references[name, kind][0],
                "Modification Reference": self.references[name, kind][1],
                **_sides("Gross", said[0], "GC"),
                **_sides("Net", said[1], "NC"),
                "Commission (NC)": said[2],
                "Markup (NC)": said[3],
            }
            for name, kind, _, said in MOVEMENTS
            if said is not None
        ]
        rows.append({"Type": "MerchantPayout", "Modification Reference": "TXAXT", **_sides("Net", "-17.30", "NC")})
        about = {"Merchant Account": "ShopEU", "Batch Number": batch, "Gross Currency": "EUR", "Net Currency": "EUR"}
        lines = [",".join({**about, **row}.get(name, "") for name in COLUMNS) for row in rows]
        return "\n".join([",".join(COLUMNS), *lines, ""])


def _sides(name: str, amount: str, register: str) -> dict[str, str]:
    return {f"{name} {'Debit' if amount.startswith('-') else 'Credit'} ({register})": amount.removeprefix("-")}


async def the_report(runtime: Runtime, scene: Scene, where: Path) -> SettlementFile:
    """Imported, and compared."""
    file = (
        await imported(
            runtime, scene.accounting(), where, name=f"{new_letters()}.csv", format="adyen_accounting", **WHERE
        )
    ).file
    assert (file.state, file.purpose, file.rows) == ("imported", "compare", 5)
    compared = await compare_report(runtime, file.file_id, ACTOR)
    assert compared.by_reason == {
        ("matched", "same"): 3,
        ("mismatched", "amount"): 1,
        ("unexplained", "not_in_record"): 1,
    }
    return file


async def kept(runtime: Runtime, file: SettlementFile, scene: Scene) -> list[tuple[Any, ...]]:
    rows = await runtime.pool.fetch("SELECT * FROM report_evidence WHERE file_id = $1 ORDER BY position", file.file_id)
    names = {payment_id: name for name, payment_id in scene.payments.items()}
    columns = ("kind", "gross", "status", "reason", "stage")
    return [(*(row[name] for name in columns), names.get(row["payment_id"])) for row in rows]


async def written(runtime: Runtime, merchant_id: str) -> tuple[int, ...]:
    """How much there is of all that a settlement row may write."""
    return tuple(
        [
            await runtime.pool.fetchval(f"SELECT count(*) FROM {table} WHERE merchant_id = ANY ($1::text[])", whose)
            for table, whose in (
                ("transition", [merchant_id, OPERATORS]),
                ("transfer", [merchant_id, OPERATORS]),
                ("outbox", [merchant_id]),
                ("settlement_evidence", [merchant_id]),
                ("covered_posting", [merchant_id]),
            )
        ]
    )


@pytest.mark.parametrize("order", [("details",), ("report", "details"), ("details", "report")], ids="-".join)
async def test_the_books_are_as_the_settlement_details_make_them(
    database: Database, fresh_merchant: str, tmp_path: Path, order: tuple[str, ...]
) -> None:
    async with runtime_of(database.app_url, BookedProvider(), settings=PATIENT_WEBHOOKS) as runtime:
        scene = await Scene().made(database, runtime, fresh_merchant)
        for which in order:
            before = await written(runtime, fresh_merchant)
            if which == "report":
                file = await the_report(runtime, scene, tmp_path)
                assert await kept(runtime, file, scene) == list(ROWS)
                assert await written(runtime, fresh_merchant) == before, "it posts, tells and takes nothing"
                continue
            _, compared, batch = await settled(
                runtime, scene.details(), tmp_path, format="adyen_settlement_details", **WHERE
            )
            assert compared.by_reason == {("matched", "same"): 6, ("explained", "payout"): 1}, "none is a duplicate"
        assert await balances(runtime, fresh_merchant) == MERCHANTS
        assert await posted_of(runtime, batch) == PLATFORMS
        assert (batch.state, batch.merchants, batch.unexplained) == ("posted", 2_600, 0)
    await assert_invariants(database, fresh_merchant)


async def test_a_report_is_compared_once_and_shown(database: Database, fresh_merchant: str, tmp_path: Path) -> None:
    """By processes at once; later by a worker, which has nothing left to do. What differs is shown with its values."""
    async with (
        runtime_of(database.app_url, BookedProvider(), settings=PATIENT_WEBHOOKS) as one,
        runtime_of(database.app_url, BookedProvider()) as other,
    ):
        scene = await Scene().made(database, one, fresh_merchant)
        file = (await imported(one, scene.accounting(), tmp_path, format="adyen_accounting", **WHERE)).file
        book = one.stores.report_evidence
        assert file.file_id in await book.reports_to_compare()
        assert await book.of_file(file, 10) is None
        done = await asyncio.gather(*(compare_report(each, file.file_id, ACTOR) for each in (one, other, one)))
        assert sorted(each.rows for each in done) == [0, 0, 5], done
        assert max(each.open_rows for each in done) == 2
        assert file.file_id not in await book.reports_to_compare()
        shown = await book.of_file(file, 10)
        assert isinstance(shown, ComparedReport)
        assert [(each.status, each.reason, each.rows) for each in shown.counts] == [
            ("matched", "same", 3),
            ("mismatched", "amount", 1),
            ("unexplained", "not_in_record", 1),
        ]
        assert [(each.line, each.reason) for each in shown.exceptions] == [(3, "amount"), (4, "not_in_record")]
        assert shown.exceptions[0].compared["amount"] == [1_001, 1_000]
        assert shown.exceptions[0].payment_id == scene.payments["second"]
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await one.pool.execute("DELETE FROM report_evidence")


async def test_a_worker_compares_it(database: Database, fresh_merchant: str, tmp_path: Path) -> None:
    async with runtime_of(database.app_url, BookedProvider(), settings=PATIENT_WEBHOOKS) as runtime:
        scene = await Scene().made(database, runtime, fresh_merchant)
        file = (await imported(runtime, scene.accounting(), tmp_path, format="adyen_accounting", **WHERE)).file
        before = await balances(runtime, fresh_merchant)
        worker = ReconciliationWorker(runtime)
        await worker.round()
        assert dict(worker.compared)[file.file_id].rows == 5 and file.file_id not in worker.failed
        assert await kept(runtime, file, scene) == list(ROWS)
        assert await balances(runtime, fresh_merchant) == before


async def test_what_is_compared_is_not_posted_and_the_other_way_round(
    database: Database, fresh_merchant: str, tmp_path: Path
) -> None:
    async with runtime_of(database.app_url, BookedProvider(), settings=PATIENT_WEBHOOKS) as runtime:
        scene = await Scene().made(database, runtime, fresh_merchant)
        report = (await imported(runtime, scene.accounting(), tmp_path, format="adyen_accounting", **WHERE)).file
        details = (
            await imported(
                runtime, scene.details(), tmp_path, name="details.csv", format="adyen_settlement_details", **WHERE
            )
        ).file
        with pytest.raises(NotComparable, match="not posted"):
            await compare_file(runtime, report.file_id, ACTOR)
        with pytest.raises(NotComparable, match="no report"):
            await compare_report(runtime, details.file_id, ACTOR)
        assert isinstance(await compare_file(runtime, details.file_id, ACTOR), Compared)
        assert report.file_id not in await runtime.stores.evidence.files_to_compare()
        [name] = await runtime.stores.evidence.batches_of(details.file_id)
        assert await runtime.stores.evidence.batch(batch_id_of(name)) is None
