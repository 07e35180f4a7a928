"""Days of settlement at the test acquirer: payments there, the day closed, its files imported, compared and posted."""

from __future__ import annotations

import asyncio
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, Final

from tallystick.domain.fee_schedule import FeeRate, StatedSchedule
from tallystick.flows.assembly import open_runtime
from tallystick.flows.reconciliation.fee_schedules import set_schedule
from tallystick.flows.reconciliation.files import Imported
from tallystick.flows.reconciliation.worker import ReconciliationWorker
from tallystick.flows.runtime import Runtime
from tallystick.oversight.differences import differences
from tallystick.providers.simulator.setup import SimulatorSettings
from tests.support.acquirer import AcquirerProcess
from tests.support.acts import asked
from tests.support.database import Database
from tests.support.runtime import SETTINGS
from tests.support.settlement_imports import imported

#: What the acquirer takes, as it was agreed: 1.4 % and 0.25 of a charge, 15.00 of a dispute.
RATES: Final = tuple(
    rate
    for currency in ("EUR", "USD")
    for rate in (
        FeeRate(currency=currency, parts_per_million=14_000, fixed=25),
        FeeRate(kinds=("dispute",), currency=currency, fixed=1_500),
    )
)

#: A mapping file for the acquirer's table of a company's own.
GENERIC_MAPPING: Final = """
delimiter = ";"
decimal_mark = ","
date_format = "%d.%m.%Y"
complete_batches = true

[columns]
id = "Beleg"
type = "Art"
booked_at = "Datum"
gross = "Betrag"
fee = "Gebühr"
currency = "Währung"
payment_reference = "Zahlung"
reference = "Vorgang"
batch = "Abrechnung"

[kinds]
charge = "charge"
charge_reversal = "charge_reversal"
refund = "refund"
refund_reversal = "refund_reversal"
dispute = "dispute"
dispute_reversal = "dispute_reversal"
reserve = "reserve"
carry = "carry"
payout = "payout"
"""

#: Whatever a busy machine does, the acquirer answers by then.
PATIENT_MS: Final = 60_000

#: Currency, cause, detail -> amount and count.
Causes = dict[tuple[str, str, str], tuple[int, int]]


@asynccontextmanager
async def runtime_at(database: Database, running: AcquirerProcess) -> AsyncIterator[Runtime]:
    """A runtime whose provider is that acquirer, with its fees agreed."""
    patient = replace(
        SETTINGS,
        provider_request_timeout_ms=PATIENT_MS,
        provider_connect_timeout_ms=PATIENT_MS,
        send_window_ms=PATIENT_MS,
    ).with_connector(SimulatorSettings, url=running.url)
    async with open_runtime(patient, database.app_url) as runtime:
        stated = StatedSchedule(valid_from=date(2026, 1, 1), rates=RATES)
        await set_schedule(runtime, asked("fee_schedule.set", "simulator/main"), stated)
        yield runtime


async def closed(running: AcquirerProcess, *defects: str, formats: Sequence[str] = ()) -> dict[str, Any]:
    """The day as the acquirer closes it, its first file in other formats as well."""
    asked_for = {"defects": list(defects)} | ({"formats": list(formats)} if formats else {})
    status, day = await running.acall("POST", "/sim/settlements", asked_for)
    assert status == 200, day
    return day


def content(running: AcquirerProcess, name: str) -> bytes:
    """One of its files."""
    with urllib.request.urlopen(f"{running.url}/sim/settlements/files/{name}", timeout=30) as answer:
        return bytes(answer.read())


async def reconciled(
    runtime: Runtime, running: AcquirerProcess, names: Sequence[str], where: Path, **wanted: Any
) -> list[Imported]:
    """The files imported in their order, compared and posted."""
    done = []
    for name in names:
        text = await asyncio.to_thread(content, running, name)
        done.append(await imported(runtime, text, where, name=name, **wanted))
        while await ReconciliationWorker(runtime).round():
            pass
    return done


async def causes(runtime: Runtime, provider: str = "simulator") -> dict[tuple[str, str, str], Counter[str]]:
    """Why files and record differ. The remainder is zero, always."""
    found: dict[tuple[str, str, str], Counter[str]] = {}
    for each in await differences(runtime.stores.evidence, provider):
        assert each.unexplained_remainder == 0, each
        assert each.difference == sum(cause.amount for cause in each.causes)
        for cause in each.causes:
            sums = {"amount": cause.amount, "count": cause.count, "absolute": cause.absolute}
            found.setdefault((each.currency, cause.cause, cause.detail), Counter()).update(sums)
    return found


def grown(before: dict[tuple[str, str, str], Counter[str]], after: dict[tuple[str, str, str], Counter[str]]) -> Causes:
    """What came to the causes, fees as agreed aside."""
    found: Causes = {}
    for name in sorted(before.keys() | after.keys()):
        was, now = before.get(name, Counter[str]()), after.get(name, Counter[str]())
        change = {each: now[each] - was[each] for each in ("amount", "absolute", "count")}
        if name[1] != "fees" and (change["amount"] or change["absolute"]):
            found[name] = (change["amount"], change["count"])
    return found
