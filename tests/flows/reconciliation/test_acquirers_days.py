"""A day at the test acquirer, a program with books of its own: each defect of its file is named as what it is, to the
unit. What each comes to was written down before there was a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tallystick.flows.runtime import Runtime
from tallystick.kit.ids import new_id
from tests.support.acquirer import AcquirerProcess, acquirer
from tests.support.acquirer_days import Causes, causes, closed, grown, reconciled, runtime_at
from tests.support.database import Database
from tests.support.inbox import assert_invariants
from tests.support.runtime import Client, read

#: The day: charges of 10.00 to 60.00 EUR, and 4.00 of the first one refunded. So the first charge has two entries, and
#: a defect is about the second one, of 20.00.
CHARGES: Final = (1_000, 2_000, 3_000, 4_000, 5_000, 6_000)
REFUND: Final = 400

_DIFFERS: Final = "rows whose amount differs"

#: Fees are 39 + 53 + 67 + 81 + 95 + 109 = 444; the day comes to 21,000 - 400 - 444 = 20,156.
EXPECTED: Final[dict[str, Causes]] = {
    "none": {},
    "missing_row": {("EUR", "no_row", "capture"): (-2_000, 1)},
    "doubled_row": {("EUR", "mismatched: duplicate", _DIFFERS): (2_000, 1)},
    "off_by_one": {("EUR", "mismatched: amount", _DIFFERS): (1, 1)},
    "wrong_fee": {("EUR", "fees: not as agreed", "charged above or below the schedule"): (-7, 1)},
    "other_currency": {
        ("EUR", "no_row", "capture"): (-2_000, 1),
        ("USD", "mismatched: currency", _DIFFERS): (2_000, 1),
    },
    "unknown_type": {("EUR", "unexplained: unknown_type", _DIFFERS): (321, 1)},
    "late_row": {("EUR", "no_row", "capture"): (-2_000, 1)},
    "negative_batch": {
        ("EUR", "explained: reserve", _DIFFERS): (-21_156, 1),
        ("EUR", "explained: carry", _DIFFERS): (1_000, 1),
    },
    "file_twice": {},
    "regenerated": {},
    "corrected": {},
    "missing": {
        ("EUR", "no_row", "capture"): (-21_000, 6),
        ("EUR", "no_row", "refund_succeeded"): (400, 1),
    },
    # Made by controls. No webhook told us: only the file knows.
    "reversed_refund": {("EUR", "mismatched: reference", _DIFFERS): (400, 1)},
    "chargeback_with_fee": {("EUR", "unexplained: not_in_record", _DIFFERS): (-2_000, 1)},
}

#: What each file is when it was imported, with what was known of it before.
FILES: Final = {
    "file_twice": [("imported", False), ("imported", True)],
    "regenerated": [("imported", False), ("imported", False)],
    "corrected": [("imported", False), ("conflict", False)],
    "missing": [],
}


@pytest.fixture
def running(tmp_path: Path) -> Iterator[AcquirerProcess]:
    with acquirer(tmp_path / "books.sqlite") as process:
        yield process


async def a_day(runtime: Runtime, merchant_id: str) -> list[dict[str, Any]]:
    """The payments of a day, and the refund of the first one."""
    client = Client(runtime, merchant_id)
    payments = [read(await client.create(new_id("req"), amount, payment_method="sim_ok")) for amount in CHARGES]
    assert {each["state"] for each in payments} == {"captured"}
    read(await client.refund(new_id("req"), payments[0]["id"], REFUND))
    return payments


async def by_controls(running: AcquirerProcess, name: str, payments: list[dict[str, Any]]) -> list[str]:
    """What the controls make of it; the defects that are left for the file."""
    if name == "reversed_refund":
        operations = (await running.acall("GET", "/sim/operations"))[1]["data"]
        refund = next(each for each in operations if each["operation"] == "refund")
        assert (await running.acall("POST", f"/sim/operations/{refund['reference']}/fail"))[0] == 200
        return []
    if name == "chargeback_with_fee":
        charge = payments[1]["provider_reference"]
        dispute = (await running.acall("POST", f"/sim/charges/{charge}/dispute", {}))[1]
        assert (await running.acall("POST", f"/sim/disputes/{dispute['dispute_id']}/withdraw"))[0] == 200
        return []
    return [] if name == "none" else [name]


@pytest.mark.parametrize("name", EXPECTED)
async def test_a_defect_is_named_as_what_it_is(
    database: Database, fresh_merchant: str, running: AcquirerProcess, tmp_path: Path, name: str
) -> None:
    async with runtime_at(database, running) as runtime:
        before = await causes(runtime)
        payments = await a_day(runtime, fresh_merchant)
        day = await closed(running, *await by_controls(running, name, payments))
        done = await reconciled(runtime, running, day["files"], tmp_path)
        assert [(each.file.state, each.already) for each in done] == FILES.get(name, [("imported", False)])
        assert {batch.state for each in done for batch in each.batches} <= {"balanced"}
        assert grown(before, await causes(runtime)) == EXPECTED[name]
    await assert_invariants(database, fresh_merchant)


async def test_what_is_late_or_carried_comes_the_day_after(
    database: Database, fresh_merchant: str, running: AcquirerProcess, tmp_path: Path
) -> None:
    async with runtime_at(database, running) as runtime:
        before = await causes(runtime)
        await a_day(runtime, fresh_merchant)
        first = await closed(running, "late_row", "negative_batch")
        read(await Client(runtime, fresh_merchant).create(new_id("req"), 5_000, payment_method="sim_ok"))
        second = await closed(running)
        done = await reconciled(runtime, running, [*first["files"], *second["files"]], tmp_path)
        assert [batch.net + batch.paid_out for each in done for batch in each.batches] == [0, 0]
        # 20,156 less the late one's 2,000 - 53 is 18,209, and 1,000 more is kept back; 1,000 is carried over and back.
        assert grown(before, await causes(runtime)) == {
            ("EUR", "explained: carry", _DIFFERS): (0, 2),
            ("EUR", "explained: reserve", _DIFFERS): (-19_209, 1),
        }
    await assert_invariants(database, fresh_merchant)
