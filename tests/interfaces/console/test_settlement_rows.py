"""Rows that wait for a person's word, on the console: seen, previewed, said, written off, and above an amount approved
by somebody else."""

from __future__ import annotations

from pathlib import Path

from tallystick.access.viewer import Viewer
from tallystick.flows.compliance import four_eyes
from tallystick.flows.reconciliation.by_hand import look, target_of
from tallystick.oversight.console import WorkFilter, WorkReads
from tests.support.approvals import World
from tests.support.console import inside_console
from tests.support.console_record import submit
from tests.support.database import NewDatabase
from tests.support.letters import new_letters
from tests.support.runtime import BookedProvider
from tests.support.settlement_days import Acquirer, balances, paid, settled

PATH = "/console/settlement-rows"


async def newest(world: World, target: str) -> str:
    file_id, _, position = target.rpartition("/")
    row = await world.runtime.pool.fetchrow(
        "SELECT status, reason FROM settlement_evidence WHERE file_id = $1 AND position = $2"
        " ORDER BY version DESC LIMIT 1",
        file_id,
        int(position),
    )
    assert row is not None
    return f"{row['status']}: {row['reason']}"


async def test_a_row_is_said_to_be_a_payments_or_is_written_off(new_database: NewDatabase, tmp_path: Path) -> None:
    """One of 999 is a payment of 1,000 above the amount that one person may move; 77 is written off by one."""
    merchant = f"m{new_letters()}"
    async with inside_console(new_database(), BookedProvider(), second_person_above="EUR=500") as console:
        world = World(console)
        bob: Viewer = await world.person("bob", "operator")
        ada = console.person("operator")
        payment = await paid(world.runtime, merchant)
        file = Acquirer()
        file.of(payment, "charge", 999)
        file.row("riddle", 77)
        file_id, _, _ = await settled(world.runtime, file.text(), tmp_path)
        off, riddle = target_of(file_id, 1), target_of(file_id, 2)
        shown = (await ada.see(PATH)).text
        assert off in shown and riddle in shown and "unknown_type" in shown
        assert f'href="{PATH}?own=EUR"' in (await ada.see("/console")).text
        one = await ada.see(f"{PATH}/rows/{riddle}")
        assert one.status_code == 200 and "Write off" in one.text
        preview = (await ada.see(f"{PATH}/write-off/preview", ids=riddle)).text
        assert "1 row" in preview and riddle in preview
        assert "1 done" in (await submit(ada, preview, f"{PATH}/write-off", reason="nobody knows it")).text
        assert await newest(world, riddle) == "explained: person"
        preview = (await ada.see(f"{PATH}/match/preview", ids=off)).text
        said = {"subject": payment["id"], "writes_off_difference": "no", "reason": "by their letter"}
        assert "not written off" in (await submit(ada, preview, f"{PATH}/match", **said)).text
        preview = (await ada.see(f"{PATH}/match/preview", ids=off)).text
        asked = (await submit(ada, preview, f"{PATH}/match", **{**said, "writes_off_difference": "yes"})).text
        assert "1 asked for" in asked and await newest(world, off) == "mismatched: amount"
        [found] = await world.runtime.pool.fetch("SELECT request_id FROM approval_request")
        request = (await four_eyes.read(world.runtime, found["request_id"])).request  # type: ignore[union-attr]
        assert (request.shown["amount"], request.shown["written off"], request.shown["row"]) == (1000, -1, off)
        await world.decide(request, bob)
        assert await newest(world, off) == "explained: person"
        assert (await balances(world.runtime, merchant))["merchant_available"] == -1_000
        assert off not in (await ada.see(PATH)).text


async def test_what_many_rows_come_to_needs_a_second_person(new_database: NewDatabase, tmp_path: Path) -> None:
    """Of 300, -250 and 77 no one is above 600; together they are. 300 and 77 are not."""
    merchant = f"m{new_letters()}"
    async with inside_console(new_database(), BookedProvider(), second_person_above="EUR=600") as console:
        world = World(console)
        bob: Viewer = await world.person("bob", "operator")
        ada = console.person("operator")
        await paid(world.runtime, merchant)
        file = Acquirer()
        for amount in (300, -250, 77):
            file.row("riddle", amount)
        file_id, _, _ = await settled(world.runtime, file.text(), tmp_path)
        rows = [target_of(file_id, number) for number in (1, 2, 3)]
        preview = (await ada.see(f"{PATH}/write-off/preview", ids=",".join(rows))).text
        assert "a second person is asked about each" in preview
        for _ in range(2):
            answer = (await submit(ada, preview, f"{PATH}/write-off", reason="nobody knows them")).text
            assert "3 asked for" in answer
        assert [await newest(world, row) for row in rows] == ["unexplained: unknown_type"] * 3
        found = await world.runtime.pool.fetch("SELECT request_id FROM approval_request WHERE target = $1", rows[1])
        [request] = [await world.runtime.stores.approvals.find(row["request_id"]) for row in found]
        assert request is not None
        await world.decide(request, bob)
        assert await newest(world, rows[1]) == "explained: person"
        answer = (await submit(ada, preview, f"{PATH}/write-off", reason="nobody knows them")).text
        assert "1 done before" in answer and "2 asked for" in answer, "what is left of a form is judged as the form was"
        preview = (await ada.see(f"{PATH}/write-off/preview", ids=",".join((rows[0], rows[2])))).text
        assert "a second person is asked" not in preview
        assert "2 done" in (await submit(ada, preview, f"{PATH}/write-off", reason="nobody knows them")).text
        assert [await newest(world, row) for row in rows] == ["explained: person"] * 3


async def test_many_rows_are_judged_by_what_each_moves(new_database: NewDatabase, tmp_path: Path) -> None:
    """Two rows of 1 that name captures of 900: each moves 900 and no more than 1,000, and together they move 1,800. So
    do two rows of 2 that name nothing, as soon as somebody says which payment of 900 they are."""
    merchant = f"m{new_letters()}"
    async with inside_console(new_database(), BookedProvider(), second_person_above="EUR=1000") as console:
        world = World(console)
        await world.person("bob", "operator")
        ada = console.person("operator")
        payment = await paid(world.runtime, merchant, 900)
        file = Acquirer()
        for _ in range(2):
            file.of(await paid(world.runtime, merchant, 900), "charge", 1)
        for _ in range(2):
            file.row("riddle", 2)
        file_id, _, _ = await settled(world.runtime, file.text(), tmp_path)
        rows = [target_of(file_id, number) for number in (1, 2, 3, 4)]
        book = WorkReads(world.runtime.pool)
        listed = await book.page("settlement_rows", WorkFilter(), None, 10, ids=rows)
        alone = [(await look(world.runtime, each.item_id, {}))["amount"] for each in listed]
        assert [each.moves for each in listed] == alone == [900, 900, 2, 2]
        preview = (await ada.see(f"{PATH}/write-off/preview", ids=",".join(rows[:2]))).text
        assert "a second person is asked about each" in preview and "18.00" in preview
        for _ in range(2):
            answer = (await submit(ada, preview, f"{PATH}/write-off", reason="nobody knows them")).text
            assert "2 asked for" in answer
        preview = (await ada.see(f"{PATH}/match/preview", ids=",".join(rows[2:]))).text
        assert "a second person is asked" not in preview, "nobody has said yet what they are"
        said = {"subject": payment["id"], "writes_off_difference": "yes", "reason": "by their letter"}
        assert "2 asked for" in (await submit(ada, preview, f"{PATH}/match", **said)).text
        assert [await newest(world, row) for row in rows[2:]] == ["unexplained: unknown_type"] * 2
        preview = (await ada.see(f"{PATH}/match/preview", ids=rows[2])).text
        assert "1 done" in (await submit(ada, preview, f"{PATH}/match", **said)).text, "one of them is not too much"
