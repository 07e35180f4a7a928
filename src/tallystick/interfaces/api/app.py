"""The ASGI application: routes from the endpoint table, and what every request has in common."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from litestar import HttpMethod, Litestar, Request
from litestar.handlers import HTTPRouteHandler, route
from litestar.types import ASGIApp

from tallystick.domain.errors import problem
from tallystick.domain.views import encode
from tallystick.flows.api_process import ApiProcess, open_api_process
from tallystick.flows.failures import DATABASE_AWAY
from tallystick.flows.runtime import Runtime
from tallystick.interfaces.api.authentication import Authenticator, Caller
from tallystick.interfaces.api.body_reader import BodyReader
from tallystick.interfaces.api.endpoint import Endpoint
from tallystick.interfaces.api.health import healthz, readyz
from tallystick.interfaces.api.http import PROBLEM_JSON, ApiRequest, HttpResponse
from tallystick.interfaces.api.openapi import openapi_document
from tallystick.interfaces.api.parameters import Parameter
from tallystick.interfaces.api.problems import (
    LACKS_KEY,
    ProblemError,
    busy,
    flush_sampled_lines,
    internal_error,
    on_framework_error,
    report,
)
from tallystick.interfaces.api.rate_limit import RateLimiter
from tallystick.interfaces.api.request_form import refusal
from tallystick.interfaces.api.routes import provider_webhooks
from tallystick.interfaces.api.routes.provider_webhooks import WebhookReceiver
from tallystick.interfaces.api.table import ENDPOINTS
from tallystick.kit.logs import configure_logging
from tallystick.providers.assembly import receivers
from tallystick.providers.port import Provider
from tallystick.providers.registry import CONNECTOR_SETTINGS
from tallystick.record.sealing import SealingRefused
from tallystick.settings.load import Settings, load_settings, secret_names

Handler = Callable[[Request[Any, Any, Any]], Awaitable[ASGIApp]]

#: Reads give way when the queues of payments are this full: well before new payments do (0.8).
READS_SHARE: Final = 0.6

#: Reads under way in one process. Each waits for one of a few connections; more than this would wait for seconds.
READS_LIMIT: Final = 500


class Application(Litestar):
    """Routes requests that are well-formed, and refuses others before that."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """The ASGI application."""
        refused = refusal(scope) if scope["type"] == "http" else None
        if refused is None:
            await super().__call__(scope, receive, send)
            return
        headers = ((b"request-id", (refused.request_id or "").encode()),)
        await HttpResponse(refused.status, encode(refused), PROBLEM_JSON, headers)(scope, receive, send)


class ApiServer:
    """What the handlers of one process share; ``runtime`` is there between startup and shutdown."""

    runtime: Runtime
    authenticator: Authenticator
    limiter: RateLimiter
    webhook_receiver: WebhookReceiver
    reads: int

    def __init__(self, body_reader: BodyReader) -> None:
        self._body_reader = body_reader

    def open(self, process: ApiProcess) -> None:
        """Ready to respond."""
        runtime, settings = process.runtime, process.runtime.settings
        self.runtime = runtime
        self.reads = 0
        self.authenticator = Authenticator(runtime.stores.api_keys, settings.api_key_cache_ms)
        self.limiter = RateLimiter(settings.rate_limit_per_s, settings.rate_limit_burst)
        self.webhook_receiver = WebhookReceiver(
            receivers(settings),
            process.intake,
            process.rejected,
            runtime.sealer,
            runtime.words,
            runtime.clock,
            runtime.drift,
        )

    def request(self, request: Request[Any, Any, Any], parameters: tuple[Parameter, ...] = ()) -> ApiRequest:
        """A request as the handlers read it."""
        return ApiRequest(request.scope, request.receive, self._body_reader, parameters)

    async def respond(self, operation: str, request: ApiRequest, handled: Awaitable[HttpResponse]) -> HttpResponse:
        """What the handler responds; its errors and failures become problem documents."""
        try:
            return await handled
        except ProblemError as error:
            return problem_response(error, request, operation)
        except DATABASE_AWAY as error:
            away = busy("not_ready", "The database does not answer.", request.request_id)
            return problem_response(away, request, operation, error)
        except SealingRefused as error:  # this process has other keys than the record, or none
            return problem_response(busy("not_ready", LACKS_KEY, request.request_id), request, operation, error)
        except Exception as error:
            return problem_response(internal_error(request.request_id), request, operation, error)

    async def authenticated(self, endpoint: Endpoint, request: ApiRequest) -> HttpResponse:
        """Authentication, rate, permission, then the endpoint. Raises ProblemError, and what the endpoint raises."""
        caller = await self.authenticator.caller(request.authorizations)
        if caller is None:
            detail = "Send a valid API key: Authorization: Bearer <key>."
            unauthenticated = problem("unauthenticated", detail, request_id=request.request_id)
            raise ProblemError(unauthenticated, (b"www-authenticate", b'Bearer realm="tallystick"'))
        standing = self.limiter.take((caller.merchant_id, caller.key_id))
        if standing is not None:
            request.response_headers += self.limiter.headers(standing)
            if not standing.allowed:
                limited = problem("rate_limited", "This key sends too many requests.", request_id=request.request_id)
                raise ProblemError(limited, (b"retry-after", b"%d" % standing.retry_after_s))
        if endpoint.callers != "either" and caller.operator != (endpoint.callers == "operator"):
            whose = "an operator" if endpoint.callers == "operator" else "a merchant's"
            detail = f"This endpoint needs {whose} API key."
            raise ProblemError(problem("forbidden", detail, request_id=request.request_id))
        if endpoint.method == "GET":
            return await self._read(endpoint, request, caller)
        return await endpoint.handle(self.runtime, request, caller)

    async def _read(self, endpoint: Endpoint, request: ApiRequest, caller: Caller) -> HttpResponse:
        """Reads are bounded, and shed before anything that moves money."""
        journal, flows = self.runtime.journal, self.runtime.flows
        if self.reads >= READS_LIMIT or not journal.room(READS_SHARE) or not flows.has_room(READS_SHARE):
            raise busy("overloaded", "Payments go first; repeat the read later.", request.request_id)
        self.reads += 1
        try:
            return await endpoint.handle(self.runtime, request, caller)
        finally:
            self.reads -= 1


def problem_response(
    problem_error: ProblemError, request: ApiRequest, operation: str, error: Exception | None = None
) -> HttpResponse:
    """A problem document as a response; from 500 on it is also a line in the log."""
    document = problem_error.problem
    if document.status >= 500:
        report(document, operation, error)
    headers = (*request.response_headers, *problem_error.headers)
    return HttpResponse(document.status, encode(document), PROBLEM_JSON, headers)


def create_app(
    settings: Settings, database_url: str | None = None, *, providers: Mapping[str, Provider] | None = None
) -> Litestar:
    """The application. Without ``database_url`` the settings name the database; ``providers`` is for tests and
    benchmarks that bring their own. Startup raises what opening the database raises."""
    server = ApiServer(BodyReader(settings.request_body_timeout_ms))

    @asynccontextmanager
    async def lifespan(app: Litestar) -> AsyncIterator[None]:
        async with open_api_process(settings, database_url, providers=providers) as process:
            server.open(process)
            app.state.runtime = process.runtime
            app.state.webhooks = server.webhook_receiver
            yield
            flush_sampled_lines()

    handlers = [*(_route(server, endpoint) for endpoint in ENDPOINTS), *_open_routes(server)]
    return Application(
        [*_options(server, handlers), *handlers],  # later, Litestar would have made its own
        lifespan=[lifespan],
        exception_handlers={Exception: on_framework_error},
        openapi_config=None,  # the document is made from our own table
        logging_config=None,  # Litestar's would log requests with what clients sent
    )


def asgi_factory() -> Litestar:
    """The application by the environment's settings, for an ASGI server. Raises SettingsError."""
    settings = load_settings(os.environ, CONNECTOR_SETTINGS)
    configure_logging(settings.log_level, secret_names(CONNECTOR_SETTINGS))
    return create_app(settings)


def _route(server: ApiServer, endpoint: Endpoint) -> HTTPRouteHandler:
    async def handle(request: Request[Any, Any, Any]) -> ASGIApp:
        api_request = server.request(request, endpoint.parameters)
        return await server.respond(endpoint.name, api_request, server.authenticated(endpoint, api_request))

    return _handler(endpoint.method, endpoint.path, handle)


def _open_routes(server: ApiServer) -> list[HTTPRouteHandler]:
    """What needs no API key."""
    document = openapi_document()

    async def openapi(request: Request[Any, Any, Any]) -> ASGIApp:
        return HttpResponse(200, document, headers=tuple(server.request(request).response_headers))

    def probe(check: Callable[[Runtime, ApiRequest], Awaitable[HttpResponse]]) -> Handler:
        async def handle(request: Request[Any, Any, Any]) -> ASGIApp:
            api_request = server.request(request)
            return await server.respond(check.__name__, api_request, check(server.runtime, api_request))

        return handle

    async def webhook(request: Request[Any, Any, Any]) -> ASGIApp:
        api_request = server.request(request)
        handled = server.webhook_receiver.respond(request.scope, api_request)
        return await server.respond("receiveWebhook", api_request, handled)

    return [
        _handler("POST", provider_webhooks.PATH, webhook),
        _handler("GET", "/openapi.json", openapi),
        _handler("GET", "/healthz", probe(healthz)),
        _handler("GET", "/readyz", probe(readyz)),
    ]


def _options(server: ApiServer, handlers: Iterable[HTTPRouteHandler]) -> Iterable[HTTPRouteHandler]:
    """OPTIONS for every path, naming all of its methods; Litestar's own names those of one handler."""
    methods: dict[str, set[str]] = {}
    for handler in handlers:
        for path in handler.paths:
            methods.setdefault(path, {"OPTIONS"}).update(handler.http_methods)
    return [_options_handler(server, path, ", ".join(sorted(allowed))) for path, allowed in methods.items()]


def _options_handler(server: ApiServer, path: str, allow: str) -> HTTPRouteHandler:
    async def handle(request: Request[Any, Any, Any]) -> ASGIApp:
        headers = server.request(request).response_headers
        return HttpResponse(204, b"", headers=(*headers, (b"allow", allow.encode())))

    return route(path, http_method=HttpMethod.OPTIONS)(handle)


def _handler(method: str, path: str, handle: Handler) -> HTTPRouteHandler:
    methods = (HttpMethod.GET, HttpMethod.HEAD) if method == "GET" else (HttpMethod(method),)
    # The response has its own status; Litestar's default for DELETE would forbid it a body.
    return route(re.sub(r"{(\w+)}", r"{\1:str}", path), http_method=methods, status_code=200)(handle)
