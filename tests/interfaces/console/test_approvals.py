"""Two people in two browsers: one asks, the other decides on what was shown."""

from __future__ import annotations

from html import unescape

from tallystick.flows.operations import operators
from tallystick.interfaces.console.app import SESSION_COOKIE
from tallystick.interfaces.console.forms import token_for
from tests.support.approvals import AUDITOR
from tests.support.console import PASSWORD, code_now, inside_console, token_on
from tests.support.database import NewDatabase
from tests.support.runtime import BookedProvider


async def test_a_second_person_decides_in_the_console(new_database: NewDatabase) -> None:
    async with inside_console(new_database(), BookedProvider()) as console:
        runtime = console.process.runtime
        for name in ("first", "second"):
            await operators.add(runtime, name, AUDITOR, actor="shell:root@host", reason="begin")
        ada = await console.signed_in("admin", operator_id="ada")
        bob = await console.signed_in("admin", operator_id="bob")
        why = "<script>alert(1)</script>"
        invited = await operators.add(runtime, "new", AUDITOR, actor="operator:ada", reason=why)
        assert invited.request is not None
        page = f"/console/approvals/{invited.request.request_id}"
        listed = (await bob.see("/console/approvals")).text
        assert page in listed and "&lt;script&gt;" in listed and "<script>" not in listed
        assert invited.invitation not in (await bob.see(page)).text, "who approves cannot sign in as the new one"
        assert "somebody else decides" in (await ada.see(page)).text
        seen = {"seen": invited.request.shown_hash.hex(), "reason": "talked to them"}
        other_session = await console.process.sessions.sign_in("ada", PASSWORD, code_now(), "192.0.2.7")
        again = console.stranger()
        again.http.cookies.set(SESSION_COOKIE, other_session)
        form = {"form_token": token_for(other_session, page), "word": "approve", **seen}
        own = await again.http.post(page, data=form)
        assert (own.status_code, "somebody else" in own.text) == (409, True), "two sessions are one person"
        refused = await bob.send(page, page, word="approve", **{**seen, "seen": "00"})
        assert (refused.status_code, "shown" in refused.text) == (409, True)
        assert (await bob.send(page, page, word="perhaps", **seen)).status_code == 400
        done = await bob.send(page, page, word="approve", **seen)
        assert (done.status_code, done.headers["location"]) == (303, page)
        assert "approved" in (await bob.see(page)).text
        assert await runtime.stores.accounts.find("new") is not None


async def test_deciding_needs_a_recent_sign_in(new_database: NewDatabase) -> None:
    async with inside_console(new_database(), BookedProvider()) as console:
        runtime = console.process.runtime
        for name in ("first", "second"):
            await operators.add(runtime, name, AUDITOR, actor="shell:root@host", reason="begin")
        bob = await console.signed_in("admin", operator_id="bob")
        await console.signed_in("admin", operator_id="eve")
        invited = await operators.add(runtime, "new", AUDITOR, actor="operator:eve", reason="joined")
        assert invited.request is not None
        page = f"/console/approvals/{invited.request.request_id}"
        token = token_on((await bob.see(page)).text, page)
        fields = {"form_token": token, "seen": invited.request.shown_hash.hex(), "word": "approve", "reason": "yes"}
        runtime.clock.shift_ms = runtime.settings.console_fresh_ms + 1_000
        late = await bob.http.post(page, data=fields)
        assert (late.status_code, "recent sign-in" in late.text) == (403, True)
        runtime.clock.shift_ms = 0
        assert (await bob.http.post(page, data=fields)).status_code == 303


#: So many requests of a merchant, an hour before others' were asked for.
_ASKED = """
    INSERT INTO approval_request (request_id, act, target, merchant_id, arguments, shown, shown_hash, authors, needed,
                                  reason, requested_by, requested_at, expires_at)
    SELECT 'apr_' || md5($1::text || n), 'merchant.erase', $1::text, $1::text, '{}',
           json_build_object('merchant', $1::text), '', '{}', 1,
           'they asked', 'operator:grace', now() - $3::int * interval '1 hour' - n * interval '1 second',
           now() + interval '1 day'
    FROM generate_series(1, $2::int) AS n
"""


async def test_pages_are_full_of_what_the_viewer_sees(new_database: NewDatabase) -> None:
    """A thousand requests about another merchant are newer, and are passed over where they are read."""
    async with inside_console(new_database(), BookedProvider()) as console:
        for merchant, number, hours in (("other", 1_000, 0), ("shop", 51, 1), ("late", 50, 2)):
            await console.process.runtime.pool.execute(_ASKED, merchant, number, hours)
        for path, row in (("approvals", "/console/approvals/apr_"), ("erasures", "operator:grace: they asked")):
            for merchant, pages in (("shop", [50, 1]), ("late", [50])):
                viewer = console.person("operator", operator_id=f"of_{merchant}", merchants=[merchant])
                before, seen = "", []
                for _ in range(len(pages) + 1):
                    text = (await viewer.see(f"/console/{path}{before}")).text.partition("<main")[2]
                    seen.append(text.count(row))
                    place = text.partition(f'href="/console/{path}?before=')[2].partition('"')[0]
                    before = f"?before={unescape(place)}"
                    if not place:
                        break
                assert seen == pages, (path, merchant)
