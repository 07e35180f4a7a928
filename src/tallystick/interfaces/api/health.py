"""Is the process up, and can it serve: what a supervisor and a load balancer ask."""

from __future__ import annotations

from tallystick.flows.runtime import Runtime
from tallystick.interfaces.api.health_report import Health, ready
from tallystick.interfaces.api.http import ApiRequest, HttpResponse, json_response
from tallystick.interfaces.api.problems import busy


async def healthz(_: Runtime, request: ApiRequest) -> HttpResponse:
    """200: the process responds."""
    return json_response(request, Health(status="ok"))


async def readyz(runtime: Runtime, request: ApiRequest) -> HttpResponse:
    """200 when the database answers, can write, and its schema takes every statement of this release. Raises
    ProblemError."""
    if (reason := await runtime.readiness.reason_not_ready()) is not None:
        raise busy("not_ready", reason, request.request_id)
    return json_response(request, ready(runtime))
