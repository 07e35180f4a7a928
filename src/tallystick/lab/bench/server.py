"""The benchmark's servers, run as ``serve`` runs the API: the API itself with an in-process provider or with the
settings' connectors, and a POST that only parses and answers. Production code uses none of them.

``python -m tallystick.lab.bench.server api``, ``… connectors`` or ``… noop``, with the settings in the environment,
where ``provider_latency.VARIABLE`` says how long the in-process provider takes.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any, Final

from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.log import LogLevels
from litestar import HttpMethod, Litestar, Request
from litestar.handlers import route
from litestar.types import ASGIApp

from tallystick.domain.requests.json_body import parse_json_object
from tallystick.interfaces.api.app import create_app
from tallystick.interfaces.api.body_reader import BodyReader
from tallystick.interfaces.api.http import ApiRequest, HttpResponse
from tallystick.kit.logs import configure_logging
from tallystick.lab.bench.provider import BenchProvider
from tallystick.lab.bench.provider_latency import DEFAULT, VARIABLE, parse_latency
from tallystick.lab.bench.workload import PATH, PROVIDER, new_payment
from tallystick.providers.port import Provider
from tallystick.providers.registry import CONNECTOR_SETTINGS
from tallystick.run.doctor.machine import raise_descriptor_limit
from tallystick.run.gc_tuning import tune_collector
from tallystick.run.serve import BACKLOG, BACKPRESSURE, KILL_MARGIN_S
from tallystick.run.supervisor import end_with_parent
from tallystick.settings.load import load_settings, secret_names

TARGETS: Final = {
    "api": "tallystick.lab.bench.server:asgi_factory",
    "connectors": "tallystick.lab.bench.server:connectors_factory",
    "noop": "tallystick.lab.bench.server:noop_factory",
}


def asgi_factory() -> Litestar:
    """The API over the in-process provider, in one worker process."""
    latency = parse_latency(os.environ.get(VARIABLE, DEFAULT.text()))
    return _api({PROVIDER: BenchProvider(latency)})


def connectors_factory() -> Litestar:
    """The API over the connectors of the settings, in one worker process."""
    return _api(None)


def _api(providers: Mapping[str, Provider] | None) -> Litestar:
    settings = load_settings(os.environ, CONNECTOR_SETTINGS)
    end_with_parent(os.getppid(), settings.drain_timeout_ms)
    configure_logging(settings.log_level, secret_names(CONNECTOR_SETTINGS), settings.log_format)
    app = create_app(settings, settings.database_url, providers=providers)
    tune_collector()
    return app


def noop_factory() -> Litestar:
    """The same framework, the same path and an answer of the same size; the body is read and parsed, no more."""
    settings = load_settings(os.environ, CONNECTOR_SETTINGS)
    end_with_parent(os.getppid(), settings.drain_timeout_ms)
    body_reader = BodyReader(settings.request_body_timeout_ms)
    answer = new_payment()[1].responses[0].body
    tune_collector()

    async def create(request: Request[Any, Any, Any]) -> ASGIApp:
        api_request = ApiRequest(request.scope, request.receive, body_reader)
        parse_json_object(await api_request.json_bytes(may_be_empty=False))
        return HttpResponse(201, answer, headers=tuple(api_request.response_headers))

    async def ready(request: Request[Any, Any, Any]) -> ASGIApp:
        return HttpResponse(200, b"{}")

    return Litestar(
        [route(PATH, http_method=HttpMethod.POST)(create), route("/readyz", http_method=HttpMethod.GET)(ready)],
        openapi_config=None,
        logging_config=None,
    )


def main(kind: str, parent_pid: int) -> None:
    """Serve until SIGTERM, or until the benchmark is gone."""
    settings = load_settings(os.environ, CONNECTOR_SETTINGS)
    end_with_parent(parent_pid, settings.drain_timeout_ms)
    raise_descriptor_limit(settings)
    Granian(
        TARGETS[kind],
        address=settings.host,
        port=settings.port,
        interface=Interfaces.ASGI,
        http=HTTPModes.http1,
        factory=True,
        workers=settings.api_processes,
        backlog=BACKLOG,
        backpressure=BACKPRESSURE,
        websockets=False,
        workers_kill_timeout=settings.drain_timeout_ms // 1000 + KILL_MARGIN_S,
        log_level=LogLevels.warning,
    ).serve()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
