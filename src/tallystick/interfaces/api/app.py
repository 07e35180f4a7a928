"""The ASGI application: routes from the endpoint table, and what every request has in common."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import cache
from typing import Any, Final

from litestar import HttpMethod, Litestar, Request
from litestar.handlers import HTTPRouteHandler
from litestar.handlers import route as framework_route
from litestar.types import ASGIApp, Receive, Scope

from tallystick.domain.api_versions import VERSIONS, ApiVersion
from tallystick.domain.errors import Problem, problem
from tallystick.domain.measures import REQUEST_TIME
from tallystick.domain.views import encode
from tallystick.flows.api_process import ApiProcess, open_api_process
from tallystick.flows.failures import DATABASE_AWAY
from tallystick.flows.payments.instruction_line import trail
from tallystick.flows.runtime import Runtime
from tallystick.flows.version_use import VersionUse
from tallystick.interfaces.api.authentication import Authenticator, Caller
from tallystick.interfaces.api.body_reader import BodyReader
from tallystick.interfaces.api.dispatch import Dispatcher, Handler, Route
from tallystick.interfaces.api.endpoint import Endpoint
from tallystick.interfaces.api.health import healthz, readyz
from tallystick.interfaces.api.http import PROBLEM_JSON, ApiRequest, Header, HttpResponse
from tallystick.interfaces.api.instruction_report import reported
from tallystick.interfaces.api.openapi import openapi_document
from tallystick.interfaces.api.parameters import Parameter
from tallystick.interfaces.api.permissions import missing_scope, require_caller
from tallystick.interfaces.api.problems import (
    LACKS_KEY,
    ProblemError,
    busy,
    defect,
    flush_sampled_lines,
    internal_error,
    on_framework_error,
    report,
)
from tallystick.interfaces.api.rate_limit import RateLimiter, Standing
from tallystick.interfaces.api.request_form import refusal
from tallystick.interfaces.api.routes import provider_webhooks
from tallystick.interfaces.api.routes.provider_webhooks import WebhookReceiver
from tallystick.interfaces.api.table import ENDPOINTS
from tallystick.interfaces.api.versions import headers_of, version_of
from tallystick.interfaces.pages import rendering
from tallystick.interfaces.pages.reference import reference_page
from tallystick.kit.clock import monotonic_ms
from tallystick.kit.logs import configure_logging, flush_lines
from tallystick.kit.spans import end_spans
from tallystick.providers.assembly import receivers
from tallystick.providers.port import Provider
from tallystick.providers.registry import CONNECTOR_SETTINGS
from tallystick.record.sealing import SealingRefused
from tallystick.settings.load import Settings, load_settings, secret_names

Lifespan = Callable[[Litestar], AbstractAsyncContextManager[None]]

#: Reads give way when the queues of payments are this full: well before new payments do (0.8).
READS_SHARE: Final = 0.6

#: Reads under way in one process. Each waits for one of a few connections; more than this would wait for seconds.
READS_LIMIT: Final = 500

#: Whose time a request counts as: that of clients, of providers' webhooks, or of probes.
_API: Final = ("api",)
_ROLES: Final = {"receiveWebhook": ("intake",), "healthz": ("probe",), "readyz": ("probe",)}


class Application(Litestar):
    """Refuses requests that are not well-formed, and hands others to their handlers. The framework has the rest:
    startup and shutdown, OPTIONS, and what to answer where no route has the path or the method."""

    def __init__(self, routes: Sequence[Route], lifespan: Lifespan, options: Sequence[Route]) -> None:
        self.dispatcher = Dispatcher(routes)
        super().__init__(
            _framework_handlers([*options, *routes]),
            lifespan=[lifespan],
            exception_handlers={Exception: on_framework_error},
            openapi_config=None,  # the document is made from our own table
            logging_config=None,  # Litestar's would log requests with what clients sent
        )

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """The ASGI application."""
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        if (refused := refusal(scope)) is not None:
            response = _unrouted(refused)
        elif (handle := self.dispatcher.handler(scope)) is not None:
            try:
                response = await handle(scope, receive)
            except Exception as error:  # outside of ``respond``, which answers all others
                response = _unrouted(defect(error))
        else:
            await super().__call__(scope, receive, send)
            return
        await response(scope, receive, send)


class ApiServer:
    """What the handlers of one process share; ``runtime`` is there between startup and shutdown."""

    runtime: Runtime
    authenticator: Authenticator
    limiter: RateLimiter
    webhook_receiver: WebhookReceiver
    version_use: VersionUse
    reads: int

    def __init__(self, body_reader: BodyReader) -> None:
        self._body_reader = body_reader
        self.own_limiters = {each.name: RateLimiter(*each.rate) for each in ENDPOINTS if each.rate is not None}

    def open(self, process: ApiProcess) -> None:
        """Ready to respond."""
        runtime, settings = process.runtime, process.runtime.settings
        self.runtime = runtime
        self.reads = 0
        self.version_use = process.version_use
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

    def request(
        self, scope: Scope, receive: Receive, parameters: tuple[Parameter, ...] = (), operation: str = ""
    ) -> ApiRequest:
        """A request as the handlers read it."""
        return ApiRequest(scope, receive, self._body_reader, parameters, operation)

    async def respond(self, operation: str, request: ApiRequest, handled: Awaitable[HttpResponse]) -> HttpResponse:
        """What the handler responds; its errors and failures become problem documents."""
        began_ms = monotonic_ms()
        try:
            return await self._answered(operation, request, handled)
        finally:
            REQUEST_TIME.observe(_ROLES.get(operation, _API), monotonic_ms() - began_ms)

    async def _answered(self, operation: str, request: ApiRequest, handled: Awaitable[HttpResponse]) -> HttpResponse:
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
        request.asked_by = {
            "merchant_id": caller.merchant_id,
            "key_id": caller.key_id,
            "key_kind": caller.declared.kind,
        }
        standing = self.limiter.take((caller.merchant_id, caller.key_id))
        if standing is not None:
            request.response_headers += self.limiter.headers(standing)
            _require_allowed(standing, "This key sends too many requests.", request)
        if endpoint.is_instruction:
            request.trail = trail()
        require_caller(endpoint, caller, request.request_id)
        try:
            request.version = version_of(request.versions_named, caller.version, request.request_id)
        except ProblemError as unserved:  # it is answered in the newest version
            request.refused = unserved
        request.response_headers += headers_of(request.version, endpoint.deprecation)
        if request.version is not VERSIONS.newest:
            self.version_use.count(caller.merchant_id, caller.key_id, request.version.date)
        request.refused = request.refused or missing_scope(endpoint, caller, request.request_id)
        if request.refused is not None and not endpoint.is_instruction:
            raise request.refused
        if (own := self.own_limiters.get(endpoint.name)) is not None:  # keys that may not ask take nothing of it
            _require_allowed(own.take((caller.merchant_id, "")), "Too many requests of this kind.", request)
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


def _require_allowed(standing: Standing | None, detail: str, request: ApiRequest) -> None:
    """Raises ProblemError where there is no token left."""
    if standing is not None and not standing.allowed:
        limited = problem("rate_limited", detail, request_id=request.request_id)
        raise ProblemError(limited, (b"retry-after", b"%d" % standing.retry_after_s))


def problem_response(
    problem_error: ProblemError, request: ApiRequest, operation: str, error: Exception | None = None
) -> HttpResponse:
    """A problem document as a response; from 500 on it is also a line in the log."""
    document = problem_error.problem
    if document.status >= 500:
        report(document, operation, error, **request.asked_by)
    headers = (*request.response_headers, *problem_error.headers)
    body = VERSIONS.rendered(Problem, encode(document), request.version)
    return HttpResponse(document.status, body, PROBLEM_JSON, headers)


def _unrouted(document: Problem) -> HttpResponse:
    """The response to a request that no handler answered."""
    headers = ((b"request-id", (document.request_id or "").encode()),)
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
        flush_lines()
        end_spans()

    return application(server, ENDPOINTS, lifespan)


def application(server: ApiServer, endpoints: Iterable[Endpoint], lifespan: Lifespan) -> Application:
    """The application with these endpoints, and what needs no API key."""
    routes = [*(_route(server, endpoint) for endpoint in endpoints), *_open_routes(server)]
    return Application(routes, lifespan, _options(server, routes))


def asgi_factory() -> Litestar:
    """The application by the environment's settings, for an ASGI server. Raises SettingsError."""
    settings = load_settings(os.environ, CONNECTOR_SETTINGS)
    configure_logging(settings.log_level, secret_names(CONNECTOR_SETTINGS), settings.log_format)
    return create_app(settings)


def _route(server: ApiServer, endpoint: Endpoint) -> Route:
    async def handle(scope: Scope, receive: Receive) -> HttpResponse:
        request = server.request(scope, receive, endpoint.parameters, endpoint.name)
        return await server.respond(endpoint.name, request, server.authenticated(endpoint, request))

    async def handle_instruction(scope: Scope, receive: Receive) -> HttpResponse:
        request = server.request(scope, receive, endpoint.parameters, endpoint.name)

        def respond() -> Awaitable[HttpResponse]:
            return server.respond(endpoint.name, request, server.authenticated(endpoint, request))

        return await reported(endpoint.name, request, respond)

    return Route(endpoint.method, endpoint.path, handle_instruction if endpoint.is_instruction else handle)


def _open_routes(server: ApiServer) -> list[Route]:
    """What needs no API key."""
    documents, page = _published(tuple(VERSIONS.rows))

    def fixed(body: bytes, content_type: bytes, *more: Header) -> Handler:
        async def handle(scope: Scope, receive: Receive) -> HttpResponse:
            headers = (*server.request(scope, receive).response_headers, *more)
            return HttpResponse(200, body, content_type, headers)

        return handle

    async def document_of(request: ApiRequest) -> HttpResponse:
        version = version_of(request.versions_named, VERSIONS.newest, request.request_id)
        headers = (*request.response_headers, *headers_of(version, None))
        return HttpResponse(200, documents[version], headers=headers)

    async def openapi(scope: Scope, receive: Receive) -> HttpResponse:
        request = server.request(scope, receive)
        return await server.respond("openapi", request, document_of(request))

    def probe(check: Callable[[Runtime, ApiRequest], Awaitable[HttpResponse]]) -> Handler:
        async def handle(scope: Scope, receive: Receive) -> HttpResponse:
            request = server.request(scope, receive)
            return await server.respond(check.__name__, request, check(server.runtime, request))

        return handle

    async def webhook(scope: Scope, receive: Receive) -> HttpResponse:
        request = server.request(scope, receive)
        return await server.respond("receiveWebhook", request, server.webhook_receiver.respond(scope, request))

    return [
        Route("POST", provider_webhooks.PATH, webhook),
        Route("GET", "/openapi.json", openapi),
        Route("GET", "/docs", fixed(page, rendering.HTML, *rendering.HEADERS)),
        Route("GET", "/docs/style.css", fixed(rendering.STYLESHEET, rendering.CSS, *rendering.HEADERS)),
        Route("GET", "/healthz", probe(healthz)),
        Route("GET", "/readyz", probe(readyz)),
    ]


@cache
def _published(versions: tuple[ApiVersion, ...]) -> tuple[Mapping[ApiVersion, bytes], bytes]:
    """The OpenAPI document of each version, and the page that shows the newest: the same for every application of this
    process."""
    documents = {version: openapi_document(version) for version in versions}
    return documents, reference_page(documents[versions[-1]])


def _options(server: ApiServer, routes: Sequence[Route]) -> list[Route]:
    """OPTIONS for every path, naming all of its methods; Litestar's own names those of one handler."""
    methods: dict[str, set[str]] = {}
    for route in routes:
        methods.setdefault(route.path, {"OPTIONS"}).update(route.methods)
    return [_options_route(server, path, ", ".join(sorted(allowed))) for path, allowed in methods.items()]


def _options_route(server: ApiServer, path: str, allow: str) -> Route:
    async def handle(scope: Scope, receive: Receive) -> HttpResponse:
        headers = server.request(scope, receive).response_headers
        return HttpResponse(204, b"", headers=(*headers, (b"allow", allow.encode())))

    return Route("OPTIONS", path, handle)


def _framework_handlers(routes: Sequence[Route]) -> list[HTTPRouteHandler]:
    """The routes as Litestar has them. It needs all of them, to know which paths and methods there are; paths that have
    the same methods share one of its handlers, because to make a handler takes a millisecond."""
    handlers = {(method, route.path): route.handle for route in routes for method in route.methods}

    async def handle(request: Request[Any, Any, Any]) -> ASGIApp:
        route_handle = handlers[request.scope["method"], request.scope["path_template"]]
        return await route_handle(request.scope, request.receive)

    methods: dict[str, list[str]] = {}
    for method, path in handlers:
        methods.setdefault(path, []).append(method)
    paths: dict[tuple[str, ...], list[str]] = {}
    for path, names in methods.items():
        paths.setdefault(tuple(sorted(names)), []).append(re.sub(r"{(\w+)}", r"{\1:str}", path))
    # The response has its own status; Litestar's default for DELETE would forbid it a body.
    return [
        framework_route(of_these, http_method=[HttpMethod(name) for name in names], status_code=200)(handle)
        for names, of_these in paths.items()
    ]
