"""Signing in: what opens a session, what ends one, and how guesses are slowed down. On a real database."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from tallystick.access.accounts import Granted, secret_hash
from tallystick.access.passwords import PasswordRefused, require_password
from tallystick.access.sessions import Sessions, SignInRefused
from tallystick.access.throttle import Throttled
from tallystick.access.totp import code_at, matching_step
from tallystick.flows.operations import operators
from tallystick.interfaces.console.app import FORM_COOKIE, SESSION_COOKIE
from tallystick.interfaces.console.pages.sign_in import own_address
from tests.support.console import (
    ORIGIN,
    PASSWORD,
    SECOND_FACTOR,
    InsideConsole,
    Person,
    code_now,
    inside_console,
    token_on,
)
from tests.support.database import NewDatabase
from tests.support.runtime import BookedProvider

ADDRESS = "192.0.2.1"


@asynccontextmanager
async def _console(new_database: NewDatabase, **settings: Any) -> AsyncIterator[InsideConsole]:
    """On a database of its own: names of operators are given once."""
    async with inside_console(new_database(), BookedProvider(), **settings) as inside:
        yield inside


async def _sign_in(person: Person, operator: str = "ada", password: str = PASSWORD, code: str = "", **more: str) -> Any:
    return await person.send(
        "/console/sign-in", "/console/sign-in", operator=operator, password=password, code=code, **more
    )


async def test_a_first_sign_in_enrols_and_is_used_once(new_database: NewDatabase) -> None:
    async with _console(new_database) as console:
        await console.invite("operator", operator_id="ada", invitation="come in")
        person, page = console.stranger(), "/console/first-sign-in"
        shown = (await person.see(page)).text
        secret = _shown_secret(shown)
        assert _shown_secret((await person.see(page)).text) == secret, "the same when the form is loaded again"
        given = {"operator": "ada", "invitation": "come in", "password": PASSWORD, "again": PASSWORD}
        assert "does not match" in (await person.send(page, page, **given, code="000000")).text
        assert "does not match" in (await person.send(page, page, **given, code="")).text
        assert "differ" in (await person.send(page, page, **{**given, "again": "other"}, code=code_now(secret))).text
        done = await person.send(page, page, **given, code=code_now(secret))
        assert (done.status_code, done.headers["location"]) == (303, "/console")
        assert (await person.see("/console")).status_code == 200
        again = await console.stranger().send(page, page, **given, code=code_now(secret))
        assert again.status_code == 401


async def test_a_password_alone_signs_no_operator_in_and_a_code_is_used_once(new_database: NewDatabase) -> None:
    async with _console(new_database) as console:
        await console.signed_in("operator", operator_id="ada")
        code = code_now()
        assert (await _sign_in(console.stranger())).status_code == 401
        assert (await _sign_in(console.stranger(), code="123")).status_code == 401
        both = await asyncio.gather(*(_sign_in(console.stranger(), code=code) for _ in range(4)))
        # Of tries at once some are put off; one at most takes the code.
        assert sum(each.status_code == 303 for each in both) <= 1
        later = await _sign_in(console.stranger(), code=code)
        assert [each.status_code for each in both].count(303) + (later.status_code == 303) == 1
        assert (await _sign_in(console.stranger(), code=code)).status_code in (401, 429)


async def test_what_was_wrong_is_not_said(new_database: NewDatabase) -> None:
    async with _console(new_database) as console:
        await console.signed_in("viewer", operator_id="ada")
        answers = [
            await _sign_in(console.stranger(), password="wrong", code=code_now()),
            await _sign_in(console.stranger(), code="000000"),
            await _sign_in(console.stranger(), operator="bob"),
            await _sign_in(console.stranger(), operator="Nobody's name!"),
        ]
        alerts = {re.search(r'role="alert">(.*?)<', each.text)[1] for each in answers}  # type: ignore[index]  # each page has one
        assert len(alerts) == 1


async def test_a_session_is_new_at_each_sign_in(new_database: NewDatabase) -> None:
    """Neither a cookie that somebody put into a browser nor the session before is the one after."""
    async with _console(new_database) as console:
        first = await console.signed_in("operator", operator_id="ada")
        old = first.http.cookies[SESSION_COOKIE]
        planted = console.stranger()
        planted.http.cookies.set(SESSION_COOKIE, "planted")
        planted.http.cookies.set(FORM_COOKIE, "planted-too")
        assert (await _sign_in(planted, code=code_now())).status_code == 303
        new = str({cookie.name: cookie.value for cookie in planted.http.cookies.jar}[SESSION_COOKIE])
        assert new not in ("planted", "planted-too", old)
        for token in ("planted", "planted-too", secret_hash(new).hex()):
            assert await console.process.sessions.viewer(token) is None
        again = await _sign_in(first, code=code_now(steps=1))
        assert again.status_code == 303
        assert await console.process.sessions.viewer(old) is None, "the session before is over"


async def test_a_first_sign_in_ends_the_session_that_the_browser_had(new_database: NewDatabase) -> None:
    async with _console(new_database) as console:
        ada, page = await console.signed_in("operator", operator_id="ada"), "/console/first-sign-in"
        before = ada.http.cookies[SESSION_COOKIE]
        await console.invite("viewer", operator_id="grace", invitation="come in")
        given = {"operator": "grace", "invitation": "come in", "password": PASSWORD, "again": PASSWORD}
        refused = await ada.send(page, page, **{**given, "invitation": "not it"}, code="")
        assert refused.status_code == 401 and (await ada.see("/console")).status_code == 200, "nothing has ended"
        assert (await ada.send(page, page, **given, code="")).status_code == 303
        assert await console.process.sessions.viewer(before) is None


async def test_cookies_are_bound_to_the_host_and_out_of_reach(new_database: NewDatabase) -> None:
    async with _console(new_database) as console:
        await console.signed_in("viewer", operator_id="ada")
        stranger = console.stranger()
        form = await stranger.see("/console/sign-in")
        done = await _sign_in(stranger, code=code_now())
        for name, answer in ((FORM_COOKIE, form), (SESSION_COOKIE, done)):
            cookie = answer.headers["set-cookie"]
            assert cookie.startswith(f"{name}=") and name.startswith("__Host-")
            assert cookie.endswith("; Path=/; Secure; HttpOnly; SameSite=Strict")
        assert "no-store" in form.headers["cache-control"]


async def test_a_stolen_session_ends_with_the_sign_out(new_database: NewDatabase) -> None:
    async with _console(new_database) as console:
        person = await console.signed_in("viewer", operator_id="ada")
        thief = console.stranger()
        thief.http.cookies.set(SESSION_COOKIE, person.http.cookies[SESSION_COOKIE])
        assert (await thief.see("/console")).status_code == 200
        await person.send("/console", "/console/sign-out")
        assert (await thief.see("/console")).status_code == 303


async def test_a_disabled_operator_is_out_at_once_in_every_process(new_database: NewDatabase) -> None:
    async with _console(new_database) as console:
        person = await console.signed_in("operator", operator_id="ada")
        other = Sessions(
            console.process.runtime.pool,
            console.process.runtime.clock,
            console.process.runtime.settings,
            console.process.runtime.sealer,
        )
        token = person.http.cookies[SESSION_COOKIE]
        assert await other.viewer(token) is not None
        await operators.disable(console.process.runtime, "ada", actor="shell:root@host", reason="left the company")
        assert await other.viewer(token) is None
        assert (await person.see("/console")).status_code == 303
        assert (await _sign_in(console.stranger(), code=code_now())).status_code == 401


async def test_roles_are_read_at_each_request(new_database: NewDatabase) -> None:
    async with _console(new_database) as console:
        person = await console.signed_in("operator", "auditor", operator_id="ada", merchants=["shop"])
        token = person.http.cookies[SESSION_COOKIE]
        before = await console.process.sessions.viewer(token)
        assert before is not None and before.may("act") and before.sees("shop") and not before.sees("other")
        fewer = Granted(roles=["auditor"], merchants=["shop"])
        await operators.change(console.process.runtime, "ada", fewer, actor="shell:root@host", reason="moved")
        after = await console.process.sessions.viewer(token)
        assert after is not None and not after.may("act") and after.may("audit")


async def test_sessions_end_by_themselves(new_database: NewDatabase) -> None:
    async with _console(new_database) as console:
        person = await console.signed_in("viewer", operator_id="ada")
        token, runtime = person.http.cookies[SESSION_COOKIE], console.process.runtime
        idle, whole = runtime.settings.console_idle_ms, runtime.settings.console_session_ms
        runtime.clock.shift_ms = idle - 60_000
        assert await console.process.sessions.viewer(token) is not None
        runtime.clock.shift_ms += idle + 60_000
        assert await console.process.sessions.viewer(token) is None, "idle"
        runtime.clock.shift_ms = 0
        used = idle // 2
        while runtime.clock.shift_ms + used < whole:
            runtime.clock.shift_ms += used
            assert await console.process.sessions.viewer(token) is not None
        runtime.clock.shift_ms += used
        assert await console.process.sessions.viewer(token) is None, "used, and too old"


async def test_an_open_overview_keeps_no_session(new_database: NewDatabase) -> None:
    """The browser asks for renewals by itself: nobody may be there."""
    async with _console(new_database) as console:
        person = await console.signed_in("viewer", operator_id="ada")
        runtime = console.process.runtime
        idle = runtime.settings.console_idle_ms
        runtime.clock.shift_ms = idle // 2
        assert (await person.see("/console/live")).status_code == 200
        runtime.clock.shift_ms = idle + 60_000
        assert (await person.see("/console/live")).status_code == 303, "the renewal in between was no use"
        assert (await person.see("/console")).status_code == 303


async def test_an_invitation_ends(new_database: NewDatabase) -> None:
    async with _console(new_database) as console:
        await console.invite("viewer", operator_id="ada", invitation="come in")
        console.process.runtime.clock.shift_ms = 25 * 3_600_000
        with pytest.raises(SignInRefused):
            await console.process.sessions.first_sign_in("ada", "come in", PASSWORD, b"x" * 20, "", ADDRESS)


async def test_a_role_that_acts_has_no_such_right_without_a_second_factor(new_database: NewDatabase) -> None:
    async with _console(new_database) as console:
        await console.invite("viewer", operator_id="ada", invitation="come in")
        token = await console.process.sessions.first_sign_in("ada", "come in", PASSWORD, SECOND_FACTOR, "", ADDRESS)
        runtime = console.process.runtime
        async with runtime.pool.acquire() as connection:
            await connection.execute(
                "INSERT INTO operator_version (operator_id, version, state, roles, raw_evidence, actor, at)"
                " VALUES ('ada', 2, 'active', '{operator}', false, 'test', now())"
            )
        viewer = await console.process.sessions.viewer(token)
        assert viewer is not None and viewer.may("read") and not viewer.may("act") and not viewer.may("approve")
        demo = replace(runtime.settings, console_second_factor=False)
        viewer = await Sessions(runtime.pool, runtime.clock, demo, runtime.sealer).viewer(token)
        assert viewer is not None and viewer.may("act")


async def test_guesses_are_slowed_down_by_account_and_address_in_all_processes(new_database: NewDatabase) -> None:
    async with _console(new_database) as console:
        await console.signed_in("viewer", operator_id="ada")
        runtime = console.process.runtime
        processes = [Sessions(runtime.pool, runtime.clock, runtime.settings, runtime.sealer) for _ in range(2)]

        async def guess(number: int, address: str = ADDRESS, password: str = "wrong password") -> Any:
            return await processes[number % 2].sign_in("ada", password, code_now(), address)

        for number in range(6):
            with pytest.raises(SignInRefused):
                await guess(number)
            runtime.clock.shift_ms += 1_500 if number == 4 else 0
        with pytest.raises(Throttled) as slowed:
            await guess(6, password=PASSWORD)  # the right one is not looked at
        assert slowed.value.retry_after_s >= 1
        assert await guess(7, address="198.51.100.7", password=PASSWORD), "its owner is elsewhere, and is not held up"


async def test_tries_at_once_are_counted_before_they_are_looked_at(new_database: NewDatabase) -> None:
    async with _console(new_database) as console:
        await console.signed_in("viewer", operator_id="ada")

        async def guess(number: int) -> str:
            try:
                return await console.process.sessions.sign_in("ada", f"guess {number}", code_now(), ADDRESS)
            except (SignInRefused, Throttled) as error:
                return type(error).__name__

        ends = await asyncio.gather(*map(guess, range(40)))
        # Five are free, and the sixth waits for nobody but the fifth.
        assert ends.count("SignInRefused") <= 6
        assert ends.count("Throttled") >= 34


async def test_an_account_that_is_guessed_from_everywhere_is_slow_and_not_locked(new_database: NewDatabase) -> None:
    async with _console(new_database) as console:
        await console.signed_in("viewer", operator_id="ada")
        runtime, put_off = console.process.runtime, 0
        for number in range(200):
            try:
                await console.process.sessions._throttle.take("ada", f"198.51.100.{number}", runtime.clock.now())
            except Throttled as error:
                put_off += 1
                assert error.retry_after_s <= 15
        assert put_off > 150
        runtime.clock.shift_ms += 15_000
        assert await console.process.sessions.sign_in("ada", PASSWORD, code_now(), "203.0.113.9")


def test_codes_are_those_of_the_standard() -> None:
    """RFC 6238, appendix B, with six digits."""
    secret = b"12345678901234567890"
    for moment, code in ((59, "287082"), (1111111109, "081804"), (1234567890, "005924"), (20000000000, "353130")):
        assert code_at(secret, moment // 30) == code


def test_a_code_holds_for_its_step_and_its_neighbours() -> None:
    from datetime import UTC, datetime

    now = datetime.now(UTC)
    step = int(now.timestamp()) // 30
    assert [matching_step(SECOND_FACTOR, code_at(SECOND_FACTOR, step + apart), now) for apart in (-2, -1, 0, 1, 2)] == [
        None,
        step - 1,
        step,
        step + 1,
        None,
    ]


@pytest.mark.parametrize("password", ["short", "aaaaaaaaaaaaaaaa", "adalovelace-adalovelace", "x" * 300])
def test_passwords_that_are_refused(password: str) -> None:
    with pytest.raises(PasswordRefused):
        require_password(password, "adalovelace")


@pytest.mark.parametrize(
    ("wanted", "given"),
    [
        ("/console/payments?state=in_doubt", "/console/payments?state=in_doubt"),
        ("/console", "/console"),
        ("https://evil.example/console", "/console"),
        ("//evil.example/console", "/console"),
        ("/consolex", "/console"),
        ("/console/\\evil.example", "/console"),
        ("/console/\r\nSet-Cookie: a=b", "/console"),
        ("", "/console"),
    ],
)
def test_a_sign_in_leads_to_our_own_pages(wanted: str, given: str) -> None:
    assert own_address(wanted) == given


async def test_secrets_are_hashed_or_sealed(new_database: NewDatabase) -> None:
    async with _console(new_database) as console:
        person = await console.signed_in("operator", operator_id="ada")
        token = person.http.cookies[SESSION_COOKIE]
        rows = await console.process.runtime.pool.fetch(
            "SELECT c::text AS kept FROM operator_credential c UNION ALL SELECT s::text FROM operator_session s"
        )
        kept = " ".join(row["kept"] for row in rows)
        assert "$argon2id$" in kept
        for secret in (token, PASSWORD, "invited-ada", SECOND_FACTOR.decode(), SECOND_FACTOR.hex()):
            assert secret not in kept and secret.encode().hex() not in kept


async def test_a_sign_in_from_another_site_is_refused(new_database: NewDatabase) -> None:
    async with _console(new_database) as console:
        await console.signed_in("viewer", operator_id="ada")
        stranger = console.stranger()
        token = token_on((await stranger.see("/console/sign-in")).text, "/console/sign-in")
        fields = {"form_token": token, "operator": "ada", "password": PASSWORD, "code": code_now()}
        for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
            assert (await stranger.http.post("/console/sign-in", data=fields, headers=headers)).status_code == 400
        cookieless = console.stranger()
        assert (await cookieless.http.post("/console/sign-in", data=fields)).status_code == 400
        assert (
            await stranger.http.post("/console/sign-in", data=fields, headers={"Origin": ORIGIN})
        ).status_code == 303


def _shown_secret(page: str) -> bytes:
    import base64

    found = re.search(r"<code>([A-Z2-7 ]{39})</code>", page)
    assert found is not None
    return base64.b32decode(found[1].replace(" ", ""))


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO operator_version (operator_id, version, state, roles, raw_evidence, actor, at)"
        " VALUES ('ada', 2, 'disabled', '{operator}', false, 'test', now())",
        "UPDATE operator_credential SET version = version + 1",
        "UPDATE operator_session SET ended_at = now()",
    ],
    ids=["disabled", "reset", "ended"],
)
async def test_each_of_these_alone_ends_a_session(new_database: NewDatabase, statement: str) -> None:
    """A sign-in that was under way when somebody was disabled or reset leaves a session that was not ended."""
    async with _console(new_database) as console:
        person = await console.signed_in("operator", operator_id="ada")
        token = person.http.cookies[SESSION_COOKIE]
        assert await console.process.sessions.viewer(token) is not None
        async with console.process.runtime.pool.acquire() as connection:
            await connection.execute(statement)
        assert await console.process.sessions.viewer(token) is None
