"""`tallystick up` with the console: its first operator signs in, over HTTP, with what stands in a file of their own."""

from __future__ import annotations

import stat
from pathlib import Path

import httpx

from tallystick.access.totp import enrolment_secret
from tallystick.interfaces.console.app import FORM_COOKIE, SESSION_COOKIE
from tests.support.api import SEALING_KEY
from tests.support.commands import Up
from tests.support.console import PASSWORD, code_now, token_on
from tests.support.database import NewDatabase
from tests.support.polling import eventually
from tests.support.ports import free_port

PAGE = "/console/first-sign-in"


def test_the_first_operator_signs_in_with_a_secret_that_is_in_no_log(new_database: NewDatabase, tmp_path: Path) -> None:
    database, port = new_database(), free_port()
    with Up(
        tmp_path / "d",
        console="true",
        console_port=str(port),
        sealing_keys=SEALING_KEY,
        database_url=database.app_url,
        migration_database_url=database.owner_url,
    ) as up:
        file = up.data_dir / "first-sign-in"
        eventually(file.exists)
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        address, invitation = file.read_text().split()
        assert address == f"http://127.0.0.1:{port}{PAGE}?operator=admin"
        eventually(lambda: str(file) in up.said())  # it is said once the file is there
        assert invitation not in up.said()
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60) as browser:
            eventually(lambda: _is_ready(browser))
            assert browser.get("/console", headers={"Host": "evil.example"}).status_code == 421
            # httpx sends no Secure cookie over plain HTTP; browsers do, on loopback.
            form = browser.get(PAGE)
            secret = _cookie(form, FORM_COOKIE)
            factor = enrolment_secret(secret)
            fields = {
                "form_token": token_on(form.text, PAGE),
                "operator": "admin",
                "invitation": invitation,
                "password": PASSWORD,
                "again": PASSWORD,
                "code": code_now(factor),
            }
            done = browser.post(PAGE, data=fields, headers={"Cookie": f"{FORM_COOKIE}={secret}"})
            assert done.status_code == 303, done.text
            session = {"Cookie": f"{SESSION_COOKIE}={_cookie(done, SESSION_COOKIE)}"}
            assert "admin" in browser.get("/console", headers=session).text
            again = browser.post(PAGE, data=fields, headers={"Cookie": f"{FORM_COOKIE}={secret}"})
            assert again.status_code == 401
        for private in (invitation, PASSWORD, secret, session["Cookie"].partition("=")[2]):
            assert private not in up.said()


def _is_ready(browser: httpx.Client) -> bool:
    try:
        return browser.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False


def _cookie(answer: httpx.Response, name: str) -> str:
    set_cookie = answer.headers["set-cookie"]
    assert set_cookie.startswith(f"{name}=")
    return set_cookie.partition("=")[2].partition(";")[0]
