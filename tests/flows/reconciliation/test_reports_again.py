"""A report that posts nothing is compared again: what its webhook brings later is the row's next evidence."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from tallystick.domain.notices import RefundNotice
from tallystick.domain.report_evidence import OpenReport
from tallystick.flows.reconciliation.reports import compare_report, compare_report_again
from tallystick.flows.reconciliation.worker import ReconciliationWorker
from tallystick.flows.runtime import Runtime
from tests.support.database import Database
from tests.support.inbox import PATIENT_WEBHOOKS, accept, drain, envelope
from tests.support.letters import new_letters
from tests.support.runtime import BookedProvider, runtime_of
from tests.support.settlement_days import ACTOR, paid
from tests.support.settlement_imports import imported

HOUR_MS = 3_600_000

#: How the report is imported.
WHERE: Final[dict[str, Any]] = {"provider": "simulator", "zone": "Europe/Amsterdam"}

HEADER: Final = (
    "Company Account,Merchant Account,Psp Reference,Merchant Reference,Payment Method,Booking Date,TimeZone,"
    "Main Currency,Main Amount,Record Type,Settlement Currency,Payable (SC),Commission (SC),Markup (SC),"
    "Modification Psp Reference"
)


def line(psp: str, modification: str, kind: str, amount: str, payable: str) -> str:
    return f"Shop,ShopEU,{psp},,visa,2026-03-02 10:00:01,CET,EUR,{amount},{kind},EUR,{payable},,,{modification}"


async def kept(runtime: Runtime, file_id: str) -> list[tuple[Any, ...]]:
    rows = await runtime.pool.fetch(
        "SELECT position, comparison, status FROM report_evidence WHERE file_id = $1 ORDER BY 1, 2", file_id
    )
    return [tuple(row) for row in rows]


async def comparisons(runtime: Runtime, file_id: str) -> list[tuple[Any, ...]]:
    rows = await runtime.pool.fetch(
        "SELECT comparison, rows, open_rows FROM report_comparison WHERE file_id = $1 ORDER BY 1", file_id
    )
    return [tuple(row) for row in rows]


async def test_what_a_webhook_brings_later_is_the_next_evidence(
    database: Database, fresh_merchant: str, tmp_path: Path
) -> None:
    """A capture that is known, a refund whose webhook comes after the report, and a payment of a stranger."""
    async with (
        runtime_of(database.app_url, BookedProvider(), settings=PATIENT_WEBHOOKS) as runtime,
        runtime_of(database.app_url, BookedProvider()) as other,
    ):
        made, name = await paid(runtime, fresh_merchant), f"x{new_letters()}"
        stranger = f"x{new_letters()}"
        text = "\n".join(
            [
                HEADER,
                line(made["charge"], made["effect"], "Settled", "10.00", "10.00"),
                line(made["charge"], name, "Refunded", "4.00", "-4.00"),
                line(stranger, stranger, "Settled", "5.00", "5.00"),
                "",
            ]
        )
        file = (
            await imported(runtime, text, tmp_path, name=f"{new_letters()}.csv", format="adyen_accounting", **WHERE)
        ).file
        assert (await compare_report(runtime, file.file_id, ACTOR)).rows == 3
        first = [(1, 1, "matched"), (2, 1, "unexplained"), (3, 1, "unexplained")]
        assert await kept(runtime, file.file_id) == first
        loaded = await runtime.reads.load(fresh_merchant, made["id"])
        assert loaded is not None
        notice = RefundNotice(reference=name, amount=400, currency="EUR")
        await accept(database, [envelope(new_letters(), notice, payment=loaded.stored.payment)])
        await drain(runtime, fresh_merchant)
        await ReconciliationWorker(runtime).round()
        assert await comparisons(runtime, file.file_id) == [(1, 3, 2)], "it was compared just now"
        runtime.clock.shift_ms = HOUR_MS
        worker = ReconciliationWorker(runtime)
        await worker.round()
        assert dict(worker.compared)[file.file_id].by_reason == {("matched", "same"): 1}
        assert await kept(runtime, file.file_id) == [*first[:2], (2, 2, "matched"), first[2]]
        shown = await runtime.stores.report_evidence.of_file(file, 10)
        assert shown is not None and [(each.status, each.rows) for each in shown.counts] == [
            ("matched", 2),
            ("unexplained", 1),
        ]
        assert [each.position for each in shown.exceptions] == [3]
        await asyncio.gather(*(compare_report_again(each, file.file_id, ACTOR, 2) for each in (runtime, other)))
        await ReconciliationWorker(other, at_once=True).round()
        assert await comparisons(runtime, file.file_id) == [(1, 3, 2), (2, 1, 1), (3, 0, 1), (4, 0, 1)]
        assert await kept(runtime, file.file_id) == [*first[:2], (2, 2, "matched"), first[2]]


@pytest.mark.parametrize(
    ("first_to_last_h", "waited_h", "is_due"),
    [(0, 0.9, False), (0, 1, True), (1, 1, True), (5, 4.9, False), (5, 5, True), (900, 23.9, False), (900, 24, True)],
)
def test_when_it_is_compared_again(first_to_last_h: float, waited_h: float, is_due: bool) -> None:
    first = datetime(2026, 3, 2, tzinfo=UTC)
    last = first + timedelta(hours=first_to_last_h)
    found = OpenReport(file_id="stl_x", comparison=2, first_at=first, last_at=last)
    assert found.is_due(last + timedelta(hours=waited_h)) is is_due
