"""Refused webhooks in the console: kinds of them are rows that somebody has and closes."""

from __future__ import annotations

import csv
import io
import re

from tallystick.flows.operations.refusals import counts_of
from tallystick.flows.webhooks.inbound.rejected import UNKNOWN
from tests.support.acts import asked
from tests.support.console import Person
from tests.support.console_record import filled, submit
from tests.support.console_scene import FORGED, refuse
from tests.support.database import NewDatabase

PATH = "/console/refused-webhooks"


async def ids(person: Person, query: str = "") -> set[str]:
    """The rows that a list shows."""
    return set(re.findall(rf"{PATH}/rows/(wrf_[0-9a-f]+)", (await person.see(f"{PATH}?{query}")).text))


async def test_kinds_are_listed_filtered_and_shown(new_database: NewDatabase) -> None:
    async with filled(new_database, dead=1) as here:
        runtime, forged = here.console.process.runtime, here.scene.refused_kind
        person = here.console.person("viewer")
        nobodys = await refuse(runtime, (UNKNOWN, UNKNOWN, "not_found"), 5)
        stale = await refuse(runtime, ("simulator", "second", "webhook_timestamp_stale"), 1, hours=30)
        assert await refuse(runtime, FORGED, 3) == forged, "the same kind in another hour"
        assert await ids(person) == {forged, nobodys, stale}
        for query, found in (
            ("provider=simulator", {forged, stale}),
            ("kind=webhook_timestamp_stale", {stale}),
            ("own=main", {forged}),
            ("age=1d", {stale}),
            ("provider=simulator&own=main&age=7d", set()),
            ("merchant=shop", set()),
        ):
            assert await ids(person, query) == found, query
        shown = (await person.see(f"{PATH}/rows/{forged}")).text
        assert "account main: 15 refused" in shown and "15 deliveries in 2 hours" in shown
        assert "12 deliveries" in shown and "3 deliveries" in shown
        rows = list(csv.DictReader(io.StringIO((await person.see(f"{PATH}.csv?own=second")).text)))
        assert [(row["id"], row["provider"], row["reason"]) for row in rows] == [
            (stale, "simulator", "webhook_timestamp_stale")
        ]

        assert "3 kinds of refused webhooks" in re.sub(r"<[^>]+>", "", (await person.see("/console")).text)


async def test_what_was_closed_waits_anew_when_more_is_refused(new_database: NewDatabase) -> None:
    async with filled(new_database, dead=1) as here:
        runtime, forged = here.console.process.runtime, here.scene.refused_kind
        ada, grace = here.console.person("operator"), here.console.person("operator", operator_id="grace")
        other = await refuse(runtime, ("simulator", "second", "webhook_timestamp_stale"), 2)
        preview = (await ada.see(f"{PATH}/close/preview")).text
        assert "2 rows" in preview
        stolen = await submit(ada, preview, f"{PATH}/close", reason="known", ids=forged)
        assert stolen.status_code == 400 and await ids(ada) == {forged, other}, "not what was previewed"
        theirs = (await grace.see(f"{PATH}/rows/{forged}")).text
        closed = (await submit(ada, preview, f"{PATH}/close", reason="a rotated secret")).text
        assert "2 done" in closed and await ids(ada) == set()
        assert "2 done before" in (await submit(ada, preview, f"{PATH}/close", reason="a rotated secret")).text
        late = (await submit(grace, theirs, f"{PATH}/close", reason="me too")).text
        assert "1 refused" in late and "waits here any more" in late
        assert "a rotated secret" in (await ada.see(f"{PATH}/rows/{forged}")).text, "the notes stay"

        assert await refuse(runtime, FORGED, 4, hours=3) == forged, "in the hour that was closed"
        assert await ids(ada) == {forged}
        assert "account main: 4 refused" in (await ada.see(PATH)).text, "only what came after it was closed"
        again = (await ada.see(f"{PATH}/rows/{forged}")).text
        assert "1 done" in (await submit(ada, again, f"{PATH}/close", reason="the last ones")).text
        assert await ids(ada) == set()
        await refuse(runtime, FORGED, 1)
        assert "account main: 1 refused" in (await ada.see(PATH)).text


async def test_of_two_who_close_it_at_once_one_has_done_it(new_database: NewDatabase) -> None:
    """Both have read the same counts."""
    async with filled(new_database, dead=1) as here:
        runtime, forged = here.console.process.runtime, here.scene.refused_kind
        [counted] = await counts_of(runtime, forged)
        ada, grace = (
            asked("webhook_refusal.close", forged, operator=each).done({}, runtime.clock.now())
            for each in ("operator:ada", "operator:grace")
        )
        book = runtime.stores.refused_webhooks
        assert await book.close(counted, ada) and not await book.close(counted, grace)
        assert [each.operator for each in await runtime.stores.acts.page(None, 10, target=forged)] == ["operator:ada"]


async def test_whoever_may_not_act_or_is_limited_closes_nothing(new_database: NewDatabase) -> None:
    async with filled(new_database, dead=1) as here:
        forged = here.scene.refused_kind
        shown = (await here.console.person("operator").see(f"{PATH}/rows/{forged}")).text
        viewer = here.console.person("viewer", operator_id="victor")
        assert f"{PATH}/close" not in (await viewer.see(f"{PATH}/rows/{forged}")).text
        limited = here.console.person("operator", operator_id="grace", merchants=["shop"])
        assert (await submit(limited, shown, f"{PATH}/close", reason="mine")).status_code == 400
        assert (await limited.see(f"{PATH}/rows/{forged}")).status_code == 404
