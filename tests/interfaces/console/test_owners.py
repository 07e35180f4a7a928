"""Who looks at what waits, where its row has no place for an owner: dead letters, attempts in doubt, late money."""

from __future__ import annotations

import asyncpg

from tests.support.console_record import filled, submit
from tests.support.database import NewDatabase


async def test_rows_are_taken_filtered_handed_on_and_given_back(new_database: NewDatabase) -> None:
    async with filled(new_database) as here:
        ada, grace = here.console.person("operator"), here.console.person("operator", operator_id="grace")
        first, second, third = here.scene.event_ids
        path = "/console/dead-letters"

        async def rows(who: str) -> set[str]:
            shown = (await ada.see(f"{path}?{who}")).text
            ids = {each for each in here.scene.event_ids if f"{path}/rows/{each}" in shown}
            assert f"<strong>{len(ids)} row" in shown or "No row has these filters" in shown, "the count is of the same"
            return ids

        one = (await ada.see(f"{path}/rows/{first}")).text
        assert "1 done" in (await submit(ada, one, f"{path}/take", reason="I know this one")).text
        assert "1 done before" in (await submit(ada, one, f"{path}/take", reason="I know this one")).text
        assert await rows("owner=operator:ada") == {first}
        assert await rows("owner=&nobody=1") == {second, third}
        assert "operator:ada" in (await ada.see(f"{path}/rows/{first}")).text

        everything = (await grace.see(f"{path}/take/preview", owner="", nobody="1")).text
        assert "2 rows" in everything
        assert "2 done" in (await submit(grace, everything, f"{path}/take", reason="the rest")).text
        theirs = (await grace.see(f"{path}/rows/{first}")).text
        refused = (await submit(grace, theirs, f"{path}/take", reason="mine")).text
        assert "1 refused" in refused and "operator:ada has it" in refused
        assert await rows("owner=operator:ada") == {first}

        handed = await submit(grace, theirs, f"{path}/hand-on", reason="she asked for it", owner="queue:disputes")
        assert "1 done" in handed.text and await rows("owner=queue:disputes") == {first}
        given = (await grace.see(f"{path}/rows/{second}")).text
        assert "1 done" in (await submit(grace, given, f"{path}/give-back", reason="not mine")).text
        assert await rows("owner=&nobody=1") == {second}
        assert (
            "nobody has it"
            in (
                await submit(
                    grace, (await grace.see(f"{path}/rows/{second}")).text, f"{path}/give-back", reason="twice"
                )
            ).text
        )
        connection = await asyncpg.connect(here.database.owner_url)
        try:
            acts = await connection.fetch(
                "SELECT act, count(*) FROM operator_act WHERE act LIKE 'work.%' GROUP BY act ORDER BY act"
            )
        finally:
            await connection.close()
        assert [tuple(each) for each in acts] == [("work.give_back", 1), ("work.hand_on", 1), ("work.take", 3)]


async def test_every_list_has_owners(new_database: NewDatabase) -> None:
    """Cases and alerts by acts of their own."""
    async with filled(new_database) as here:
        person = here.console.person("operator")
        items = {
            "dead-letters": (here.scene.event_ids[0], "take"),
            "in-doubt": (here.scene.in_doubt, "take"),
            "late-money": (here.scene.late, "take"),
            "cases": (here.scene.case_id, "acknowledge"),
            "alerts": (here.scene.alert_id, "acknowledge"),
        }
        for name, (item_id, take) in items.items():
            path = f"/console/{name}"
            shown = (await person.see(f"{path}/rows/{item_id}")).text
            assert "1 done" in (await submit(person, shown, f"{path}/{take}", reason="I look at it")).text, name
            assert '<span class="owner">operator:ada</span>' in (await person.see(path)).text, name


async def test_what_does_not_wait_is_nobodys(new_database: NewDatabase) -> None:
    async with filled(new_database, dead=1) as here:
        person, path = here.console.person("operator"), "/console/dead-letters"
        shown = (await person.see(f"{path}/rows/{here.scene.event_ids[0]}")).text
        await submit(person, shown, f"{path}/discard", reason="noise")
        for act in ("take", "hand-on", "give-back"):
            late = (await submit(person, shown, f"{path}/{act}", reason="late", owner="x")).text
            assert "1 refused" in late and "does not wait here any more" in late
