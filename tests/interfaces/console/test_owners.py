"""Who looks at what waits: one way for all six lists. Owners are operators, or whoever took it for themselves."""

from __future__ import annotations

import asyncpg

from tests.support.console_record import Here, filled, submit
from tests.support.console_scene import Scene
from tests.support.database import NewDatabase


def one_of_each(scene: Scene) -> dict[str, str]:
    """A row of every list."""
    return {
        "dead-letters": scene.event_ids[1],
        "in-doubt": scene.in_doubt,
        "late-money": scene.late,
        "cases": scene.case_id,
        "alerts": scene.alert_id,
        "refused-webhooks": scene.refused_kind,
    }


async def has_colleagues(here: Here) -> None:
    """Operators in the record: of them only grace may act on everything."""
    for name, role, merchants in (
        ("grace", "operator", None),
        ("victor", "viewer", None),
        ("other-shops", "operator", ["other"]),
        ("shops", "operator", ["shop"]),
    ):
        await here.console.invite(role, operator_id=name, invitation=name, merchants=merchants)  # type: ignore[arg-type]


async def sql(here: Here, statement: str, *values: object) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(here.database.owner_url)
    try:
        return list(await connection.fetch(statement, *values))
    finally:
        await connection.close()


async def test_rows_are_taken_filtered_handed_on_and_given_back(new_database: NewDatabase) -> None:
    async with filled(new_database) as here:
        await has_colleagues(here)
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
        for who in ("owner=me", "owner=ada", "owner=operator:ada", "owner=me&age=1d"):
            assert await rows(who) == ({first} if "age" not in who else set()), who
        assert await rows("owner=nobody") == {second, third}
        assert await rows("owner=nobody&kind=nothing") == set()

        everything = (await grace.see(f"{path}/take/preview", owner="nobody")).text
        assert "2 rows" in everything
        assert "2 done" in (await submit(grace, everything, f"{path}/take", reason="the rest")).text
        theirs = (await grace.see(f"{path}/rows/{first}")).text
        refused = (await submit(grace, theirs, f"{path}/take", reason="mine")).text
        assert "1 refused" in refused and "operator:ada has it" in refused
        assert await rows("owner=me") == {first}

        handed = await submit(ada, one, f"{path}/hand-on", reason="she asked for it", owner="operator:grace")
        assert "1 done" in handed.text and await rows("owner=grace") == {first, second, third}
        given = (await grace.see(f"{path}/rows/{second}")).text
        assert "1 done" in (await submit(grace, given, f"{path}/give-back", reason="not mine")).text
        assert await rows("owner=nobody") == {second}
        again = (await grace.see(f"{path}/rows/{second}")).text
        assert "nobody has it" in (await submit(grace, again, f"{path}/give-back", reason="twice")).text
        acts = await sql(
            here, "SELECT act, count(*) FROM operator_act WHERE act LIKE 'work.%' GROUP BY act ORDER BY act"
        )
        assert [tuple(each) for each in acts] == [("work.give_back", 1), ("work.hand_on", 1), ("work.take", 3)]


async def test_every_list_has_owners_and_the_same_filters(new_database: NewDatabase) -> None:
    """Taken, found by its owner, noted, kept as a filter, and given back to nobody."""
    async with filled(new_database) as here:
        ada, grace = here.console.person("operator"), here.console.person("operator", operator_id="grace")
        for name, item_id in one_of_each(here.scene).items():
            path, row = f"/console/{name}", f"/console/{name}/rows/{item_id}"
            shown = (await ada.see(row)).text
            assert "<dt>owner</dt><dd>nobody</dd>" in shown, name
            assert "1 done" in (await submit(ada, shown, f"{path}/take", reason="I look at it")).text, name
            others = (await submit(grace, (await grace.see(row)).text, f"{path}/take", reason="mine")).text
            assert "1 refused" in others and "operator:ada has it" in others, name
            mine = (await ada.see(f"{path}?owner=me")).text
            assert row in mine and '<span class="owner">operator:ada</span>' in mine, name
            assert row not in (await ada.see(f"{path}?owner=nobody")).text, name
            assert row not in (await grace.see(f"{path}?owner=me")).text, name
            assert row not in (await ada.see(f"{path}?owner=me&age=7d")).text, (name, "it waits for minutes")
            noted = await submit(ada, shown, "/console/notes", reason="asked the bank")
            assert noted.headers["location"] == row, name
            kept = await submit(ada, mine, f"{path}/filters", name="my own")
            assert kept.headers["location"] == f"{path}?owner=me", "as the address has it: whoever reads it is meant"
            shown = (await ada.see(row)).text
            assert "asked the bank" in shown and "operator:ada" in shown, name
            assert "1 done" in (await submit(ada, shown, f"{path}/give-back", reason="not mine")).text, name
            nobodys = (await ada.see(f"{path}?owner=nobody")).text
            assert row in nobodys and "my own" in nobodys, name


async def test_work_is_handed_on_to_operators_who_may_act_on_it(new_database: NewDatabase) -> None:
    async with filled(new_database, dead=2) as here:
        await has_colleagues(here)
        ada = here.console.person("operator")
        for name, item_id in one_of_each(here.scene).items():
            path, row = f"/console/{name}", f"/console/{name}/rows/{item_id}"
            shown = (await ada.see(row)).text
            offered = {each for each in ("grace", "victor", "other-shops", "shops") if f">{each}</option>" in shown}
            assert offered == ({"grace"} if name in ("alerts", "refused-webhooks") else {"grace", "shops"}), name
            for wrong in ("other-shops", "nobody-at-all"):
                refused = (await submit(ada, shown, f"{path}/hand-on", reason="yours", owner=wrong)).text
                assert "1 refused" in refused and "owner_unknown" in refused, (name, wrong)
                shown = (await ada.see(row)).text  # the form's key is of the words that were sent with it
            done = await submit(ada, shown, f"{path}/hand-on", reason="yours", owner="grace")
            assert "1 done" in done.text and row in (await ada.see(f"{path}?owner=grace")).text, name


async def test_whoever_is_disabled_is_handed_nothing(new_database: NewDatabase) -> None:
    async with filled(new_database, dead=1) as here:
        await has_colleagues(here)
        ada, path = here.console.person("operator"), "/console/dead-letters"
        shown = (await ada.see(f"{path}/rows/{here.scene.event_ids[0]}")).text
        assert ">grace</option>" in shown
        await sql(
            here,
            "INSERT INTO operator_version (operator_id, version, state, roles, merchants, raw_evidence, actor, at)"
            " SELECT operator_id, 2, 'disabled', roles, merchants, raw_evidence, actor, at FROM operator_version"
            " WHERE operator_id = 'grace'",
        )
        refused = (await submit(ada, shown, f"{path}/hand-on", reason="yours", owner="operator:grace")).text
        assert "1 refused" in refused and "owner_unknown" in refused
        assert ">grace</option>" not in (await ada.see(f"{path}/rows/{here.scene.event_ids[0]}")).text


async def test_bare_names_of_before_are_the_operators(new_database: NewDatabase) -> None:
    async with filled(new_database, dead=1) as here:
        ada, grace = here.console.person("operator"), here.console.person("operator", operator_id="grace")
        event_id, case_id = here.scene.event_ids[0], here.scene.case_id
        await sql(here, "INSERT INTO work_owner VALUES ($1, 'dead_letters', 'grace', 'opa_1', now())", event_id)
        await sql(here, "UPDATE rejected_case SET owner = 'grace', state = 'acknowledged' WHERE case_id = $1", case_id)
        for name, item_id in (("dead-letters", event_id), ("cases", case_id)):
            path, row = f"/console/{name}", f"/console/{name}/rows/{item_id}"
            for who in ("grace", "operator:grace"):
                assert row in (await ada.see(f"{path}?owner={who}")).text, (name, who)
            assert row in (await grace.see(f"{path}?owner=me")).text, name
            assert "grace has it" in (await submit(ada, (await ada.see(row)).text, f"{path}/take", reason="m")).text
            assert "1 done" in (await submit(grace, (await grace.see(row)).text, f"{path}/take", reason="m")).text, name
            assert "operator:grace" in (await ada.see(row)).text, name


async def test_what_does_not_wait_is_nobodys(new_database: NewDatabase) -> None:
    async with filled(new_database, dead=1) as here:
        await has_colleagues(here)
        person, path = here.console.person("operator"), "/console/dead-letters"
        shown = (await person.see(f"{path}/rows/{here.scene.event_ids[0]}")).text
        await submit(person, shown, f"{path}/discard", reason="noise")
        for act in ("take", "hand-on", "give-back"):
            late = (await submit(person, shown, f"{path}/{act}", reason="late", owner="grace")).text
            assert "1 refused" in late and "does not wait here any more" in late
