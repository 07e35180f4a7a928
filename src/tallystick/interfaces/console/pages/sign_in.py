"""Signing in, for the first time and again, and out."""

from __future__ import annotations

from typing import Final

from tallystick.access.passwords import SHORTEST, PasswordRefused
from tallystick.access.sessions import SignInRefused
from tallystick.access.throttle import Throttled
from tallystick.access.totp import enrolment_secret, otpauth_url, shown_secret
from tallystick.interfaces.console.page import ROOT, SIGN_IN, Answer, Page, PageRequest, Redirect, View, is_own
from tallystick.interfaces.console.qr_code import qr_code

FIRST_SIGN_IN: Final = f"{ROOT}/first-sign-in"
SIGN_OUT: Final = f"{ROOT}/sign-out"

#: Longer than any address of ours.
_LONGEST_ADDRESS: Final = 2_000


async def sign_in(request: PageRequest) -> Answer:
    """The form."""
    return _form(request.query.get("next", ""))


async def signing_in(request: PageRequest) -> Answer:
    """Name, password and code are looked at together. The session that the browser had is over."""
    form, sessions = request.form, request.process.sessions
    wanted = form.get("next")
    try:
        token = await sessions.sign_in(
            form.get("operator").lower(), form.exact("password"), form.get("code"), request.address
        )
    except Throttled as error:
        return _form(wanted, f"{error}.", 429)
    except SignInRefused as error:
        return _form(wanted, f"{error}.", 401)
    if request.somebody is not None:
        await sessions.sign_out(request.secret)
    return Redirect(own_address(wanted), session=token)


async def first_sign_in(request: PageRequest) -> Answer:
    """The form of an invitation."""
    return _first_form(request)


async def signing_in_first(request: PageRequest) -> Answer:
    """Takes the invitation, sets the password, enrols the second factor. The session that the browser had is over."""
    form, sessions = request.form, request.process.sessions
    if form.exact("password") != form.exact("again"):
        return _first_form(request, "The two passwords differ.", 400)
    try:
        token = await sessions.first_sign_in(
            form.get("operator").lower(),
            form.get("invitation"),
            form.exact("password"),
            enrolment_secret(request.secret),
            form.get("code"),
            request.address,
        )
    except Throttled as error:
        return _first_form(request, f"{error}.", 429)
    except (SignInRefused, PasswordRefused) as error:
        return _first_form(request, f"{error}.", 401)
    if request.somebody is not None:
        await sessions.sign_out(request.secret)
    return Redirect(ROOT, session=token)


async def sign_out(request: PageRequest) -> Answer:
    """The session is over in every process, not in this browser alone."""
    await request.process.sessions.sign_out(request.secret)
    return Redirect(SIGN_IN, session="")


def own_address(wanted: str) -> str:
    """Where to go after the sign-in: a page of ours, and never another site."""
    return wanted if is_own(wanted) and len(wanted) <= _LONGEST_ADDRESS else ROOT


def _form(wanted: str, wrong: str = "", status: int = 200) -> Answer:
    return View(template="sign_in.html", context={"next": own_address(wanted), "wrong": wrong}, status=status)


def _first_form(request: PageRequest, wrong: str = "", status: int = 200) -> Answer:
    secret = enrolment_secret(request.secret)
    operator = (request.form.get("operator") or request.query.get("operator", ""))[:32]
    link = otpauth_url(secret, operator or "operator")
    return View(
        template="first_sign_in.html",
        context={
            "wrong": wrong,
            "operator": operator,
            "secret": shown_secret(secret),
            "link": link,
            "picture": qr_code(link),
            "shortest": SHORTEST,
            "needs_code": request.runtime.settings.console_second_factor,
        },
        status=status,
    )


PAGES: Final = (
    Page(name="sign_in", path=SIGN_IN, handle=sign_in, right=None, title="Sign in"),
    Page(name="signing_in", path=SIGN_IN, handle=signing_in, right=None, title="Sign in", method="POST"),
    Page(name="first_sign_in", path=FIRST_SIGN_IN, handle=first_sign_in, right=None, title="First sign-in"),
    Page(
        name="signing_in_first",
        path=FIRST_SIGN_IN,
        handle=signing_in_first,
        right=None,
        title="First sign-in",
        method="POST",
    ),
    Page(name="sign_out", path=SIGN_OUT, handle=sign_out, right=None, title="Sign out", method="POST"),
)
