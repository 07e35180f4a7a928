"""A settlement file that was posted is withdrawn by several people: asked for over HTTP, decided on what was shown, and
carried out once, also where the process of whoever approved died. Any other end of a request does nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from msgspec.structs import replace

from tallystick.access.accounts import insert_version
from tallystick.access.key_store import OPERATORS, create_key
from tallystick.access.viewer import Viewer
from tallystick.flows.compliance import four_eyes
from tallystick.flows.compliance.approvable import ask_second_person
from tallystick.flows.compliance.approved_acts import PATIENCE, ApprovedActs
from tallystick.flows.compliance.four_eyes import ApprovalRequest, NotDecided
from tallystick.flows.operations.acts import asked_act
from tallystick.kit.ids import new_id
from tests.support.api import inside
from tests.support.approvals import World
from tests.support.console import inside_console
from tests.support.database import Database, NewDatabase
from tests.support.rows_by_hand import done
from tests.support.runtime import BookedProvider
from tests.support.settlement_days import Acquirer, balances, paid, settled

ABOVE = "EUR=399"

DAY_MS = 86_400_000

#: The merchant's balances: with the capture settled, and with the capture that no file has.
AVAILABLE = {"settled:simulator": 400, "merchant_available": -400}
WAITS = {"provider:simulator": 400, "merchant": -400}


class Posted(NamedTuple):
    """A posted file with a capture of 400, and a row of 1 that nobody knows; and people who may approve."""

    world: World
    people: list[Viewer]
    file_id: str

    async def asked(self, key: str) -> ApprovalRequest:
        """The first person asks for the withdrawal."""
        act = asked_act(self.people[0].actor, key, "settlement_file.withdraw", self.file_id, "a wrong account")
        return await ask_second_person(self.world.runtime, act)

    async def ended(self, request: ApprovalRequest) -> str:
        """How the request ended."""
        outcome = await self.world.runtime.stores.approvals.outcome(request.request_id)
        return "waits" if outcome is None else outcome.outcome

    async def is_withdrawn(self) -> bool:
        """Whether it is, wholly: the file's state and the merchant's balances say the same, and one act says so."""
        pool = self.world.runtime.pool
        state = await pool.fetchval("SELECT state FROM settlement_file WHERE file_id = $1", self.file_id)
        acts = await pool.fetchval("SELECT count(*) FROM operator_act WHERE act = 'settlement_file.withdraw'")
        assert (state, acts) in (("imported", 0), ("withdrawn", 1))
        expected = WAITS if state == "withdrawn" else AVAILABLE
        assert await balances(self.world.runtime, "shop") == expected
        return bool(state == "withdrawn")


@asynccontextmanager
async def posted(database: Database, where: Path) -> AsyncIterator[Posted]:
    async with inside_console(database, BookedProvider(), second_person_above=ABOVE) as console:
        world = World(console)
        people = [await world.person(name, "operator") for name in ("ada", "bob")]
        file = Acquirer()
        file.of(await paid(world.runtime, "shop", 400), "charge", 400)
        file.row("riddle", 1)
        file_id, _, _ = await settled(world.runtime, file.text(), where)
        yield Posted(world, people, file_id)


async def test_two_people_withdraw_what_a_key_asks_for(new_database: NewDatabase, tmp_path: Path) -> None:
    database = new_database()
    async with (
        posted(database, tmp_path) as file,
        inside(database, "shop", BookedProvider(), second_person_above=ABOVE) as api,
    ):
        key = await create_key(database.app_url, OPERATORS, operator=True)
        under = {"Authorization": f"Bearer {key}", "Idempotency-Key": new_id("req")}
        path, body = f"/v1/settlement-files/{file.file_id}/withdraw", {"reason": "a wrong account"}
        first, again = [await api.client.post(path, json=body, headers=under) for _ in range(2)]
        assert (first.status_code, first.json()["code"]) == (409, "approval_needed")
        assert first.json()["detail"] == again.json()["detail"], "it is one request"
        found = await four_eyes.read(file.world.runtime, first.json()["detail"].split()[-1].rstrip("."))
        assert found is not None
        assert (found.request.needed, found.request.shown["amounts"]) == (2, {"EUR": 401})
        for person in file.people:
            assert not await file.is_withdrawn()
            await file.world.decide(found.request, person)
        assert await file.is_withdrawn()
        answer = await api.client.post(path, json=body, headers=under)
        assert (answer.status_code, answer.json()["result"]["rows"]) == (200, 2)
        assert await file.is_withdrawn()


async def test_a_request_that_is_not_approved_as_it_was_shown_does_nothing(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    async with posted(new_database(), tmp_path) as file:
        runtime, (ada, bob) = file.world.runtime, file.people
        request = await file.asked("one")
        assert (request.needed, request.shown["amounts"]) == (1, {"EUR": 401})
        with pytest.raises(NotDecided, match="somebody else"):
            await file.world.decide(request, ada)
        await file.world.decide(request, bob, approves=False)
        with pytest.raises(NotDecided, match="ended: rejected"):
            await file.world.decide(request, bob)

        changed = await file.asked("two")
        await done(runtime, file.file_id, 2)  # a person says something of a row in between
        with pytest.raises(NotDecided, match="has changed"):
            await file.world.decide(changed, bob)

        late = await file.asked("three")
        runtime.clock.shift_ms = 8 * DAY_MS
        with pytest.raises(NotDecided, match="expired"):
            await file.world.decide(late, bob)
        assert await ApprovedActs(runtime).round() == 0
        assert [await file.ended(each) for each in (request, changed, late)] == ["rejected", "void", "expired"]
        assert not await file.is_withdrawn()


async def test_workers_carry_out_once_what_was_approved(new_database: NewDatabase, tmp_path: Path) -> None:
    """The process of whoever approved died before the act. Another request for the same file was approved as well, and
    finds nothing to do."""
    async with posted(new_database(), tmp_path) as file:
        runtime, request, other = file.world.runtime, await file.asked("one"), await file.asked("two")
        for seconds, each in enumerate((request, other)):
            await runtime.pool.execute(
                "INSERT INTO approval_outcome (request_id, outcome, detail, at) VALUES ($1, 'approved', 'bob', $2)",
                each.request_id,
                runtime.clock.now() + seconds * PATIENCE / 10,
            )
        assert await ApprovedActs(runtime).round() == 0, "whoever approved is at it"
        with pytest.raises(NotDecided, match="a worker carries it out"):
            await file.asked("one")
        assert not await file.is_withdrawn()
        runtime.clock.shift_ms = int(2 * PATIENCE.total_seconds() * 1_000)
        workers = [ApprovedActs(runtime), ApprovedActs(runtime)]
        await asyncio.gather(*(each.round() for each in workers))
        assert await file.is_withdrawn()
        assert [await each.round() for each in workers] == [0, 0]
        act = await runtime.stores.acts.find(file.people[0].actor, request.request_id)
        assert act is not None and act.target == file.file_id


async def test_workers_carry_out_nothing_but_what_was_shown_and_for_nobody_who_may_not(
    new_database: NewDatabase, tmp_path: Path
) -> None:
    """The act was approved, and its process died. Then a person says something of a row; or who asked is locked."""
    async with posted(new_database(), tmp_path) as file:
        runtime, ada = file.world.runtime, file.people[0]
        changed = await file.asked("one")
        await runtime.pool.execute(
            "INSERT INTO approval_outcome (request_id, outcome, detail, at) VALUES ($1, 'approved', 'bob', $2)",
            changed.request_id,
            runtime.clock.now(),
        )
        await done(runtime, file.file_id, 2)
        locked = await file.asked("two")
        await runtime.pool.execute(
            "INSERT INTO approval_outcome (request_id, outcome, detail, at) VALUES ($1, 'approved', 'bob', $2)",
            locked.request_id,
            runtime.clock.now(),
        )
        newest = await runtime.stores.accounts.find(ada.operator_id)
        assert newest is not None
        await insert_version(runtime.pool, replace(newest, version=newest.version + 1, state="disabled"))
        runtime.clock.shift_ms = int(2 * PATIENCE.total_seconds() * 1_000)
        assert await ApprovedActs(runtime).round() == 0
        assert not await file.is_withdrawn()
