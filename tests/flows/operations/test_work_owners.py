"""Who has a piece of work, where two people act on it at the same moment."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tallystick.domain.operator_act import AskedAct
from tallystick.domain.work_owner import NotOwned
from tallystick.flows.operations import work_owners
from tallystick.flows.runtime import Runtime
from tallystick.kit.clock import utc_now
from tallystick.kit.ids import new_id
from tallystick.record.postgres.work_lists import WorkItem
from tests.support.acts import asked
from tests.support.database import Database
from tests.support.runtime import BookedProvider, runtime_of

KIM, INES = "operator:kim", "operator:ines"


async def test_nobody_gives_back_what_somebody_else_has_by_now(
    database: Database, fresh_merchant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was handed on after it was looked at, and before it is given back."""
    async with runtime_of(database.app_url, BookedProvider()) as runtime:
        seen = WorkItem(
            item_id=new_id("pay"),
            merchant_id=fresh_merchant,
            payment_id=None,
            provider=None,
            kind="captured",
            state="captured",
            says=None,
            since=utc_now(),
            place=utc_now(),
            amount=None,
            currency=None,
            tries=0,
            owner=KIM,
        )

        async def as_seen(*_: object) -> WorkItem:
            return seen

        monkeypatch.setattr(work_owners, "waiting_item", as_seen)

        def wanted(name: str, by: str) -> AskedAct:
            return asked(name, seen.item_id, operator=by)  # type: ignore[arg-type]  # names of acts

        await work_owners.take(runtime, wanted("work.take", KIM), "late_money")
        await _handed_on(runtime, wanted("work.hand_on", KIM), seen)
        with pytest.raises(NotOwned, match="operator:kim does not have it any more"):
            await work_owners.give_back(runtime, wanted("work.give_back", KIM), "late_money")
        assert await _owner(runtime, seen) == INES
        seen = replace(seen, owner=INES)
        await work_owners.give_back(runtime, wanted("work.give_back", INES), "late_money")
        assert await _owner(runtime, seen) is None
        seen = replace(seen, owner=None)
        with pytest.raises(NotOwned, match="nobody has it"):
            await work_owners.give_back(runtime, wanted("work.give_back", INES), "late_money")


async def _handed_on(runtime: Runtime, wanted: AskedAct, item: WorkItem) -> None:
    act = wanted.done({}, runtime.clock.now(), merchant_id=item.merchant_id)
    assert await runtime.stores.work_owners.hand_on("late_money", INES, act)


async def _owner(runtime: Runtime, item: WorkItem) -> str | None:
    return (await runtime.stores.work_owners.of("late_money", [item.item_id])).get(item.item_id)
