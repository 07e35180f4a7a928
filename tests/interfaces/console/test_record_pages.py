"""What the console shows of the record, and what is done from it, over HTTP in this process."""

from __future__ import annotations

import csv
import html
import io
import re
from datetime import timedelta

import asyncpg
import pytest

from tallystick.interfaces.console.pages import alerts, cases, dead_letters, in_doubt, late_money
from tests.support.audit import seal_all
from tests.support.console import inside_console
from tests.support.console_pictures import pages_of
from tests.support.console_record import Here, filled, submit
from tests.support.console_scene import HOSTILE
from tests.support.database import NewDatabase
from tests.support.outbox import runtime_for, worker
from tests.support.runtime import BookedProvider


async def states(here: Here) -> list[str]:
    connection = await asyncpg.connect(here.database.owner_url)
    try:
        rows = await connection.fetch("SELECT state FROM inbox WHERE event_id = ANY ($1)", here.scene.event_ids)
        return sorted(row["state"] for row in rows)
    finally:
        await connection.close()


async def test_every_page_shows_what_there_is_and_no_markup_of_others(new_database: NewDatabase) -> None:
    async with filled(new_database) as here:
        person = here.console.person("operator", "auditor", "admin")
        for name, path in pages_of(here.scene).items():
            answer = await person.see(path)
            assert answer.status_code == 200, (name, answer.text[-2000:])
            assert "<script>alert" not in answer.text and "<img" not in answer.text, name
        shown = (await person.see(f"/console/payments/{here.scene.hostile}")).text
        assert html.escape(HOSTILE, quote=False)[:20] in shown


async def test_an_empty_platform_is_explained(new_database: NewDatabase) -> None:
    async with inside_console(new_database(), BookedProvider()) as console:
        person = console.person("operator", "auditor", "admin")
        overview = (await person.see("/console")).text
        assert "Nothing waits for a person." in overview and "Nothing was counted" in overview
        assert "First steps" in overview and "tallystick keys create" in overview
        for page in (alerts, cases, dead_letters, in_doubt, late_money):
            assert html.escape(page.PAGE.empty) in (await person.see(page.PAGE.path)).text
        for path in ("/console/providers", "/console/merchants", "/console/acts", "/console/refused-webhooks"):
            assert (await person.see(path)).status_code == 200
        assert "Nothing is sealed." in (await person.see("/console/sealing")).text
        await seal_all(console.process.runtime.pool)
        assert "platform" in (await person.see("/console/sealing")).text
        assert (await console.person("operator").see("/console/sealing")).status_code == 403


async def test_trends_have_their_figures_and_providers_their_plots(new_database: NewDatabase) -> None:
    async with filled(new_database) as here:
        person = here.console.person("viewer")
        for span in ("6h", "24h", "7d"):
            shown = (await person.see("/console/trends", over=span)).text
            assert 'id="figures"' in shown and '<th class="number">instructions</th>' in shown
            assert '<g class="mark">' in shown or span == "6h", "the release of nine hours ago"
            assert re.search(r"as of [0-9: -]+ UTC, \d+ s ago", shown)
        providers = (await person.see("/console/providers")).text
        assert "simulator: calls in 15 minutes" in providers and "simulator: p99 in ms" in providers


async def test_how_far_sealing_is_behind_stands_on_the_first_page(new_database: NewDatabase) -> None:
    async with filled(new_database, copied_for=timedelta(0), audit_sealing=True) as here:  # seconds behind
        connection = await asyncpg.connect(here.database.owner_url)
        try:
            await connection.execute(
                "INSERT INTO audit_checkpoint SELECT 1, '{}', 'x', max(at) FROM transition"  # nothing of it is sealed
            )
        finally:
            await connection.close()
        overview = (await here.console.person("viewer").see("/console")).text
        assert re.search(r'<dt>sealed</dt>\s*<dd><a href="/console/alerts">[0-9.]+ m?s behind</a>', overview)


async def test_numbers_lead_to_the_rows_behind_them(new_database: NewDatabase) -> None:
    async with filled(new_database) as here:
        person = here.console.person("viewer")
        overview = (await person.see("/console")).text
        assert "First steps" not in overview and "<dt>sealed</dt>" not in overview
        assert _leading_nowhere(overview) == []
        for href, row in (
            ("/console/queues?of=messages_to_dispatch", here.scene.payment_id),
            ("/console/in-doubt?own=EUR", here.scene.in_doubt),
            ("/console/dead-letters", here.scene.event_ids[0]),
            ("/console/late-money?own=EUR", here.scene.late),
            ("/console/cases", here.scene.case_id),
            ("/console/alerts", here.scene.alert_id),
        ):
            assert f'href="{href}"' in overview
            assert row in (await person.see(href)).text


def _leading_nowhere(overview: str) -> list[str]:
    """Lines with a number outside of every link. Ages of blocks, headings, names of rows, pictures and the words of an
    alert, whose link stands before them, are none."""
    live = overview.partition('id="live"')[2].partition(">")[2]
    named = r"<(svg|a|h2|h3|dt|figcaption)\b.*?</\1>"
    words = r'<p class="age">.*?</p>|<ul class="alerts">.*?</ul>|<details>.*?</details>|<p class="legend">.*?</p>'
    left = re.sub("<[^>]*>", " ", re.sub(f"{named}|{words}", "", live, flags=re.DOTALL))
    return [" ".join(line.split()) for line in left.splitlines() if re.search(r"\d", line)]


@pytest.mark.parametrize("named", ["payment_id", "in_doubt", "event", "key"])
async def test_a_name_leads_to_its_payment(new_database: NewDatabase, named: str) -> None:
    async with filled(new_database) as here:
        person = here.console.person("viewer")
        name = {"event": here.scene.event_ids[1], "key": "order-1042"}.get(named) or getattr(here.scene, named)
        found = await person.see("/console/find", q=name)
        assert found.status_code == 303 and found.headers["location"].startswith("/console/payments/pay_")
        assert "Timeline" in (await person.see(found.headers["location"])).text


async def test_no_entry_of_a_timeline_is_left_out(new_database: NewDatabase) -> None:
    async with filled(new_database) as here:
        shown = (await here.console.person("viewer").see(f"/console/payments/{here.scene.payment_id}")).text
        (entries,) = re.findall(r"(\d+) entries", shown)
        assert [int(number) for number in re.findall(r'<li id="e(\d+)"', shown)] == list(range(1, int(entries) + 1))


async def test_dead_letters_are_replayed_as_previewed_and_once(new_database: NewDatabase) -> None:
    async with filled(new_database) as here:
        person, path = here.console.person("operator"), "/console/dead-letters/replay"
        preview = (await person.see(f"{path}/preview")).text
        assert "3 rows" in preview and "9.90 EUR" in preview and "2 rows of no known amount" in preview
        done = await submit(person, preview, path, reason="the cause is gone")
        assert done.status_code == 200 and "3 done" in done.text
        assert await states(here) == ["received"] * 3 or "dead" not in await states(here)
        again = await submit(person, preview, path, reason="the cause is gone")
        assert "3 done before" in again.text


async def test_other_rows_than_the_previewed_are_not_acted_on(new_database: NewDatabase) -> None:
    async with filled(new_database) as here:
        person, path = here.console.person("operator"), "/console/dead-letters/discard"
        preview = (await person.see(f"{path}/preview", kind="charge.captured")).text
        refused = await submit(person, preview, path, reason="noise", ids=",".join(here.scene.event_ids))
        assert refused.status_code == 400 and "not the rows that were previewed" in refused.text
        assert await states(here) == ["dead"] * 3
        done = await submit(person, preview, path, reason="noise")
        assert "2 done" in done.text and await states(here) == ["dead", "discarded", "discarded"]


async def test_a_row_that_is_about_other_money_by_now_is_left(new_database: NewDatabase) -> None:
    """More of it came late between the preview and the act: the act would move what nobody saw."""
    async with filled(new_database) as here:
        person, path = here.console.person("operator"), "/console/late-money/accept"
        preview = (await person.see(f"{path}/preview")).text
        one = (await person.see(f"/console/late-money/rows/{here.scene.late}")).text
        assert "33.00 EUR" in preview
        connection = await asyncpg.connect(here.database.owner_url)
        try:
            await connection.execute("UPDATE payment SET amount_late = amount_late + 100 WHERE amount_late > 0")
        finally:
            await connection.close()
        for stale in (preview, one):
            left = await submit(person, stale, path, reason="the shop has shipped")
            assert left.status_code == 200 and "1 refused" in left.text and "other money" in left.text
        shown = (await person.see("/console/late-money")).text
        assert here.scene.late in shown and "34.00 EUR" in shown, "it waits as before"


async def test_ticked_rows_are_previewed_alone(new_database: NewDatabase) -> None:
    async with filled(new_database) as here:
        person = here.console.person("operator")
        shown = (await person.see("/console/dead-letters")).text
        ticked = await submit(
            person, shown, "/console/dead-letters/preview", act="discard", tick=here.scene.event_ids[2]
        )
        preview = (await person.see(ticked.headers["location"])).text
        assert "1 row<" in preview and here.scene.event_ids[2] in preview and here.scene.event_ids[0] not in preview


async def test_filters_stay_from_the_list_to_what_became_of_its_rows(new_database: NewDatabase) -> None:
    async with filled(new_database) as here:
        person, path = here.console.person("operator"), "/console/dead-letters"
        shown = (await person.see(f"{path}?merchant=shop&owner=nobody")).text
        ticked = await submit(person, shown, f"{path}/preview", act="take", tick=here.scene.event_ids[1])
        address = ticked.headers["location"]
        assert address == f"{path}/take/preview?merchant=shop&owner=nobody&ids={here.scene.event_ids[1]}"
        done = await submit(person, (await person.see(address)).text, f"{path}/take", reason="mine")
        assert f'href="{path}?merchant=shop&amp;owner=nobody"' in done.text and "1 done" in done.text
        hostile = "merchant=%22%3E%3Cscript%3E&next=https://evil.example&owner=a%0d%0ab"
        ticked = await submit(person, shown, f"{path}/preview", act="take", tick=here.scene.event_ids[1], query=hostile)
        assert ticked.headers["location"].startswith(f"{path}/take/preview?merchant=%22%3E%3Cscript%3E&owner=a%0D%0Ab&")


async def test_filters_stand_in_the_address_and_can_be_kept(new_database: NewDatabase) -> None:
    async with filled(new_database) as here:
        person = here.console.person("operator")
        path = "/console/dead-letters?merchant=shop"
        shown = (await person.see(path)).text
        assert here.scene.event_ids[1] in shown and here.scene.event_ids[0] not in shown
        kept = await submit(
            person,
            shown.replace("data-once", ""),
            "/console/dead-letters/filters",
            name="shop only",
            query="merchant=shop",
        )
        assert kept.headers["location"] == path
        assert "shop only" in (await person.see("/console/dead-letters")).text
        other = here.console.person("operator", operator_id="grace")
        assert "shop only" not in (await other.see("/console/dead-letters")).text


async def test_whoever_is_limited_to_a_merchant_sees_nothing_else(new_database: NewDatabase) -> None:
    async with filled(new_database) as here:
        other = here.console.person("operator", operator_id="grace", merchants=["other"])
        assert (await other.see(f"/console/payments/{here.scene.payment_id}")).status_code == 404
        assert "Nothing has the name" in (await other.see("/console/find", q="order-1042")).text
        for name in ("dead-letters", "cases", "in-doubt", "late-money", "alerts", "refused-webhooks"):
            assert "Nothing is here." in (await other.see(f"/console/{name}")).text
        assert "Clearing balances" not in (await other.see("/console")).text
        for path in ("providers", "acts", "trends", "accounts"):
            assert (await other.see(f"/console/{path}")).status_code == 403
        owner = here.console.person("operator")
        preview = (await owner.see("/console/dead-letters/discard/preview")).text
        stolen = await submit(other, preview, "/console/dead-letters/discard", reason="theirs")
        assert stolen.status_code == 400 and await states(here) == ["dead"] * 3


async def test_a_case_is_taken_and_resolved_with_a_note(new_database: NewDatabase) -> None:
    async with filled(new_database) as here:
        person = here.console.person("operator")
        path = f"/console/cases/rows/{here.scene.case_id}"
        shown = (await person.see(path)).text
        assert "1 done" in (await submit(person, shown, "/console/cases/take", reason="mine")).text
        noted = await submit(person, (await person.see(path)).text, "/console/notes", reason="asked the bank")
        assert noted.headers["location"] == path
        shown = (await person.see(path)).text
        assert "operator:ada" in shown and "asked the bank" in shown
        assert "1 done" in (await submit(person, shown, "/console/cases/ignore", reason="a test charge")).text
        assert "does not wait here any more" in (await person.see(path)).text
        assert "a test charge" in (await person.see("/console/acts")).text


async def test_evidence_needs_its_own_right_and_is_recorded(new_database: NewDatabase) -> None:
    async with filled(new_database) as here:
        path = f"/console/payments/{here.scene.hostile}"
        assert "Raw evidence" not in (await here.console.person("operator").see(path)).text
        person = here.console.person("operator", operator_id="grace", raw_evidence=True)
        shown = await submit(person, (await person.see(path)).text, f"{path}/evidence", reason="ticket 9")
        assert shown.status_code == 200 and "&lt;script&gt;" in shown.text and "<script>alert" not in shown.text
        assert "evidence.read" in (await person.see("/console/acts")).text


async def test_a_message_is_sent_again_as_an_act_and_once(new_database: NewDatabase) -> None:
    async with filled(new_database) as here:
        async with runtime_for(here.database) as runtime, worker(runtime) as delivery:
            assert await delivery.dispatch()
            (first, *_) = await runtime.pool.fetch("SELECT message_id FROM message_delivery ORDER BY dispatched_at")
        path = f"/console/merchants/{here.scene.merchant_id}/endpoints/{here.scene.endpoint_id}"
        person = here.console.person("operator", operator_id="grace")
        shown = (await person.see(path)).text
        asked = {"message_id": first["message_id"], "reason": "the shop asked for it"}
        assert (await submit(person, shown, f"{path}/resend", **asked)).status_code == 303
        assert (await submit(person, shown, f"{path}/resend", **asked)).status_code == 303, "the same form again"
        unknown = await submit(person, (await person.see(path)).text, f"{path}/resend", message_id="msg_1", reason="x")
        assert unknown.status_code == 404
        connection = await asyncpg.connect(here.database.owner_url)
        try:
            acts = await connection.fetch(
                "SELECT operator, target, reason FROM operator_act WHERE act = 'message.resend'"
            )
            tries = await connection.fetchval("SELECT count(*) FROM message_try WHERE result = 'resend_requested'")
        finally:
            await connection.close()
        assert [tuple(each) for each in acts] == [("operator:grace", here.scene.endpoint_id, "the shop asked for it")]
        assert tries == 1


async def test_a_file_has_no_cell_that_a_spreadsheet_calculates(new_database: NewDatabase) -> None:
    async with filled(new_database) as here:
        connection = await asyncpg.connect(here.database.owner_url)
        try:
            await connection.execute("UPDATE inbox SET detail = '=HYPERLINK(\"http://x\")' WHERE state = 'dead'")
        finally:
            await connection.close()
        answer = await here.console.person("viewer").see("/console/dead-letters.csv")
        rows = list(csv.DictReader(io.StringIO(answer.text)))
        assert len(rows) == 3 and {row["says"] for row in rows} == {'\'=HYPERLINK("http://x")'}
        assert answer.headers["content-disposition"].startswith("attachment;")
