"""What one person moves alone in a day by acts of reconciliation: small acts count together, whoever races whom."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import date
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tallystick.domain.operator_act import AskedAct, OperatorAct
from tallystick.flows.compliance.amounts import NeedsSecondPerson
from tallystick.flows.compliance.approvable import ask_second_person, done_for
from tallystick.flows.operations.acts import once
from tallystick.flows.reconciliation.by_hand import resolve, target_of
from tallystick.flows.reconciliation.withdrawing import withdraw
from tallystick.flows.reconciliation.worker import ReconciliationWorker
from tallystick.flows.runtime import Runtime
from tallystick.record.postgres.moved_alone import MovedAlone, MovedOn
from tests.support.acts import asked
from tests.support.approvals import World
from tests.support.console import inside_console
from tests.support.database import Database, NewDatabase
from tests.support.letters import new_letters
from tests.support.runtime import SETTINGS, BookedProvider, runtime_of
from tests.support.settlement_days import ACTOR, Acquirer, settled
from tests.support.settlement_imports import imported, stripe_payout, stripe_rows

DAY_MS = 86_400_000


def to_noon(runtime: Runtime) -> None:
    """No act of a test is beyond midnight."""
    now = runtime.clock.now()
    noon = now.replace(hour=12, minute=0, second=0, microsecond=0)
    runtime.clock.shift_ms = int((noon - now).total_seconds() * 1_000)


def written_off(operator: str, file_id: str, position: int) -> AskedAct:
    return asked("settlement_row.write_off", target_of(file_id, position), new_letters(), operator=operator)


def of_file(operator: str, file_id: str) -> AskedAct:
    return asked("settlement_file.withdraw", file_id, new_letters(), operator=operator)


async def done(runtime: Runtime, act: AskedAct) -> OperatorAct:
    do = withdraw if act.act == "settlement_file.withdraw" else resolve
    return (await once(runtime.stores.acts, act, lambda: do(runtime, act)))[0]


async def moved(runtime: Runtime, operator: str) -> Mapping[str, int]:
    """What the operator moved alone, by currency, on whichever days."""
    rows = await runtime.pool.fetch(
        "SELECT currency, sum(amount)::bigint AS n FROM moved_alone WHERE operator = $1 GROUP BY currency", operator
    )
    return {row["currency"]: row["n"] for row in rows}


async def test_small_acts_count_together(new_database: NewDatabase, tmp_path: Path) -> None:
    """400 and 300 of 700; then 1 is too much, for this person and this day. A second person lets it be done, and it
    counts nothing. A file with all of it is too much, whoever asks."""
    async with inside_console(new_database(), BookedProvider(), second_person_above_a_day="EUR=700") as console:
        world = World(console)
        ada, bob = [await world.person(name, "operator") for name in ("ada", "bob")]
        runtime, file = world.runtime, Acquirer()
        for amount in (400, 300, 1, -2, 3):
            file.row("riddle", amount)
        file.row("riddle", 1, currency="USD")
        file_id, _, _ = await settled(runtime, file.text(), tmp_path)
        to_noon(runtime)
        for position in (1, 2):
            await done(runtime, written_off(ada.actor, file_id, position))
        too_much = written_off(ada.actor, file_id, 3)
        with pytest.raises(NeedsSecondPerson, match="701 EUR"):
            await done(runtime, too_much)
        with pytest.raises(NeedsSecondPerson, match="1 USD"):
            await done(runtime, written_off(bob.actor, file_id, 6))
        await done(runtime, written_off(bob.actor, file_id, 4))
        with pytest.raises(NeedsSecondPerson, match="708 EUR"):
            await done(runtime, of_file(bob.actor, file_id))
        runtime.clock.shift_ms += DAY_MS
        request = await ask_second_person(runtime, too_much)
        await world.decide(request, bob)
        assert await done_for(runtime, too_much) is not None
        await done(runtime, written_off(ada.actor, file_id, 5))
        assert (await moved(runtime, ada.actor), await moved(runtime, bob.actor)) == ({"EUR": 703}, {"EUR": 2})


async def test_of_two_acts_at_once_both_do_not_slip_under(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files of two providers, which take no turns with each other: 600, and 2,000 with its payout, of 2,500. The second
    is withdrawn while the first act has looked at the sum, and has not written yet."""
    settings = dataclasses.replace(SETTINGS, second_person_above_a_day="USD=2500")
    async with runtime_of(database.app_url, BookedProvider(), settings=settings) as runtime:
        to_noon(runtime)
        file, operator, payout = Acquirer(), f"key:{new_letters()}", f"po_{new_letters()}"
        file.row("riddle", 600, currency="USD")
        first, _, _ = await settled(runtime, file.text(), tmp_path)
        content = stripe_rows(1, payout)
        second = (await imported(runtime, content, tmp_path, name=f"{payout}.csv")).file.file_id
        total = await imported(runtime, stripe_payout("10.00", payout), tmp_path, name=f"{payout}_total.csv")
        while await ReconciliationWorker(runtime, ACTOR).round():
            pass
        really, looks = MovedAlone.on, count(1)

        async def looked(self: MovedAlone, operator: str, day: date, currencies: Any) -> Mapping[str, MovedOn]:
            found = await really(self, operator, day, currencies)
            if next(looks) == 2:  # in the transaction of the first act
                await done(runtime, of_file(operator, total.file.file_id))
            return found

        monkeypatch.setattr(MovedAlone, "on", looked)
        with pytest.raises(NeedsSecondPerson, match="2600 USD"):
            await done(runtime, of_file(operator, first))
        states = {
            file_id: await runtime.pool.fetchval("SELECT state FROM settlement_file WHERE file_id = $1", file_id)
            for file_id in (first, second)
        }
        assert states == {first: "imported", second: "withdrawn"}
        assert await moved(runtime, operator) == {"USD": 2_000}
