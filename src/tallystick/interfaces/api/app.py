"""The ASGI application: routes from the endpoint table, and what every request has in common."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, nullcontext
from typing import Any, Final

from litestar import HttpMethod, Litestar, Request
from litestar.handlers import HTTPRouteHandler, route
from litestar.types import ASGIApp, Scope

from tallystick.domain.errors import problem
from tallystick.domain.views import encode
from tallystick.flows.assembly import open_intake, open_rejected_deliveries, open_runtime
from tallystick.flows.runtime import Runtime
from tallystick.interfaces.api.authentication import Authenticator, Caller
from tallystick.interfaces.api.body_reader import Reception
from tallystick.interfaces.api.endpoint import Endpoint
from tallystick.interfaces.api.health import Readiness, healthz
from tallystick.interfaces.api.http import PROBLEM_JSON, ApiRequest, HttpResponse
from tallystick.interfaces.api.openapi import openapi_document
from tallystick.interfaces.api.problems import Refused, busy, on_framework_refusal, report, tell_what_was_left_out
from tallystick.interfaces.api.rate_limit import RateLimiter
from tallystick.interfaces.api.routes import provider_webhooks
from tallystick.interfaces.api.routes.provider_webhooks import WebhookDoor
from tallystick.interfaces.api.table import ENDPOINTS
from tallystick.kit.logs import configure_logging
from tallystick.providers.assembly import receivers
from tallystick.providers.port import Provider
from tallystick.providers.registry import CONNECTOR_SETTINGS
from tallystick.record.postgres.embedded.server import DatabaseUrls, resolve_database
from tallystick.record.postgres.failures import DATABASE_AWAY
from tallystick.record.sealing import sealer_of
from tallystick.settings.load import Settings, load_settings, secret_names

Handler = Callable[[Request[Any, Any, Any]], Awaitable[ASGIApp]]

#: Reads give way when the queues of payments are this full: well before new payments do (0.8).
READS_SHARE: Final = 0.6

#: Reads under way in one process. Each waits for one of a few connections; more than this would wait for seconds.
READS_LIMIT: Final = 500


class Face:
    """What the handlers of one process share; ``runtime`` is there between startup and shutdown."""

    runtime: Runtime
    authenticator: Authenticator
    limiter: RateLimiter
    provider_webhooks: WebhookDoor
    reads: int

    def __init__(self, reception: Reception) -> None:
        self._reception = reception

    def open(self, runtime: Runtime) -> None:
        """Ready to answer."""
        settings = runtime.settings
        self.runtime = runtime
        self.reads = 0
        self.authenticator = Authenticator(runtime.reads, settings.api_key_cache_ms)
        self.limiter = RateLimiter(settings.rate_limit_per_s, settings.rate_limit_burst)

    def exchange(self, request: Request[Any, Any, Any]) -> ApiRequest:
        """A request as the handlers read it."""
        return ApiRequest(request.scope, request.receive, self._reception)

    async def answer(self, endpoint: Endpoint, exchange: ApiRequest) -> HttpResponse:
        """Authentication, rate, permission, then the endpoint; refusals and failures become problem documents."""
        try:
            caller = await self.authenticator.caller(exchange.authorizations)
            if caller is None:
                detail = "Send a valid API key: Authorization: Bearer <key>."
                refused = problem("unauthenticated", detail, request_id=exchange.request_id)
                raise Refused(refused, (b"www-authenticate", b'Bearer realm="tallystick"'))
            standing = self.limiter.take((caller.merchant_id, caller.key_id))
            if standing is not None:
                exchange.answer_headers += self.limiter.headers(standing)
                if not standing.allowed:
                    refused = problem(
                        "rate_limited", "This key sends too many requests.", request_id=exchange.request_id
                    )
                    raise Refused(refused, (b"retry-after", b"%d" % standing.retry_after_s))
            if endpoint.callers != "either" and caller.operator != (endpoint.callers == "operator"):
                detail = f"It takes an API key of {'an operator' if endpoint.callers == 'operator' else 'a merchant'}."
                raise Refused(problem("forbidden", detail, request_id=exchange.request_id))
            if endpoint.method == "GET":
                return await self._read(endpoint, exchange, caller)
            return await endpoint.handle(self.runtime, exchange, caller)
        except Refused as error:
            return refusal(error, exchange, endpoint.name)
        except DATABASE_AWAY as error:
            away = busy("not_ready", "The database does not answer.", exchange.request_id)
            return refusal(away, exchange, endpoint.name, error)
        except Exception as error:
            defect = problem(
                "internal_error", "A defect of ours; the log has the place.", request_id=exchange.request_id
            )
            return refusal(Refused(defect), exchange, endpoint.name, error)

    async def webhook(self, scope: Scope, exchange: ApiRequest) -> HttpResponse:
        """A provider's delivery: its signature is who it is."""
        try:
            return await self.provider_webhooks.answer(scope, exchange)
        except Refused as error:
            return refusal(error, exchange, "receiveWebhook")
        except Exception as error:
            defect = problem(
                "internal_error", "A defect of ours; the log has the place.", request_id=exchange.request_id
            )
            return refusal(Refused(defect), exchange, "receiveWebhook", error)

    async def _read(self, endpoint: Endpoint, exchange: ApiRequest, caller: Caller) -> HttpResponse:
        """Reads are bounded, and shed before anything that moves money."""
        journal, flows = self.runtime.journal, self.runtime.flows
        if self.reads >= READS_LIMIT or not journal.room(READS_SHARE) or not flows.has_room(READS_SHARE):
            raise busy("overloaded", "Reads give way to payments just now.", exchange.request_id)
        self.reads += 1
        try:
            return await endpoint.handle(self.runtime, exchange, caller)
        finally:
            self.reads -= 1


def refusal(refused: Refused, exchange: ApiRequest, operation: str, error: Exception | None = None) -> HttpResponse:
    """A problem document as an answer; from 500 on it is also a line in the log."""
    status = refused.problem.status
    if status >= 500:
        report(refused.problem, operation, error)
    headers = (*exchange.answer_headers, *refused.headers)
    return HttpResponse(status, encode(refused.problem), PROBLEM_JSON, headers)


def create_app(
    settings: Settings, database_url: str | None = None, *, providers: Mapping[str, Provider] | None = None
) -> Litestar:
    """The application. Without ``database_url`` the settings name the database; ``providers`` is for tests and
    benchmarks that bring their own. Startup raises what opening the database raises."""
    face = Face(Reception(settings.request_body_timeout_ms))

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        database = (
            resolve_database(settings)
            if database_url is None
            else nullcontext(DatabaseUrls(database_url, database_url))
        )
        # Leaving drains the flows: what a client asked for ends before the connections close.
        with database as urls:
            async with (
                open_runtime(settings, urls.app_url, providers=providers) as runtime,
                open_intake(settings, urls.app_url) as intake,
                open_rejected_deliveries(runtime) as rejected,
            ):
                face.open(runtime)
                face.provider_webhooks = WebhookDoor(
                    receivers(settings), intake, rejected, sealer_of(settings), runtime.clock
                )
                app.state.runtime = runtime
                app.state.webhooks = face.provider_webhooks
                yield
                tell_what_was_left_out()

    handlers = [*(_route(face, endpoint) for endpoint in ENDPOINTS), *_open_routes(face)]
    return Litestar(
        [*_options(face, handlers), *handlers],  # later, Litestar would have made its own
        lifespan=[lifespan],
        exception_handlers={Exception: on_framework_refusal},
        openapi_config=None,  # the document is made from our own table
        logging_config=None,  # Litestar's would log requests with what clients sent
    )


def asgi_factory() -> Litestar:
    """The application by the environment's settings, for an ASGI server. Raises SettingsError."""
    settings = load_settings(os.environ, CONNECTOR_SETTINGS)
    configure_logging(settings.log_level, secret_names(CONNECTOR_SETTINGS))
    return create_app(settings)


def _route(face: Face, endpoint: Endpoint) -> HTTPRouteHandler:
    async def handle(request: Request[Any, Any, Any]) -> ASGIApp:
        return await face.answer(endpoint, face.exchange(request))

    return _handler(endpoint.method, endpoint.path, handle)


def _open_routes(face: Face) -> list[HTTPRouteHandler]:
    """What needs no API key."""
    document = openapi_document()

    async def openapi(request: Request[Any, Any, Any]) -> ASGIApp:
        return HttpResponse(200, document, headers=tuple(face.exchange(request).answer_headers))

    def probe(look: Callable[[Runtime, ApiRequest], Awaitable[HttpResponse]]) -> Handler:
        async def handle(request: Request[Any, Any, Any]) -> ASGIApp:
            exchange = face.exchange(request)
            try:
                return await look(face.runtime, exchange)
            except Refused as error:
                return refusal(error, exchange, look.__name__)

        return handle

    async def webhook(request: Request[Any, Any, Any]) -> ASGIApp:
        return await face.webhook(request.scope, face.exchange(request))

    return [
        _handler("POST", provider_webhooks.PATH, webhook),
        _handler("GET", "/openapi.json", openapi),
        _handler("GET", "/healthz", probe(healthz)),
        _handler("GET", "/readyz", probe(Readiness().readyz)),
    ]


def _options(face: Face, handlers: Iterable[HTTPRouteHandler]) -> Iterable[HTTPRouteHandler]:
    """OPTIONS for every path, naming all of its methods; Litestar's own names those of one handler."""
    methods: dict[str, set[str]] = {}
    for handler in handlers:
        for path in handler.paths:
            methods.setdefault(path, {"OPTIONS"}).update(handler.http_methods)
    return [_options_handler(face, path, ", ".join(sorted(allowed))) for path, allowed in methods.items()]


def _options_handler(face: Face, path: str, allow: str) -> HTTPRouteHandler:
    async def handle(request: Request[Any, Any, Any]) -> ASGIApp:
        exchange = face.exchange(request)
        return HttpResponse(204, b"", headers=(*exchange.answer_headers, (b"allow", allow.encode())))

    return route(path, http_method=HttpMethod.OPTIONS)(handle)


def _handler(method: str, path: str, handle: Handler) -> HTTPRouteHandler:
    methods = (HttpMethod.GET, HttpMethod.HEAD) if method == "GET" else (HttpMethod(method),)
    # The answer has its own status; Litestar's default for DELETE would forbid it a body.
    return route(re.sub(r"{(\w+)}", r"{\1:str}", path), http_method=methods, status_code=200)(handle)
