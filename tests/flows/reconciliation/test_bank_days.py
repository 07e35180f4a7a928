"""The acquirer's days as our bank tells of them: each defect is named as what it is, in the layer where it is, and in
each layer the causes come to the difference of the balances, to the unit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tallystick.decisions.statement_continuity import breaks
from tallystick.flows.runtime import Runtime
from tallystick.oversight.layers import Layer, layers_of
from tallystick.record.postgres.bank_book import statement_heads
from tests.support.acquirer import AcquirerProcess, acquirer
from tests.support.acquirer_days import reconciled, runtime_at
from tests.support.database import Database
from tests.support.inbox import assert_invariants
from tests.support.letters import new_letters
from tests.support.settlement_days import paid

AMOUNT: Final = 10_000

#: What a payment comes to: less 1.4 % and 0.25.
NET: Final = AMOUNT - 165

#: Layer, cause -> amount in minor units, worked out by hand. After each day one payment of AMOUNT was paid out.
Named = dict[tuple[str, str], int]
DAYS: Final[list[tuple[list[str], Named]]] = [
    ([], {}),
    (["two_payouts"], {}),
    (["payout_in_two_entries"], {}),
    (["negative_batch"], {}),  # 1,000 less than nothing is carried to the next day
    (["payout_not_arrived"], {("payouts", "not_arrived"): -(NET - 1_000)}),
    (["entry_doubled"], {("entries", "mismatched: duplicate"): NET}),
    (["entry_of_other_amount"], {("payouts", "mismatched: amount"): -100}),
    (["manual_payout"], {("entries", "unexplained: not_settled"): 200}),
    (["statement_twice"], {("stated_balance", "opening"): -200}),  # what was paid out by hand is in no statement
    (["statement_gap"], {("payouts", "not_arrived"): -NET}),
    ([], {("stated_balance", "gap"): NET}),
]


@pytest.fixture
def running(tmp_path: Path) -> Iterator[AcquirerProcess]:
    with acquirer(tmp_path / "books.sqlite") as process:
        yield process


async def named(runtime: Runtime, account: str) -> Named:
    """What the causes come to. In each layer they are the whole difference of the balances."""
    layers: list[Layer] = [*await layers_of(runtime.stores.balances, "simulator")]
    about = f"bank:{account}"
    layers += [each for each in await layers_of(runtime.stores.balances, "bank") if each.about == about]
    found: Named = {}
    for each in layers:
        assert each.unexplained_remainder == 0, each
        assert each.difference == each.theirs - each.ours == sum(cause.amount for cause in each.causes)
        for cause in each.causes:
            if each.currency == "EUR":
                found[each.layer, cause.cause] = found.get((each.layer, cause.cause), 0) + cause.amount
    return found


@pytest.mark.parametrize("written", ["camt053", "mt940"])
async def test_each_defect_of_a_bank_is_named(
    database: Database, fresh_merchant: str, running: AcquirerProcess, tmp_path: Path, written: str
) -> None:
    account = new_letters()
    async with runtime_at(database, running) as runtime:
        for number, (defects, expected) in enumerate(DAYS):
            before = await named(runtime, account)
            await paid(runtime, fresh_merchant, AMOUNT)
            status, day = await running.acall("POST", "/sim/settlements", {"defects": defects, "formats": [written]})
            assert status == 200, day
            [own, *statements] = sorted(day["files"], key=lambda name: not name.endswith(".csv"))
            await reconciled(runtime, running, [own], tmp_path)
            await reconciled(runtime, running, statements, tmp_path, provider="bank", account=account)
            after = await named(runtime, account)
            grown = {name: after.get(name, 0) - before.get(name, 0) for name in {*before, *after}}
            assert {name: amount for name, amount in grown.items() if amount} == expected, f"day {number}: {defects}"
        heads = [each for each in await statement_heads(runtime.pool) if each.account == account]
        assert [each.kind for each in breaks(heads)] == ["gap", "doubled"]
    await assert_invariants(database, fresh_merchant)
