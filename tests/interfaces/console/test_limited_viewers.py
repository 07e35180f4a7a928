"""Whoever is limited to some merchants: every page of the console, and requests made by hand."""

from __future__ import annotations

import re
from typing import Any

import asyncpg

from tallystick.access.roles import Role
from tallystick.interfaces.console.page import Page
from tallystick.interfaces.console.table import PAGES
from tests.support.console_record import Here, filled
from tests.support.database import NewDatabase

#: What only the other merchant's rows have.
THEIRS = re.compile(
    r"order-104[24567]|shop\.example|card_declined|42\.50|33\.00|120\.00|ch_late|ch_nobodys|cannot be processed"
)


def _address(page: Page, here: Here) -> str:
    """With ids of the other merchant in each part that varies."""
    scene = here.scene
    item = {
        "in-doubt": scene.in_doubt,
        "cases": scene.case_id,
        "dead-letters": scene.event_ids[0],
        "late-money": scene.late,
        "alerts": scene.alert_id,
    }
    parts = {
        "{payment_id:str}": scene.payment_id,
        "{event_id:str}": scene.event_ids[0],
        "{merchant_id:str}": scene.merchant_id,
        "{endpoint_id:str}": scene.endpoint_id,
        "{item_id:str}": item.get(page.name.partition("_")[0], scene.payment_id),
    }
    return "/".join(parts.get(part, "anything" if part.startswith("{") else part) for part in page.path.split("/"))


async def _kept(here: Here) -> tuple[list[Any], int]:
    """The acts, and how many rows wait."""
    connection = await asyncpg.connect(here.database.owner_url)
    try:
        acts = await connection.fetch("SELECT operator, act, target FROM operator_act ORDER BY at, act_id")
        dead = await connection.fetchval("SELECT count(*) FROM inbox WHERE state = 'dead'")
        return [tuple(each) for each in acts], dead
    finally:
        await connection.close()


async def test_no_page_shows_what_is_anothers(new_database: NewDatabase) -> None:
    async with filled(new_database) as here:
        everything: tuple[Role, ...] = ("operator", "auditor", "admin")
        other = here.console.person(*everything, operator_id="grace", merchants=["other"], raw_evidence=True)
        before = await _kept(here)
        for page in PAGES:
            if page.right is None or page.method != "GET":
                continue  # each form: test_every_form
            answer = await other.see(_address(page, here))
            assert answer.status_code in (200, 403, 404, 400), (page.name, answer.status_code)
            assert not THEIRS.search(answer.text), (page.name, THEIRS.findall(answer.text))
            assert not page.platform or answer.status_code == 403, page.name
        assert await _kept(here) == before, "nothing was done, and no act says that it was"
        navigation = (await other.see("/console")).text.partition("</nav>")[0]
        assert "/console/dead-letters" in navigation and "/console/providers" not in navigation


async def test_a_note_is_left_on_what_one_sees(new_database: NewDatabase) -> None:
    async with filled(new_database) as here:
        scene = here.scene
        other = here.console.person("operator", operator_id="grace", merchants=["other"])
        own = here.console.person("operator", operator_id="kim", merchants=["shop"])
        for target in (scene.payment_id, scene.in_doubt, scene.case_id, scene.event_ids[1], scene.endpoint_id):
            refused = await other.send_unseen("/console/notes", target=target)
            assert refused.status_code == 404 and "Nothing was done" in refused.text, target
            assert (await own.send_unseen("/console/notes", target=target)).status_code == 303, target
        for target in (scene.event_ids[0], scene.alert_id):  # of no merchant
            assert (await own.send_unseen("/console/notes", target=target)).status_code == 404, target
        acts, _ = await _kept(here)
        assert {each[0] for each in acts} == {"operator:kim"} and len(acts) == 5


async def test_an_account_of_a_provider_is_nobodys_to_pause_who_is_limited(new_database: NewDatabase) -> None:
    async with filled(new_database) as here:
        limited = here.console.person("operator", operator_id="kim", merchants=["shop"])
        asked = {"account": "simulator/main", "seconds": "3600"}
        assert (await limited.send_unseen("/console/providers/pause", **asked)).status_code == 403
        assert (await here.console.process.runtime.pool.fetchval("SELECT count(*) FROM operator_pause")) == 0
        free = here.console.person("operator")
        assert (await free.send_unseen("/console/providers/pause", **asked)).status_code == 303
        assert (await limited.send_unseen("/console/providers/resume", **asked)).status_code == 403
        assert (await here.console.process.runtime.pool.fetchval("SELECT count(*) FROM operator_pause")) == 1
