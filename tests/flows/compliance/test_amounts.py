"""Late money above an amount: one person asks, another approves, and it moves once. On a real database."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from tallystick.access.viewer import Viewer
from tallystick.domain.errors import TallystickError
from tallystick.flows.compliance import four_eyes
from tallystick.flows.compliance.amounts import NeedsSecondPerson, is_above
from tallystick.flows.compliance.approvable import APPROVABLE
from tallystick.flows.operations.acts import asked_act, recorded
from tallystick.flows.operations.late_money import accept
from tallystick.settings.load import Settings
from tests.support.approvals import World
from tests.support.console import inside_console
from tests.support.database import NewDatabase
from tests.support.late_money import declining_provider, late
from tests.support.settlement_days import balances

REASON = "the payer wants the goods"


@pytest.mark.parametrize(
    ("limit", "currency", "amount", "above"),
    [
        (None, "EUR", 10**9, False),
        ("EUR=1000", "EUR", 1_000, False),
        ("EUR=1000", "EUR", 1_001, True),
        ("EUR=1000", "USD", 1, True),
    ],
)
def test_what_is_above(limit: str | None, currency: str, amount: int, above: bool) -> None:
    assert is_above(replace(Settings(), second_person_above=limit), currency, amount) is above


async def test_what_is_above_moves_once_after_a_second_persons_word(
    new_database: NewDatabase, fresh_merchant: str
) -> None:
    async with inside_console(new_database(), declining_provider(), second_person_above="EUR=999") as console:
        world = World(console)
        runtime = world.runtime
        ada, bob, eve = [await world.person(name, "operator") for name in ("ada", "bob", "eve")]
        payment_id = await late(runtime, fresh_merchant)
        before = await balances(runtime, fresh_merchant)
        alone = asked_act(ada.actor, None, "late_money.accept", payment_id, REASON)
        with pytest.raises(NeedsSecondPerson):
            await accept(runtime, payment_id, alone, actor=ada.actor, reason=REASON)
        with pytest.raises(NeedsSecondPerson):
            await accept(runtime, payment_id, actor=ada.actor, reason=REASON)
        what = APPROVABLE["late_money.accept"]
        request = await four_eyes.ask(runtime, what, payment_id, {}, requested_by=ada.actor, reason=REASON)
        early = asked_act(ada.actor, request.request_id, "late_money.accept", payment_id, REASON)
        with pytest.raises(NeedsSecondPerson):
            await accept(runtime, payment_id, early, actor=ada.actor, reason=REASON)
        assert await balances(runtime, fresh_merchant) == before

        async def decide(viewer: Viewer) -> str:
            try:
                await four_eyes.decide(
                    runtime,
                    APPROVABLE,
                    request.request_id,
                    viewer,
                    approves=True,
                    seen_hash=request.shown_hash,
                    reason="asked the payer",
                )
            except TallystickError as error:
                return type(error).__name__
            return "done"

        ends = await asyncio.gather(decide(bob), decide(eve))
        assert "done" in ends
        after = await balances(runtime, fresh_merchant)
        assert after["merchant"] == -1_000, "given once"
        act = await recorded(runtime.stores.acts, early)
        assert (act.operator, act.idempotency_key) == (ada.actor, request.request_id)
        await four_eyes.finish(runtime, APPROVABLE, request.request_id)
        assert await balances(runtime, fresh_merchant) == after
