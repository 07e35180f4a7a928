"""The console's application: every row of the table as a route, behind the same checks."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from http.cookies import CookieError, SimpleCookie
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from litestar import HttpMethod, Litestar, Request
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from litestar.handlers import route as framework_route
from litestar.response import Response

from tallystick.access.viewer import Viewer
from tallystick.flows.console_process import ConsoleProcess, open_console_process
from tallystick.flows.failures import DATABASE_AWAY
from tallystick.interfaces.console.forms import (
    MAX_FORM_BYTES,
    Form,
    FormRefused,
    read_form,
    require_own_form,
    token_field,
)
from tallystick.interfaces.console.page import ROOT, SIGN_IN, Answer, Page, PageRequest, Redirect, Refused, View, is_own
from tallystick.interfaces.console.rendering import Templates
from tallystick.interfaces.console.security import RequestPolicy, plain
from tallystick.interfaces.console.table import PAGES
from tallystick.kit.logs import configure_logging, flush_lines, get_logger
from tallystick.providers.port import Provider
from tallystick.providers.registry import CONNECTOR_SETTINGS
from tallystick.record.sealing import SealingRefused
from tallystick.settings.load import Settings, load_settings, secret_names

log = get_logger("tallystick.interfaces.console")

Lifespan = Callable[[Litestar], AbstractAsyncContextManager[None]]

#: Its prefix makes browsers refuse it from any other host, path or scheme. Browsers take Secure cookies over plain HTTP
#: from loopback alone.
SESSION_COOKIE: Final = "__Host-tallystick"

#: What forms of people who are not signed in are protected by. Signing in makes another secret, which nobody could have
#: put into the browser before.
FORM_COOKIE: Final = "__Host-tallystick-form"

#: 256 bits.
FORM_COOKIE_BYTES: Final = 32

HTML: Final = "text/html; charset=utf-8"

#: A part of an address that varies, as pages name it.
_PARAMETER: Final = re.compile(r"{(\w+):\w+}")


class _Visit(NamedTuple):
    """Who asks, and what the tokens of their forms are made with. ``is_new``: the browser does not have it yet."""

    viewer: Viewer | None
    secret: str
    is_new: bool = False


_STRANGER: Final = _Visit(None, "")


class Console:
    """What the routes of one process share. ``process`` is there between startup and shutdown."""

    process: ConsoleProcess

    def __init__(self, settings: Settings, pages: tuple[Page, ...]) -> None:
        self.settings = settings
        self.policy = RequestPolicy(settings)
        self.templates = Templates()
        self.pages = pages

    async def viewer(self, token: str, *, is_use: bool = True) -> Viewer | None:
        """Who is signed in with this secret."""
        return await self.process.sessions.viewer(token, is_use=is_use)

    async def respond(self, page: Page, request: Request[Any, Any, Any]) -> Response[Any]:
        """One request: who asks, whether they may, whether the form is ours; then the page's handler."""
        cookies = cookies_of(request)
        session = cookies.get(SESSION_COOKIE, "")
        visit = _Visit(None, cookies.get(FORM_COOKIE, ""))
        try:
            viewer = await self.viewer(session, is_use=not page.by_itself) if session else None
            if viewer is not None:
                visit = _Visit(viewer, session)
            if (refused := self._refused(page, visit, request)) is not None:
                return refused
            form = await _own_form(request, visit.secret) if page.method == "POST" else Form()
            if not visit.secret:
                visit = _Visit(None, secrets.token_urlsafe(FORM_COOKIE_BYTES), is_new=True)
            asked = PageRequest(
                self.process,
                viewer,
                path={name: str(value) for name, value in request.path_params.items()},
                query={name: request.query_params[name] for name in request.query_params},
                form=form,
                address=self.policy.address(request.scope),
                secret=visit.secret,
            )
            return self._rendered(page, await page.handle(asked), visit)
        except FormRefused as error:
            return self.error(400, str(error), visit)
        except Refused as error:
            return self.error(error.status, error.says, visit)
        except DATABASE_AWAY as error:
            log.warning("console has no database", page=page.name, error=type(error).__name__)
            return self.error(503, "The database does not answer. Load the page again in a while.", visit)
        except SealingRefused:
            return self.error(503, "This process does not have the record's sealing keys.", visit)
        except Exception:
            log.exception("console page failed", page=page.name)
            return self.error(500, "The page failed; the log says why. Nothing else is affected.", visit)

    def _refused(self, page: Page, visit: _Visit, request: Request[Any, Any, Any]) -> Response[Any] | None:
        if page.right is None:
            return None
        if visit.viewer is None:
            if page.method == "GET":
                asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
                return _redirect(f"{SIGN_IN}?next={quote(asked, safe='')}" if asked != ROOT else SIGN_IN)
            return self.error(401, "You are signed out. Nothing was done; sign in, and do it again.", _STRANGER)
        if not visit.viewer.may(page.right):
            raise Refused(403, f"This needs the right “{page.right}”, which you do not have.")
        if page.platform and visit.viewer.merchants is not None:
            raise Refused(403, "This is about the platform, and you are limited to merchants.")
        if page.fresh and not visit.viewer.is_fresh(self.process.runtime.clock.now(), self.settings.console_fresh_ms):
            raise Refused(403, "This needs a recent sign-in. Sign in again, and do it again; nothing was done.")
        return None

    def _rendered(self, page: Page, answer: Answer, visit: _Visit) -> Response[Any]:
        if isinstance(answer, Redirect):
            return _redirect(answer.to if is_own(answer.to) else ROOT, answer.session)
        if isinstance(answer, View):
            return self._html(answer.template, answer.status, page.title, answer.context, visit)
        return answer

    def error(self, status: int, says: str, visit: _Visit | None = None) -> Response[Any]:
        """A page that says why there is none."""
        return self._html("error.html", status, f"Error {status}", {"says": says}, visit or _STRANGER)

    def _html(self, template: str, status: int, title: str, context: Mapping[str, Any], visit: _Visit) -> Response[Any]:
        own = {
            "title": title,
            "viewer": visit.viewer,
            "navigation": self._navigation(visit.viewer),
            "token": lambda action: token_field(visit.secret, action),
        }
        response = Response(self.templates.render(template, {**own, **context}), status_code=status, media_type=HTML)
        if visit.is_new:
            response.headers["set-cookie"] = _cookie(FORM_COOKIE, visit.secret)
        return response

    def _navigation(self, viewer: Viewer | None) -> list[Page]:
        """Pages with a group, of those that the viewer may see."""
        if viewer is None:
            return []
        return [
            page
            for page in self.pages
            if page.group
            and page.right is not None
            and viewer.may(page.right)
            and (viewer.merchants is None or not page.platform)
        ]


class ConsoleApplication(Litestar):
    """Refuses what is not for the console before anything reads it, and puts our headers on every answer."""

    def __init__(self, console: Console, lifespan: Lifespan) -> None:
        self._policy = console.policy

        def on_error(_: Request[Any, Any, Any], error: Exception) -> Response[Any]:
            status = error.status_code if isinstance(error, HTTPException) else 500
            if status >= 500:
                log.error("console request failed", error=type(error).__name__)
            says = {404: "There is no such page.", 405: "This address takes no such request."}
            return console.error(status, says.get(status, "The request cannot be answered."))

        super().__init__(
            _handlers(console),
            lifespan=[lifespan],
            exception_handlers={Exception: on_error},
            openapi_config=None,
            logging_config=None,  # Litestar's would log requests with what was sent
            request_max_body_size=MAX_FORM_BYTES,
        )

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """The ASGI application."""
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        dressed = self._policy.dressed(send)
        if (refused := self._policy.refusal(scope)) is not None:
            await plain(*refused, receive, dressed)
            return
        await super().__call__(scope, receive, dressed)


def create_console(
    settings: Settings,
    database_url: str | None = None,
    *,
    providers: Mapping[str, Provider] | None = None,
    pages: tuple[Page, ...] = PAGES,
) -> ConsoleApplication:
    """The application. Without ``database_url`` the settings name the database; ``providers`` and ``pages`` are for
    tests that bring their own. Startup raises what opening the database raises."""
    console = Console(settings, pages)

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        async with open_console_process(settings, database_url, providers=providers) as process:
            console.process = process
            app.state.console = console
            yield
        flush_lines()

    return ConsoleApplication(console, lifespan)


def asgi_factory() -> ConsoleApplication:
    """The application by the environment's settings, for an ASGI server. Raises SettingsError."""
    settings = load_settings(os.environ, CONNECTOR_SETTINGS)
    configure_logging(settings.log_level, secret_names(CONNECTOR_SETTINGS), settings.log_format)
    return create_console(settings)


def cookies_of(request: Request[Any, Any, Any]) -> dict[str, str]:
    """The cookies of a request; none where its header cannot be read."""
    try:
        return {name: morsel.value for name, morsel in SimpleCookie(request.headers.get("cookie", "")).items()}
    except CookieError:
        return {}


async def _own_form(request: Request[Any, Any, Any], secret: str) -> Form:
    form = read_form(await request.body(), request.headers.get("content-type", ""))
    require_own_form(form, secret, request.url.path, request.headers)
    return form


def _redirect(to: str, session: str | None = None) -> Response[Any]:
    headers = {"location": to}
    if session is not None:
        headers["set-cookie"] = _cookie(SESSION_COOKIE, session)
    return Response(b"", status_code=303, headers=headers, media_type=HTML)


def _cookie(name: str, value: str) -> str:
    """Kept until the browser is closed; an empty one is dropped at once."""
    return f"{name}={value}; Path=/; Secure; HttpOnly; SameSite=Strict" + ("" if value else "; Max-Age=0")


def _handlers(console: Console) -> list[HTTPRouteHandler]:
    """The pages as Litestar has them. Addresses that have the same methods share one of its handlers, because to make a
    handler takes a millisecond."""
    pages: dict[tuple[str, str], Page] = {
        (page.method, _PARAMETER.sub(r"{\1}", page.path)): page for page in console.pages
    }
    allowed: dict[str, tuple[HttpMethod, ...]] = {}
    for page in console.pages:
        allowed[page.path] = (*allowed.get(page.path, ()), HttpMethod(page.method))

    def handler(methods: tuple[HttpMethod, ...]) -> HTTPRouteHandler:
        names = sorted((*methods, HttpMethod.OPTIONS))

        async def handle(request: Request[Any, Any, Any]) -> Response[Any]:
            if request.method == HttpMethod.OPTIONS:  # Litestar would make one more handler an address for it
                return Response(b"", status_code=204, headers={"allow": ", ".join(names)}, media_type="text/plain")
            return await console.respond(pages[request.method, request.scope["path_template"]], request)

        paths = [path for path, of_path in allowed.items() if of_path == methods]
        return framework_route(paths, http_method=names, status_code=200, include_in_schema=False)(handle)

    return [handler(methods) for methods in dict.fromkeys(allowed.values())]
